// Data movement: a block of queries is read once; keys and values of its head stream past it, kKvBlock at a time, packed
// into panels in scratch so that both products run at the speed of a packed matrix product. Scores never leave scratch.
// Results are written once. Keys and values are read s / kQBlock times, from cache. The floor is the arithmetic of the two
// products plus one exponential per score; packing limits it when a task has few queries.
//
// The softmax is the online one (Milakov and Gimelshein, arXiv 1805.02867): each block of keys may raise a row's maximum,
// and then what was summed before is scaled by exp(old - new). A row whose keys are all excluded gives 0 / 0.

constexpr std::int64_t kNr = kNv * kLanes;
constexpr std::int64_t kQueryBlocks = (kS + kQBlock - 1) / kQBlock;
constexpr std::int64_t kMostQueries = ((kS + kQueryBlocks - 1) / kQueryBlocks + kMr - 1) / kMr * kMr;  // padded to tiles
constexpr std::int64_t kKeyBlocks = (kT + kKvBlock - 1) / kKvBlock;
constexpr std::int64_t kMostKeys = (kT + kKeyBlocks - 1) / kKeyBlocks;
constexpr std::int64_t kKeyPanels = (kMostKeys + kNr - 1) / kNr;
constexpr std::int64_t kValuePanels = (kE + kNr - 1) / kNr;
// One vector more than the panels, so that rows of scores do not share sets of the cache.
constexpr std::int64_t kScoreStride = kKeyPanels * kNr + kLanes;
constexpr std::int64_t kSumStride = kValuePanels * kNr;

struct Scratch {
  float* scores;   // [kMostQueries][kScoreStride]
  float* sums;     // [kMostQueries][kSumStride]
  float* keys;     // [kKeyPanels][kD][kNr]
  float* values;   // [kValuePanels][kMostKeys][kNr]
  float* queries;  // [kMostQueries][kD]
  float* maximum;  // [kMostQueries]
  float* total;    // [kMostQueries]
};

inline Scratch scratch_at(void* base) {
  Scratch s;
  s.scores = static_cast<float*>(base);
  s.sums = s.scores + kMostQueries * kScoreStride;
  s.keys = s.sums + kMostQueries * kSumStride;
  s.values = s.keys + kKeyPanels * kD * kNr;
  s.queries = s.values + kValuePanels * kMostKeys * kNr;
  s.maximum = s.queries + kMostQueries * kD;
  s.total = s.maximum + kMostQueries;
  return s;
}

