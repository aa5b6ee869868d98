// Data movement: a block of queries is read once; keys and values of its head stream past it, kKvBlock at a time,
// packed into panels in scratch so that both products run at the speed of a packed matrix product. Scores of kMr
// queries at a time never leave scratch, which they share with the next ones'. Results are written once. Keys and
// values are read s / kQBlock times, from cache. The floor is the arithmetic of the two products plus one exponential
// per score; packing limits it when a task has few queries.
//
// The softmax is the online one (Milakov and Gimelshein, arXiv 1805.02867): each block of keys may raise a row's
// maximum, and then what was summed before is scaled by exp(old - new). A row whose keys are all excluded gives 0 / 0,
// or 0 where the graph guards it.

constexpr std::int64_t kNr = kNv * kLanes;
constexpr std::int64_t kQueryBlocks = (kS + kQBlock - 1) / kQBlock;
constexpr std::int64_t kMostQueries =
    ((kS + kQueryBlocks - 1) / kQueryBlocks + kMr - 1) / kMr * kMr;  // padded to tiles
constexpr std::int64_t kKeyBlocks = (kT + kKvBlock - 1) / kKvBlock;
constexpr std::int64_t kMostKeys = (kT + kKeyBlocks - 1) / kKeyBlocks;
constexpr std::int64_t kKeyPanels = (kMostKeys + kNr - 1) / kNr;
constexpr std::int64_t kValuePanels = (kE + kNr - 1) / kNr;
// One vector more than the panels, so that rows of scores do not share sets of the cache.
constexpr std::int64_t kScoreStride = kKeyPanels * kNr + kLanes;
constexpr std::int64_t kSumStride = kValuePanels * kNr;
// A single block of keys completes a tile of queries at once; of several, each adds to the sums of all queries.
constexpr bool kOneBlock = kKeyBlocks == 1;
constexpr std::int64_t kSumRows = kOneBlock ? kMr : kMostQueries;
// Rows of queries are read where they are; a last tile that is not full is copied, padded with zeros, into scratch.
constexpr bool kQueriesInPlace = kQColumn == 1 && std::is_same_v<Query, float>;
// Rows of values that fill whole panels can be multiplied with where they are.
constexpr bool kValuesInPlace =
    kInPlace == 1 && kVColumn == 1 && kE % kNr == 0 && std::is_same_v<Value, float>;

// template.toml's scratch_bytes is its size.
struct Scratch {
  float* scores;   // [kMr][kScoreStride]
  float* sums;     // [kSumRows][kSumStride]
  float* total;    // [kSumRows][kLanes]: lanes are added up at the end
  float* keys;     // [kKeyPanels][kD][kNr]
  float* values;   // [kValuePanels][kMostKeys][kNr], unless they are read in place
  float* queries;  // [kMostQueries][kD], or a last tile's
  float* maximum;  // [kSumRows]
};

inline Scratch scratch_at(void* base) {
  Scratch s;
  s.scores = static_cast<float*>(base);
  s.sums = s.scores + kMr * kScoreStride;
  s.total = s.sums + kSumRows * kSumStride;
  s.keys = s.total + kSumRows * kLanes;
  s.values = s.keys + kKeyPanels * kD * kNr;
  s.queries = s.values + (kValuesInPlace ? 0 : kValuePanels * kMostKeys * kNr);
  s.maximum = s.queries + (kQueriesInPlace ? kMr : kMostQueries) * kD;
  return s;
}

// c[i][v] = (add ? c : 0) + sum over p of a[i * a_stride + p] * b[p * b_stride + v], for a tile of kMr x kNr.
__attribute__((noinline)) void multiply(const float* a, std::int64_t a_stride, const float* b, std::int64_t b_stride,
                                        std::int64_t depth, bool add, float* c, std::int64_t c_stride) {
  vf sum[kMr][kNv];
#pragma GCC unroll 32
  for (int i = 0; i < kMr; ++i)
#pragma GCC unroll 8
    for (int v = 0; v < kNv; ++v) sum[i][v] = add ? load(c + i * c_stride + v * kLanes) : vf{};
  for (std::int64_t p = 0; p < depth; ++p) {
    vf column[kNv];
#pragma GCC unroll 8
    for (int v = 0; v < kNv; ++v) column[v] = load(b + p * b_stride + v * kLanes);
#pragma GCC unroll 32
    for (int i = 0; i < kMr; ++i) {
      const vf row = splat(a[i * a_stride + p]);
#pragma GCC unroll 8
      for (int v = 0; v < kNv; ++v) sum[i][v] += row * column[v];
    }
  }
#pragma GCC unroll 32
  for (int i = 0; i < kMr; ++i)
#pragma GCC unroll 8
    for (int v = 0; v < kNv; ++v) store(c + i * c_stride + v * kLanes, sum[i][v]);
}

