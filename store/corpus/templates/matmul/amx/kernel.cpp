// Data movement: A is split once per task into scratch, B once per loaded plan; the parts of both stream from the
// second level of cache as tiles of 1 KiB, each used twice per load. Sums stay in tile registers for kc products; when
// k is longer, partial sums wait in scratch. While a panel of B is multiplied, the next one is fetched into the second
// level: weights are often no nearer than memory. The epilogue runs on a block that is still in the first level, so
// results are written once. The floor is six times 2 m n k over the tile unit's bfloat16 peak; splitting A adds a tenth
// of that at n = 384.
//
// How a float32 product is made of bfloat16 parts: cpu/tiles.h. Rows of A and columns of B have a scale each. Rows and
// panels with an infinity or a NaN go through plain float32 arithmetic.

constexpr std::int64_t kDepthTiles = (kK + kDeep - 1) / kDeep;
constexpr std::int64_t kPanelBytes = kPackedStride / kPanels * 4;

// ---- parts

// Lanes i of `count` are from[i * stride], others 0.
template <std::int64_t stride>
inline __m512 load_lanes(const float* from, std::int64_t count) {
  if constexpr (stride == 1) return _mm512_maskz_loadu_ps(first_lanes(count), from);
  float x[kLanes] = {};
  for (std::int64_t i = 0; i < count && i < kLanes; ++i) x[i] = from[i * stride];
  return _mm512_loadu_ps(x);
}

// Splits one row of A into its lines of the tiles [depth][half][part][row]; its exponent.
inline float split_row(const float* row, Bytes* to) {
  __m512i most = _mm512_setzero_si512();
  for (std::int64_t p = 0; p < kK; p += kLanes)
    most = _mm512_max_epu32(most, magnitude(load_lanes<kAColumn>(row + p * kAColumn, kK - p)));
  const float exponent = exponent_of(_mm512_reduce_max_epu32(most));
  const __m512 scale = _mm512_set1_ps(-exponent);
  for (std::int64_t t = 0; t < kDepthTiles; ++t, to += kStepBytes)
    for (std::int64_t half = 0; half < 2; ++half) {
      const std::int64_t p = t * kDeep + half * kLanes;
      __m512 rest = _mm512_scalef_ps(load_lanes<kAColumn>(row + p * kAColumn, kK - p), scale);
      for (int s = 0; s < kParts; ++s)
        _mm256_storeu_si256(reinterpret_cast<__m256i*>(to + s * kTileBytes + half * 32), next_part(rest));
    }
  return exponent;
}

// ---- products

// sums (+)= `depth` tiles of products of 32 rows and 32 columns. `ahead`: where this call's share of the next panel
// begins, `lines` of it per tile; past the end of B nothing is fetched.
__attribute__((noinline)) void multiply(const Bytes* a, const Bytes* b, std::int64_t depth, bool first, float* sums,
                                        const Bytes* ahead, std::int64_t lines) {
  if (first) zero_sums();
  else load_sums(sums);
  for (std::int64_t t = 0; t < depth; ++t, a += kStepBytes, b += kStepBytes) {
    for (std::int64_t i = 0; i < lines; ++i, ahead += 64) __builtin_prefetch(ahead, 0, 2);
    add_step<kTileBytes, kParts * kTileBytes>(a, b);
  }
  store_sums(sums);
}

// ---- what is not finite

inline const float* exponents_of(const Bytes* panel) {
  return reinterpret_cast<const float*>(panel + kDepthTiles * kStepBytes);
}

// Columns v kLanes .. of row p of a panel of B, put together again. A panel that is not finite holds the numbers
// themselves.
inline __m512 unsplit(const Bytes* panel, std::int64_t p, std::int64_t v) {
  const float* exponents = exponents_of(panel);
  if (exponents[0] == kNotFinite) return _mm512_loadu_ps(panel + (p * kNr + v * kLanes) * 4);
  const Bytes* tile = panel + p / kDeep * kStepBytes + v * kParts * kTileBytes;
  return _mm512_scalef_ps(joined_columns(tile, p % kDeep), _mm512_loadu_ps(exponents + v * kLanes));
}

__attribute__((noinline)) vf plain(const float* row, const Bytes* panel, std::int64_t v) {
  __m512 sum = _mm512_setzero_ps();
  for (std::int64_t p = 0; p < kK; ++p)
    sum = _mm512_fmadd_ps(_mm512_set1_ps(row[p * kAColumn]), unsplit(panel, p, v), sum);
  return (vf)sum;
}

// ---- a task

// The epilogue of one row of a block of sums.
template <int columns>
inline void finish_row(const Matrices& at, std::int64_t row, std::int64_t column, float exponent, const Bytes* panel,
                       const float* sums) {
  const float* exponents = exponents_of(panel);
  const auto value = [&](std::int64_t v) {
    if (exponent == kNotFinite || exponents[0] == kNotFinite) return plain(at.a + row * kARow, panel, v);
    const __m512 scale = _mm512_add_ps(_mm512_set1_ps(exponent), _mm512_loadu_ps(exponents + v * kLanes));
    return (vf)_mm512_scalef_ps(_mm512_loadu_ps(sums + v * kLanes), scale);
  };
  if constexpr (columns >= kLanes) finish<kLanes>(at, row, column, value(0));
  if constexpr (columns < kLanes) finish<columns>(at, row, column, value(0));
  if constexpr (columns == kNr) finish<kLanes>(at, row, column + kLanes, value(1));
  if constexpr (columns > kLanes && columns < kNr) finish<columns - kLanes>(at, row, column + kLanes, value(1));
}