// c[i][v] = (add ? c : 0) + sum over p of a[i * a_stride + p] * b[p * kNr + v], for a tile of kMr x kNr.
__attribute__((noinline)) void multiply(const float* a, std::int64_t a_stride, const float* b, std::int64_t depth, bool add,
                                        float* c, std::int64_t c_stride) {
  vf sum[kMr][kNv];
#pragma GCC unroll 32
  for (int i = 0; i < kMr; ++i)
#pragma GCC unroll 8
    for (int v = 0; v < kNv; ++v) sum[i][v] = add ? load(c + i * c_stride + v * kLanes) : vf{};
  for (std::int64_t p = 0; p < depth; ++p) {
    vf column[kNv];
#pragma GCC unroll 8
    for (int v = 0; v < kNv; ++v) column[v] = load(b + p * kNr + v * kLanes);
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

inline void pack_queries(const Head& at, std::int64_t first, std::int64_t count, float* to) {
  for (std::int64_t i = 0; i < kMostQueries; ++i)
    for (std::int64_t p = 0; p < kD; ++p) to[i * kD + p] = i < count ? at.q[(first + i) * kQRow + p * kQColumn] : 0.0f;
}

// Columns past the last key are zero.
inline void pack_keys(const Head& at, std::int64_t first, std::int64_t count, float* to) {
  for (std::int64_t panel = 0; panel < kKeyPanels; ++panel)
    for (std::int64_t j = 0; j < kNr; ++j) {
      const std::int64_t key = panel * kNr + j;
      for (std::int64_t p = 0; p < kD; ++p)
        to[(panel * kD + p) * kNr + j] = key < count ? at.k[(first + key) * kKRow + p * kKColumn] : 0.0f;
    }
}

inline void pack_values(const Head& at, std::int64_t first, std::int64_t count, float* to) {
  for (std::int64_t panel = 0; panel < kValuePanels; ++panel) {
    const std::int64_t width = kE - panel * kNr < kNr ? kE - panel * kNr : kNr;
    for (std::int64_t p = 0; p < count; ++p)
      for (std::int64_t j = 0; j < kNr; ++j)
        to[(panel * kMostKeys + p) * kNr + j] = j < width ? at.v[(first + p) * kVRow + (panel * kNr + j) * kVColumn] : 0.0f;
  }
}

// Scales and masks the scores of query i and keys key .. key + count; lanes past them are excluded.
template <int count>
inline void mask_scores(const Head& at, std::int64_t i, std::int64_t key, float* scores) {
  vf x = load(scores) * kScale;
  if constexpr (kMasked) x += mask_at<count>(at, i, key);
  x = keep_first<count>(x, -__builtin_inff());
  if constexpr (kCausal) {
    const std::int64_t seen = i + kT - kS - key + 1;  // how many of these keys
    for (int lane = 0; lane < kLanes; ++lane)
      if (lane >= seen) x[lane] = -__builtin_inff();
  }
  store(scores, x);
}

template <std::int64_t count>
inline void mask_row(const Head& at, std::int64_t i, std::int64_t key, float* scores) {
  std::int64_t j = 0;
  for (; j + kLanes <= count; j += kLanes) mask_scores<kLanes>(at, i, key + j, scores + j);
  if constexpr (count % kLanes != 0) {
    mask_scores<count % kLanes>(at, i, key + j, scores + j);
    j += kLanes;
  }
  for (; j < kKeyPanels * kNr; j += kLanes) store(scores + j, splat(-__builtin_inff()));
}

// Turns a row of scores into exponentials and corrects what was summed before.
inline void exponentials(float* scores, float* sums, float& maximum, float& total, bool first) {
  vf most = load(scores);
  for (std::int64_t j = kLanes; j < kKeyPanels * kNr; j += kLanes) most = vmax(most, load(scores + j));
  float row = across(most, vmax);
  if (!first && maximum > row) row = maximum;
  // exp(-inf - -inf) has no value, but a row with no key so far has no weight.
  const float reference = row == -__builtin_inff() ? 0.0f : row;
  vf sum = vf{};
  for (std::int64_t j = 0; j < kKeyPanels * kNr; j += kLanes) {
    const vf weight = vexp(load(scores + j) - reference);
    sum += weight;
    store(scores + j, weight);
  }
  const float added = across(sum, [](vf a, vf b) { return a + b; });
  if (first) {
    total = added;
  } else {
    const float correction = vexp(splat(maximum - reference))[0];
    total = total * correction + added;
    if (correction != 1.0f)
      for (std::int64_t j = 0; j < kSumStride; j += kLanes) store(sums + j, load(sums + j) * correction);
  }
  maximum = row;
}

template <std::int64_t keys>
inline void key_block(const Head& at, std::int64_t query, std::int64_t queries, std::int64_t key, const Scratch& s) {
  pack_keys(at, key, keys, s.keys);
  pack_values(at, key, keys, s.values);
  for (std::int64_t i = 0; i < queries; i += kMr) {
    for (std::int64_t panel = 0; panel < kKeyPanels; ++panel)
      multiply(s.queries + i * kD, kD, s.keys + panel * kD * kNr, kD, false, s.scores + i * kScoreStride + panel * kNr, kScoreStride);
    for (std::int64_t r = i; r < i + kMr; ++r) {
      if (r < queries) mask_row<keys>(at, query + r, key, s.scores + r * kScoreStride);
      exponentials(s.scores + r * kScoreStride, s.sums + r * kSumStride, s.maximum[r], s.total[r], key == 0);
    }
    for (std::int64_t panel = 0; panel < kValuePanels; ++panel)
      multiply(s.scores + i * kScoreStride, kScoreStride, s.values + panel * kMostKeys * kNr, keys, key != 0,
               s.sums + i * kSumStride + panel * kNr, kSumStride);
  }
}

inline void write_results(const Head& at, std::int64_t query, std::int64_t queries, const Scratch& s) {
  for (std::int64_t i = 0; i < queries; ++i) {
    const float* sums = s.sums + i * kSumStride;
    float* out = at.out + (query + i) * kOutRow;
    std::int64_t j = 0;
    if constexpr (kOutColumn == 1) {
      for (; j + kLanes <= kE; j += kLanes) store(out + j, divide_by(load(sums + j), s.total[i]));
    }
    for (; j < kE; ++j) out[j * kOutColumn] = sums[j] / s.total[i];
  }
}

}  // namespace

extern "C" void KILN_KERNEL(void* const* args, const kiln_task* task) {
  const Head at = head_at(args, task->index / kQueryBlocks);
  const std::int64_t block = task->index % kQueryBlocks;
  const std::int64_t query = kS * block / kQueryBlocks, queries = kS * (block + 1) / kQueryBlocks - query;
  const Scratch s = scratch_at(task->scratch);
  pack_queries(at, query, queries, s.queries);
  for (std::int64_t key = 0; key < kT; key += kMostKeys) {
    // Later keys are seen by none of these queries.
    if (kCausal && key > 0 && key > query + queries - 1 + kT - kS) break;
    if (key + kMostKeys <= kT) key_block<kMostKeys>(at, query, queries, key, s);
    else if constexpr (kT % kMostKeys != 0) key_block<kT % kMostKeys>(at, query, queries, key, s);
  }
  write_results(at, query, queries, s);
}