// What is read in place is float32; 16-bit floats are widened when they are packed.
inline const float* floats(const float* in_place) { return in_place; }
template <class Half>
inline const float* floats(const Half*) { return nullptr; }

// Queries first + begin .. first + count, padded with zeros to whole tiles.
inline void pack_queries(const Head& at, std::int64_t first, std::int64_t begin, std::int64_t count, float* to) {
  // Copies and padding in loops of their own: GCC 12 makes wrong masks for a condition within a loop over lanes, and
  // reads past the last row.
  for (std::int64_t i = begin; i < count; ++i)
    for (std::int64_t p = 0; p < kD; ++p) to[(i - begin) * kD + p] = at.q[(first + i) * kQRow + p * kQColumn];
  for (std::int64_t i = count; i % kMr != 0; ++i)
    for (std::int64_t p = 0; p < kD; ++p) to[(i - begin) * kD + p] = 0.0f;
}

// Key j of a panel becomes column j. Columns past the last key are zero.
inline void pack_keys(const Head& at, std::int64_t first, std::int64_t count, float* to) {
  for (std::int64_t panel = 0; panel < kKeyPanels; ++panel)
    for (std::int64_t v = 0; v < kNv; ++v) {
      const std::int64_t key = panel * kNr + v * kLanes;
      float* column = to + panel * kD * kNr + v * kLanes;
      std::int64_t p = 0;
      if constexpr (kKColumn == 1) {
        if (key + kLanes <= count) {
          const auto* row = at.k + (first + key) * kKRow;
          for (; p + kLanes <= kD; p += kLanes) {
            vf block[kLanes];
#pragma GCC unroll 16
            for (int j = 0; j < kLanes; ++j) block[j] = load(row + j * kKRow + p);
            transpose(block);
#pragma GCC unroll 16
            for (int j = 0; j < kLanes; ++j) store(column + (p + j) * kNr, block[j]);
          }
        }
      }
      const std::int64_t keys = count < key ? 0 : count - key < kLanes ? count - key : kLanes;
      for (; p < kD; ++p) {
        for (std::int64_t j = 0; j < keys; ++j)
          column[p * kNr + j] = at.k[(first + key + j) * kKRow + p * kKColumn];
        for (std::int64_t j = keys; j < kLanes; ++j) column[p * kNr + j] = 0.0f;
      }
    }
}

inline void pack_values(const Head& at, std::int64_t first, std::int64_t count, float* to) {
  for (std::int64_t panel = 0; panel < kValuePanels; ++panel) {
    const std::int64_t width = kE - panel * kNr < kNr ? kE - panel * kNr : kNr;
    for (std::int64_t p = 0; p < count; ++p) {
      float* row = to + (panel * kMostKeys + p) * kNr;
      for (std::int64_t j = 0; j < width; ++j) row[j] = at.v[(first + p) * kVRow + (panel * kNr + j) * kVColumn];
      for (std::int64_t j = width; j < kNr; ++j) row[j] = 0.0f;
    }
  }
}

// The larger; where one is not a number, the other or none: such a score shows in the sum of the row.
inline vf larger(vf a, vf b) { return a > b ? a : b; }

// Scales and masks the scores of query i and keys key .. key + count; lanes past them are excluded.
template <int count>
inline vf masked(const Head& at, std::int64_t i, std::int64_t key, const float* scores) {
  vf x = load(scores) * kScale;
  if constexpr (kMasked) x += mask_at<count>(at, i, key);
  x = keep_first<count>(x, -__builtin_inff());
  if constexpr (kCausal) {
    const std::int64_t seen = i + kT - kS - key + 1;  // how many of these keys
    x = keep_first(x, seen < 0 ? 0 : seen < kLanes ? static_cast<std::int32_t>(seen) : kLanes, -__builtin_inff());
  }
  return x;
}

// Scales and masks a row of scores; its largest.
template <std::int64_t count>
inline float mask_row(const Head& at, std::int64_t i, std::int64_t key, float* scores) {
  vf most = splat(-__builtin_inff());
  std::int64_t j = 0;
  for (; j + kLanes <= count; j += kLanes) {
    const vf x = masked<kLanes>(at, i, key + j, scores + j);
    most = larger(most, x);
    store(scores + j, x);
  }
  if constexpr (count % kLanes != 0) {
    const vf x = masked<count % kLanes>(at, i, key + j, scores + j);
    most = larger(most, x);
    store(scores + j, x);
    j += kLanes;
  }
  for (; j < kKeyPanels * kNr; j += kLanes) store(scores + j, splat(-__builtin_inff()));
  return across(most, larger);
}

// e^x for x <= 0, to be added to a sum that is at least 1: what is below e^-80 does not count. It is 0, and not a
// number so small that its products are denormals, which cost hundreds of cycles each.
inline vf weight_of(vf x) {
  const vf least = splat(-80.0f);
  return x < least ? splat(0.0f) : exp_within(least > x ? least : x);
}