inline void finish_block(const Matrices& at, std::int64_t row, std::int64_t panel, const float* exponents,
                         const Bytes* b, const float* sums) {
  const std::int64_t rows = kM - row < 2 * kSide ? kM - row : 2 * kSide;
  for (std::int64_t i = 0; i < rows; ++i, sums += kNr) {
    if (kTailColumns == kNr || panel + 1 < kPanels) finish_row<kNr>(at, row + i, panel * kNr, exponents[i], b, sums);
    else finish_row<kTailColumns>(at, row + i, panel * kNr, exponents[i], b, sums);
  }
}

struct Scratch {
  Bytes* a;          // [kMostPairs] of kDepthTiles * kStepBytes
  float* exponents;  // [kMostPairs][32]
  float* sums;       // one block, or all when k is cut
};

// Products p0 .. p1, in tiles, of all the task's blocks.
inline void depth_block(const Matrices& at, const Block& block, std::int64_t p0, std::int64_t p1, const Scratch& s) {
  const std::int64_t pairs = block.pair_end - block.pair_begin;
  const std::int64_t lines =
      (kStepBytes / 64 + pairs - 1) / pairs;  // of the next panel, per tile of each pair's product
  for (std::int64_t panel = block.panel_begin; panel < block.panel_end; ++panel) {
    const Bytes* b = reinterpret_cast<const Bytes*>(at.b) + panel * kPanelBytes;
    for (std::int64_t i = 0; i < pairs; ++i) {
      float* sums = kDepthBlocks > 1 ? s.sums + ((panel - block.panel_begin) * pairs + i) * 2 * kSide * kNr : s.sums;
      const Bytes* ahead = b + kPanelBytes + p0 * kStepBytes + i * (p1 - p0) * lines * 64;
      multiply(s.a + (i * kDepthTiles + p0) * kStepBytes, b + p0 * kStepBytes, p1 - p0, p0 == 0, sums, ahead, lines);
      if (p1 == kDepthTiles)
        finish_block(at, (block.pair_begin + i) * 2 * kSide, panel, s.exponents + i * 2 * kSide, b, sums);
    }
  }
}

inline void split_rows(const Matrices& at, const Block& block, const Scratch& s) {
  const std::int64_t begin = block.pair_begin * 2 * kSide,
                     end = block.pair_end * 2 * kSide < kM ? block.pair_end * 2 * kSide : kM;
  for (std::int64_t row = begin; row < end; ++row) {
    const std::int64_t i = row - begin;
    Bytes* line =
        s.a + i / (2 * kSide) * kDepthTiles * kStepBytes + i / kSide % 2 * kParts * kTileBytes + i % kSide * 64;
    s.exponents[i] = split_row(at.a + row * kARow, line);
  }
}

// ---- packing

inline void pack_panel(const float* from, std::int64_t width, Bytes* to) {
  auto* exponents = reinterpret_cast<float*>(to + kDepthTiles * kStepBytes);
  const auto row = [&](std::int64_t p, std::int64_t v) {
    return p < kK ? load_lanes<kBColumn>(from + p * kBRow + v * kLanes * kBColumn, width - v * kLanes)
                  : _mm512_setzero_ps();
  };
  bool finite = true;
  for (std::int64_t v = 0; v < 2; ++v) {
    __m512i most = _mm512_setzero_si512();
    for (std::int64_t p = 0; p < kK; ++p) most = _mm512_max_epu32(most, magnitude(row(p, v)));
    finite = column_exponents(most, exponents + v * kLanes) && finite;
  }
  if (!finite) {
    for (std::int64_t p = 0; p < kK; ++p)
      for (std::int64_t v = 0; v < 2; ++v) _mm512_storeu_ps(to + (p * kNr + v * kLanes) * 4, row(p, v));
    exponents[0] = kNotFinite;
    return;
  }
  for (std::int64_t v = 0; v < 2; ++v) {
    const __m512 scale = _mm512_sub_ps(_mm512_setzero_ps(), _mm512_loadu_ps(exponents + v * kLanes));
    for (std::int64_t p = 0; p < kDepthTiles * kDeep; p += 2)
      split_columns(_mm512_scalef_ps(row(p, v), scale), _mm512_scalef_ps(row(p + 1, v), scale),
                    to + p / kDeep * kStepBytes + v * kParts * kTileBytes + p % kDeep / 2 * 64);
  }
}

}  // namespace

extern "C" void KILN_KERNEL(void* const* args, const kiln_task* task) {
  const Matrices at = matrices_at(args, task->index / (kRowBlocks * kColumnBlocks));
  const Block block = block_of(task->index);
  Scratch s;
  s.a = static_cast<Bytes*>(task->scratch);
  s.exponents = reinterpret_cast<float*>(s.a + kMostPairs * kDepthTiles * kStepBytes);
  s.sums = s.exponents + kMostPairs * 2 * kSide;
  split_rows(at, block, s);
  const TileShapes shapes;
  _tile_loadconfig(&shapes);
  constexpr std::int64_t kDepthStep = (kDepthTiles + kDepthBlocks - 1) / kDepthBlocks;
  for (std::int64_t p = 0; p < kDepthTiles; p += kDepthStep)
    depth_block(at, block, p, p + kDepthStep < kDepthTiles ? p + kDepthStep : kDepthTiles, s);
  _tile_release();
}

// One panel of every distinct B.
extern "C" void KILN_PACK(void* const* args, const kiln_task* task) {
  const std::int64_t column = task->index * kNr, width = kN - column < kNr ? kN - column : kNr;
  for (std::int64_t matrix = 0; matrix < kPackedMatrices; ++matrix)
    pack_panel(unpacked_b(args, matrix) + column * kBColumn, width,
               reinterpret_cast<Bytes*>(packed_b(args, matrix)) + task->index * kPanelBytes);
}
