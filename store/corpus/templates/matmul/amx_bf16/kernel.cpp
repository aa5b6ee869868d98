// Data movement: B is packed once per loaded plan when it is a weight, else before each run; its panels stream from the
// second level of cache as tiles of 1 KiB, each used twice per load. The rows of a task are copied into scratch in the
// tiles' order. Sums stay in tile registers for kc products; when k is longer, partial sums wait in scratch. While a
// panel of B is multiplied, the next one is fetched into the second level. The epilogue runs on a block that is still
// in the first level, so results are written once. The floor is 2 m n k over the tile unit's bfloat16 peak; the tiles'
// way from the second level of cache and, at small n, the copy of A limit it.
//
// Products of bfloat16 are exact in float32, in which the tile unit adds them up, but it takes denormals for zero and
// leaves none behind (Intel SDM, TDPBF16PS). Hence columns of B are scaled by powers of two, which is exact, so that
// their largest element is near 1, and so are those rows of A whose largest is far from it. The unit's wrappers:
// cpu/tiles.h.

constexpr std::int64_t kTwoTiles = 2 * kTileBytes;  // 32 rows or columns, 32 deep
constexpr std::int64_t kDepthTiles = (kK + kDeep - 1) / kDeep;
constexpr std::int64_t kPanelBytes = kPackedStride / kPanels * 4;
constexpr bool kLower = kM > kSide;  // whether any pair has a second tile of rows

// ---- elements and their exponents

inline __m256i scaled(__m256i x, __m512 exponent) {
  return (__m256i)_mm512_cvtneps_pbh(_mm512_scalef_ps(widened(x), exponent));
}

// Lanes i of `count` are from[i * stride], others 0.
template <std::int64_t stride>
inline __m512i load_32(const ElementB* from, std::int64_t count) {
  if constexpr (stride == 1) return _mm512_maskz_loadu_epi16(count >= 32 ? ~0u : (1u << count) - 1, from);
  std::uint16_t x[32] = {};
  for (std::int64_t i = 0; i < count && i < 32; ++i) x[i] = from[i * stride].bits;
  return _mm512_loadu_si512(x);
}
template <std::int64_t stride>
inline __m256i load_16(const ElementB* from, std::int64_t count) {
  if constexpr (stride == 1) return _mm256_maskz_loadu_epi16(first_lanes(count), from);
  std::uint16_t x[16] = {};
  for (std::int64_t i = 0; i < count && i < 16; ++i) x[i] = from[i * stride].bits;
  return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(x));
}

// The e for which 2^-e brings the largest of some elements near 1, from the bits of their magnitudes; 0 where there is
// an infinity or a NaN among them, which no scale changes.
inline float scale_of(std::uint32_t most) {
  const float exponent = exponent_of(most << 16);
  return exponent == kNotFinite ? 0.0f : exponent;
}

// Largest elements of rows that need no scale: what the tile unit takes for zero then is less than 2^-86 of the
// largest product, and no sum overflows that does not in float32.
constexpr std::uint32_t kLeastPlain = (127 - 20) << 7, kMostPlain = (127 + 60) << 7, kInfinity = 255 << 7;

// ---- rows of A

inline std::uint32_t largest(const ElementA* row) {
  __m512i most = _mm512_setzero_si512();
  for (std::int64_t p = 0; p < kK; p += kDeep) {
    const __m512i x = load_32<kAColumn>(row + p * kAColumn, kK - p);
    most = _mm512_max_epu16(most, _mm512_and_si512(x, _mm512_set1_epi16(0x7fff)));
  }
  const __m512i odd = _mm512_srli_epi32(most, 16), even = _mm512_and_si512(most, _mm512_set1_epi32(0xffff));
  return _mm512_reduce_max_epu32(_mm512_max_epu32(odd, even));
}

