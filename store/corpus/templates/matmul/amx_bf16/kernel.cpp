// Data movement: B is packed once per loaded plan when it is a weight, else before each run; its panels stream from the
// second level of cache as tiles of 1 KiB, each used twice per load. The rows of a task are copied into scratch in the
// tiles' order. Sums stay in tile registers for kc products; when k is longer, partial sums wait in scratch. While a
// panel of B is multiplied, the next one is fetched into the second level. The epilogue runs on a block that is still
// in the first level, so results are written once. The floor is 2 m n k over the tile unit's bfloat16 peak; the tiles'
// way from the second level of cache and, at small n, the copy of A limit it.
//
// Products of bfloat16 are exact in float32, in which the tile unit adds them up, but it takes denormals for zero and
// leaves none behind (Intel SDM, TDPBF16PS). Hence columns of B are scaled by powers of two, which is exact, so that
// their largest element is near 1, and so are those rows of A whose largest is far from it (cpu/bfloat16.h). The unit's
// wrappers: cpu/tiles.h.

// ---- rows of A

// Copies one row of A into its lines of the tiles [depth][half][row]; its exponent.
inline float copy_row(const ElementA* row, Bytes* to) {
  const std::uint32_t most = largest<kAColumn>(row, kK);
  if (!wants_scale(most)) {
    for (std::int64_t p = 0; p < kK; p += kDeep, to += kStep)
      _mm512_storeu_si512(to, load_32<kAColumn>(row + p * kAColumn, kK - p));
    return 0.0f;
  }
  const float exponent = scale_of(most);
  const __m512 scale = _mm512_set1_ps(-exponent);
  for (std::int64_t p = 0; p < kK; p += kDeep, to += kStep)
    for (std::int64_t half = 0; half < 2; ++half) {
      const std::int64_t q = p + half * kSide;
      _mm256_storeu_si256(reinterpret_cast<__m256i*>(to + half * 32),
                          scaled(load_16<kAColumn>(row + q * kAColumn, kK - q), scale));
    }
  return exponent;
}

// ---- packing

// Columns as pairs of rows p and p + 1, scaled, in tiles [depth][half][pair][column]; then the columns' exponents.
inline void pack_columns(const ElementB* from, std::int64_t width, Bytes* to) {
  auto* exponents = reinterpret_cast<float*>(to + kSteps * kStep);
  for (std::int64_t v = 0; v < 2; ++v) {
    const auto row = [&](std::int64_t p) {
      return p < kK ? load_16<kBColumn>(from + p * kBRow + v * kLanes * kBColumn, width - v * kLanes)
                    : _mm256_setzero_si256();
    };
    column_scales(row, kK, exponents + v * kLanes);
    const __m512 scale = _mm512_sub_ps(_mm512_setzero_ps(), _mm512_loadu_ps(exponents + v * kLanes));
    for (std::int64_t p = 0; p < kSteps * kDeep; p += 2) {
      const __m512i low = _mm512_cvtepu16_epi32(scaled(row(p), scale)),
                    high = _mm512_slli_epi32(_mm512_cvtepu16_epi32(scaled(row(p + 1), scale)), 16);
      _mm512_storeu_si512(to + p / kDeep * kStep + v * kTileBytes + p % kDeep / 2 * 64,
                          _mm512_or_si512(low, high));
    }
  }
}

struct Halves {
  static float pack_row(const ElementA* row, Bytes* to) { return copy_row(row, to); }
  static void pack_panel(const ElementB* from, std::int64_t width, Bytes* to) { pack_columns(from, width, to); }
  static void add(const Bytes* a, const Bytes* b) {
    _tile_loadd(6, b, 64);
    _tile_loadd(4, a, 64);
    _tile_loadd(7, b + kTileBytes, 64);
    _tile_dpbf16ps(0, 4, 6);
    _tile_dpbf16ps(1, 4, 7);
    if constexpr (kM > kSide) {  // else no pair has a second tile of rows
      _tile_loadd(5, a + kLower, 64);
      _tile_dpbf16ps(2, 5, 6);
      _tile_dpbf16ps(3, 5, 7);
    }
  }
  static vf value(const Matrices&, std::int64_t, float exponent, const Bytes* panel, std::int64_t v,
                  const float* sums) {
    const __m512 scale = _mm512_add_ps(_mm512_set1_ps(exponent), _mm512_loadu_ps(exponents_of(panel) + v * kLanes));
    return (vf)_mm512_scalef_ps(_mm512_loadu_ps(sums), scale);
  }
};

}  // namespace

extern "C" void KILN_KERNEL(void* const* args, const kiln_task* task) { multiply_blocks<Halves>(args, task); }

extern "C" void KILN_PACK(void* const* args, const kiln_task* task) { pack_panels<Halves>(args, task); }