// Turns a row of scores into exponentials and corrects what was summed before. `row` is the largest of them.
inline void exponentials(float row, float* scores, float* sums, float& maximum, float* total, bool first) {
  if (!first && maximum > row) row = maximum;
  // exp(-inf - -inf) has no value, but a row with no key so far has no weight.
  const float reference = row == -__builtin_inff() ? 0.0f : row;
  vf sum = vf{};
  for (std::int64_t j = 0; j < kKeyPanels * kNr; j += kLanes) {
    const vf weight = weight_of(load(scores + j) - reference);
    sum += weight;
    store(scores + j, weight);
  }
  if (!first) {
    const float correction = vexp(splat(maximum - reference))[0];
    sum += load(total) * correction;
    if (correction != 1.0f)
      for (std::int64_t j = 0; j < kSumStride; j += kLanes) store(sums + j, load(sums + j) * correction);
  }
  store(total, sum);
  maximum = row;
}

// Queries query .. query + count, whose sums and totals are given.
inline void write_results(const Head& at, std::int64_t query, std::int64_t count, const float* sums,
                          const float* totals) {
  for (std::int64_t i = 0; i < count; ++i, sums += kSumStride, totals += kLanes) {
    const float total = across(load(totals), [](vf a, vf b) { return a + b; });
    auto* out = at.out + (query + i) * kOutRow;
    std::int64_t j = 0;
    // Weights are at most 1 and one of them is 1, unless no key counts or a score is not a number.
    if (kGuarded && !(total > 0.0f)) {
      for (; j < kE; ++j) out[j * kOutColumn] = 0.0f;
      continue;
    }
    if constexpr (kOutColumn == 1) {
      for (; j + kLanes <= kE; j += kLanes) store(out + j, divide_by(load(sums + j), total));
    }
    for (; j < kE; ++j) out[j * kOutColumn] = sums[j] / total;
  }
}

template <std::int64_t keys>
inline void key_block(const Head& at, std::int64_t query, std::int64_t queries, std::int64_t key, const Scratch& s) {
  pack_keys(at, key, keys, s.keys);
  if constexpr (!kValuesInPlace) pack_values(at, key, keys, s.values);
  for (std::int64_t i = 0; i < queries; i += kMr) {
    const bool in_place = kQueriesInPlace && i + kMr <= queries;
    const float* rows =
        in_place ? floats(at.q + (query + i) * kQRow) : s.queries + (kQueriesInPlace ? 0 : i) * kD;
    const std::int64_t kept = kOneBlock ? 0 : i;  // where the tile's sums are
    for (std::int64_t panel = 0; panel < kKeyPanels; ++panel)
      multiply(rows, in_place ? kQRow : kD, s.keys + panel * kD * kNr, kNr, kD, false,
               s.scores + panel * kNr, kScoreStride);
    // Row after row in each step, so that the rows' chains of dependent operations overlap.
    const std::int64_t count = i + kMr < queries ? kMr : queries - i;
    float largest[kMr];
    for (std::int64_t r = 0; r < count; ++r)
      largest[r] = mask_row<keys>(at, query + i + r, key, s.scores + r * kScoreStride);
    for (std::int64_t r = 0; r < count; ++r)
      exponentials(largest[r], s.scores + r * kScoreStride, s.sums + (kept + r) * kSumStride, s.maximum[kept + r],
                   s.total + (kept + r) * kLanes, key == 0);
    for (std::int64_t panel = 0; panel < kValuePanels; ++panel) {
      const float* values =
          kValuesInPlace ? floats(at.v + key * kVRow + panel * kNr) : s.values + panel * kMostKeys * kNr;
      multiply(s.scores, kScoreStride, values, kValuesInPlace ? kVRow : kNr, keys, key != 0,
               s.sums + kept * kSumStride + panel * kNr, kSumStride);
    }
    if constexpr (kOneBlock) write_results(at, query + i, count, s.sums, s.total);
  }
}

}  // namespace

extern "C" void KILN_KERNEL(void* const* args, const kiln_task* task) {
  const Head at = head_at(args, task->index / kQueryBlocks);
  const std::int64_t block = task->index % kQueryBlocks;
  const std::int64_t query = kS * block / kQueryBlocks, queries = kS * (block + 1) / kQueryBlocks - query;
  const Scratch s = scratch_at(task->scratch);
  pack_queries(at, query, kQueriesInPlace ? queries / kMr * kMr : 0, queries, s.queries);
  for (std::int64_t key = 0; key < kT; key += kMostKeys) {
    // Later keys are seen by none of these queries.
    if (kCausal && key > 0 && key > query + queries - 1 + kT - kS) break;
    if (key + kMostKeys <= kT) key_block<kMostKeys>(at, query, queries, key, s);
    else if constexpr (kT % kMostKeys != 0) key_block<kT % kMostKeys>(at, query, queries, key, s);
  }
  if constexpr (!kOneBlock) write_results(at, query, queries, s.sums, s.total);
}
