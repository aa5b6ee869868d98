// Products at float32 accuracy on the tile unit (AMX) of a processor.
//
// A float is the sum of three bfloat16 numbers: three times 8 bits hold its 24. Of the nine products of parts, the six
// that reach 2^-24 of the whole are added up in float32 by the tile unit (Henry, Tang, Heinecke, arXiv 1904.06376),
// which errs less than rounding the float32 product. The tile unit takes denormals for zero, so that operands are
// scaled by powers of two first, which is exact. After bfloat16.h.
//
// A step multiplies 32 rows of A, 32 deep, with 32 columns of B: tiles 0 to 3 hold sums, 4 and 5 rows, 6 and 7 columns.

constexpr std::int64_t kSide = 16;  // rows and columns of a tile of sums
constexpr std::int64_t kDeep = 32;  // products in a tile of rows or columns
constexpr std::int64_t kBlock = 2 * kSide;  // rows, and columns, of a block of sums
constexpr std::int64_t kTileBytes = 1024;
constexpr int kParts = 3;
constexpr std::int64_t kStepBytes = 2 * kParts * kTileBytes;  // the parts of 32 columns, 32 deep

using Bytes = unsigned char;

struct __attribute__((packed)) TileShapes {
  std::uint8_t palette = 1, start_row = 0, reserved[14] = {};
  std::uint16_t row_bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
  std::uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
};

// ---- parts

// The next part of 16 floats, and what it leaves of them.
inline __m256i next_part(__m512& rest) {
  const auto part_of_rest = (__m256i)_mm512_cvtneps_pbh(rest);
  rest = _mm512_sub_ps(rest, widened(part_of_rest));
  return part_of_rest;
}

inline __m512i magnitude(__m512 x) { return _mm512_and_si512(_mm512_castps_si512(x), _mm512_set1_epi32(0x7fffffff)); }

// The exponents of 16 columns by the bits of their largest magnitudes; whether all are finite.
inline bool column_exponents(__m512i most, float* to) {
  std::uint32_t bits_of[kSide];
  _mm512_storeu_si512(bits_of, most);
  bool finite = true;
  for (int i = 0; i < kSide; ++i) {
    to[i] = exponent_of(bits_of[i]);
    finite = finite && to[i] != kNotFinite;
  }
  return finite;
}

// Rows p and p + 1 of 16 columns, as pairs: a line of the tile of each part. A bfloat16 is its one part.
template <int parts = kParts>
inline void split_columns(__m512 even, __m512 odd, Bytes* to) {
  for (int s = 0; s < parts; ++s) {
    const __m512i low = _mm512_cvtepu16_epi32(next_part(even)),
                  high = _mm512_slli_epi32(_mm512_cvtepu16_epi32(next_part(odd)), 16);
    _mm512_storeu_si512(to + s * kTileBytes, _mm512_or_si512(low, high));
  }
}

// Row p of 16 columns, put together again from the tiles of their parts; p is less than kDeep.
template <int parts = kParts>
inline __m512 joined_columns(const Bytes* tile, std::int64_t p) {
  __m512 sum = _mm512_setzero_ps();
  for (int s = parts - 1; s >= 0; --s) {
    const __m512i both = _mm512_loadu_si512(tile + s * kTileBytes + p / 2 * 64);
    sum = _mm512_add_ps(
        sum, _mm512_castsi512_ps(p % 2 == 0 ? _mm512_slli_epi32(both, 16)
                                            : _mm512_and_si512(both, _mm512_set1_epi32(static_cast<int>(0xffff0000)))));
  }
  return sum;
}

// ---- sums of a block, row-major [32][32]

constexpr long kSumBytes = kBlock * sizeof(float);

inline void zero_sums() {
  _tile_zero(0);
  _tile_zero(1);
  _tile_zero(2);
  _tile_zero(3);
}

inline void load_sums(const float* sums) {
  _tile_loadd(0, sums, kSumBytes);
  _tile_loadd(1, sums + kSide, kSumBytes);
  _tile_loadd(2, sums + kSide * kBlock, kSumBytes);
  _tile_loadd(3, sums + kSide * kBlock + kSide, kSumBytes);
}

inline void store_sums(float* sums) {
  _tile_stored(0, sums, kSumBytes);
  _tile_stored(1, sums + kSide, kSumBytes);
  _tile_stored(2, sums + kSide * kBlock, kSumBytes);
  _tile_stored(3, sums + kSide * kBlock + kSide, kSumBytes);
}

inline void add_products() {
  _tile_dpbf16ps(0, 4, 6);
  _tile_dpbf16ps(1, 4, 7);
  _tile_dpbf16ps(2, 5, 6);
  _tile_dpbf16ps(3, 5, 7);
}

// One step: part s of the upper rows lies at a + s * part, of the lower ones `lower` bytes behind it; b is `parts`
// tiles of 16 columns, then those of the others. Small products come first, in an order in which each of them loads one
// side only.
template <std::int64_t part, std::int64_t lower, int parts = kParts>
inline void add_step(const Bytes* a, const Bytes* b) {
  const auto rows = [a](int s) {
    _tile_loadd(4, a + s * part, 64);
    _tile_loadd(5, a + s * part + lower, 64);
  };
  const auto columns = [b](int s) {
    _tile_loadd(6, b + s * kTileBytes, 64);
    _tile_loadd(7, b + (parts + s) * kTileBytes, 64);
  };
  rows(0);
  if constexpr (parts == 1) {
    columns(0);
    add_products();
    return;
  }
  columns(2);
  add_products();
  columns(1);
  add_products();
  rows(1);
  add_products();
  columns(0);
  add_products();
  rows(2);
  add_products();
  rows(0);
  add_products();
}