// Copies one row of A into its lines of the tiles [depth][half][row]; its exponent.
inline float pack_row(const ElementA* row, Bytes* to) {
  const std::uint32_t most = largest(row);
  if (most == 0 || most >= kInfinity || (most >= kLeastPlain && most < kMostPlain)) {
    for (std::int64_t p = 0; p < kK; p += kDeep, to += kTwoTiles)
      _mm512_storeu_si512(to, load_32<kAColumn>(row + p * kAColumn, kK - p));
    return 0.0f;
  }
  const float exponent = scale_of(most);
  const __m512 scale = _mm512_set1_ps(-exponent);
  for (std::int64_t p = 0; p < kK; p += kDeep, to += kTwoTiles)
    for (std::int64_t half = 0; half < 2; ++half) {
      const std::int64_t q = p + half * kSide;
      _mm256_storeu_si256(reinterpret_cast<__m256i*>(to + half * 32),
                          scaled(load_16<kAColumn>(row + q * kAColumn, kK - q), scale));
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
  for (std::int64_t t = 0; t < depth; ++t, a += kTwoTiles, b += kTwoTiles) {
    for (std::int64_t i = 0; i < lines; ++i, ahead += 64) __builtin_prefetch(ahead, 0, 2);
    _tile_loadd(6, b, 64);
    _tile_loadd(4, a, 64);
    _tile_loadd(7, b + kTileBytes, 64);
    _tile_dpbf16ps(0, 4, 6);
    _tile_dpbf16ps(1, 4, 7);
    if constexpr (kLower) {
      _tile_loadd(5, a + kTileBytes, 64);
      _tile_dpbf16ps(2, 5, 6);
      _tile_dpbf16ps(3, 5, 7);
    }
  }
  store_sums(sums);
}

// ---- a task

// The epilogue of one row of a block of sums; `exponents` are those of the panel's columns.
template <int columns>
inline void finish_row(const Matrices& at, std::int64_t row, std::int64_t column, float exponent,
                       const float* exponents, const float* sums) {
  const auto value = [&](std::int64_t v) {
    const __m512 scale = _mm512_add_ps(_mm512_set1_ps(exponent), _mm512_loadu_ps(exponents + v * kLanes));
    return (vf)_mm512_scalef_ps(_mm512_loadu_ps(sums + v * kLanes), scale);
  };
  if constexpr (columns >= kLanes) finish<kLanes>(at, row, column, value(0));
  if constexpr (columns < kLanes) finish<columns>(at, row, column, value(0));
  if constexpr (columns == kNr) finish<kLanes>(at, row, column + kLanes, value(1));
  if constexpr (columns > kLanes && columns < kNr) finish<columns - kLanes>(at, row, column + kLanes, value(1));
}

inline void finish_block(const Matrices& at, std::int64_t row, std::int64_t panel, const float* row_exponents,
                         const float* exponents, const float* sums) {
  const std::int64_t rows = kM - row < 2 * kSide ? kM - row : 2 * kSide;
  for (std::int64_t i = 0; i < rows; ++i, sums += kNr) {
    const float own = row_exponents[i];
    if (kTailColumns == kNr || panel + 1 < kPanels) finish_row<kNr>(at, row + i, panel * kNr, own, exponents, sums);
    else finish_row<kTailColumns>(at, row + i, panel * kNr, own, exponents, sums);
  }
}

struct Scratch {
  Bytes* a;          // [kMostPairs] of kDepthTiles * kTwoTiles
  float* exponents;  // [kMostPairs][32]
  float* sums;       // one block, or all when k is cut
};

// Products p0 .. p1, in tiles, of all the task's blocks.
inline void depth_block(const Matrices& at, const Block& block, std::int64_t p0, std::int64_t p1, const Scratch& s) {
  const std::int64_t pairs = block.pair_end - block.pair_begin;
  const std::int64_t lines = (kTwoTiles / 64 + pairs - 1) / pairs;  // of the next panel, per tile of each pair
  for (std::int64_t panel = block.panel_begin; panel < block.panel_end; ++panel) {
    const Bytes* b = reinterpret_cast<const Bytes*>(at.b) + panel * kPanelBytes;
    const auto* exponents = reinterpret_cast<const float*>(b + kDepthTiles * kTwoTiles);
    for (std::int64_t i = 0; i < pairs; ++i) {
      float* sums = kDepthBlocks > 1 ? s.sums + ((panel - block.panel_begin) * pairs + i) * 2 * kSide * kNr : s.sums;
      const Bytes* ahead = b + kPanelBytes + p0 * kTwoTiles + i * (p1 - p0) * lines * 64;
      multiply(s.a + (i * kDepthTiles + p0) * kTwoTiles, b + p0 * kTwoTiles, p1 - p0, p0 == 0, sums, ahead, lines);
      if (p1 == kDepthTiles)
        finish_block(at, (block.pair_begin + i) * 2 * kSide, panel, s.exponents + i * 2 * kSide, exponents, sums);
    }
  }
}

inline void pack_rows(const Matrices& at, const Block& block, const Scratch& s) {
  const std::int64_t begin = block.pair_begin * 2 * kSide,
                     end = block.pair_end * 2 * kSide < kM ? block.pair_end * 2 * kSide : kM;
  for (std::int64_t row = begin; row < end; ++row) {
    const std::int64_t i = row - begin;
    Bytes* line = s.a + i / (2 * kSide) * kDepthTiles * kTwoTiles + i / kSide % 2 * kTileBytes + i % kSide * 64;
    s.exponents[i] = pack_row(at.a + row * kARow, line);
  }
}

// ---- packing

// Columns as pairs of rows p and p + 1, scaled, in tiles [depth][half][pair][column]; then the columns' exponents.
inline void pack_panel(const ElementB* from, std::int64_t width, Bytes* to) {
  auto* exponents = reinterpret_cast<float*>(to + kDepthTiles * kTwoTiles);
  for (std::int64_t v = 0; v < 2; ++v) {
    const auto row = [&](std::int64_t p) {
      return p < kK ? load_16<kBColumn>(from + p * kBRow + v * kLanes * kBColumn, width - v * kLanes)
                    : _mm256_setzero_si256();
    };
    __m256i most = _mm256_setzero_si256();
    for (std::int64_t p = 0; p < kK; ++p)
      most = _mm256_max_epu16(most, _mm256_and_si256(row(p), _mm256_set1_epi16(0x7fff)));
    std::uint16_t bits[kLanes];
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(bits), most);
    for (int i = 0; i < kLanes; ++i) exponents[v * kLanes + i] = scale_of(bits[i]);
    const __m512 scale = _mm512_sub_ps(_mm512_setzero_ps(), _mm512_loadu_ps(exponents + v * kLanes));
    for (std::int64_t p = 0; p < kDepthTiles * kDeep; p += 2) {
      const __m512i low = _mm512_cvtepu16_epi32(scaled(row(p), scale)),
                    high = _mm512_slli_epi32(_mm512_cvtepu16_epi32(scaled(row(p + 1), scale)), 16);
      _mm512_storeu_si512(to + p / kDeep * kTwoTiles + v * kTileBytes + p % kDeep / 2 * 64,
                          _mm512_or_si512(low, high));
    }
  }
}

}  // namespace

extern "C" void KILN_KERNEL(void* const* args, const kiln_task* task) {
  const Matrices at = matrices_at(args, task->index / (kRowBlocks * kColumnBlocks));
  const Block block = block_of(task->index);
  Scratch s;
  s.a = static_cast<Bytes*>(task->scratch);
  s.exponents = reinterpret_cast<float*>(s.a + kMostPairs * kDepthTiles * kTwoTiles);
  s.sums = s.exponents + kMostPairs * 2 * kSide;
  pack_rows(at, block, s);
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
