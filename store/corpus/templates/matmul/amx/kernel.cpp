// Data movement: A is split once per task into scratch, B once per loaded plan; the parts of both stream from the
// second level of cache as tiles of 1 KiB, each used twice per load. Sums stay in tile registers for kc products; when
// k is longer, partial sums wait in scratch. While a panel of B is multiplied, the next one is fetched into the second
// level: weights are often no nearer than memory. The epilogue runs on a block that is still in the first level, so
// results are written once. The floor is six times 2 m n k over the tile unit's bfloat16 peak; splitting A adds a tenth
// of that at n = 384.
//
// How a float32 product is made of bfloat16 parts: cpu/tiles.h. Rows of A and columns of B have a scale each. Rows and
// panels with an infinity or a NaN go through plain float32 arithmetic.

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
  for (std::int64_t t = 0; t < kSteps; ++t, to += kStep)
    for (std::int64_t half = 0; half < 2; ++half) {
      const std::int64_t p = t * kDeep + half * kLanes;
      __m512 rest = _mm512_scalef_ps(load_lanes<kAColumn>(row + p * kAColumn, kK - p), scale);
      for (int s = 0; s < kParts; ++s)
        _mm256_storeu_si256(reinterpret_cast<__m256i*>(to + s * kTileBytes + half * 32), next_part(rest));
    }
  return exponent;
}

// ---- what is not finite

// Columns v kLanes .. of row p of a panel of B, put together again. A panel that is not finite holds the numbers
// themselves.
inline __m512 unsplit(const Bytes* panel, std::int64_t p, std::int64_t v) {
  const float* exponents = exponents_of(panel);
  if (exponents[0] == kNotFinite) return _mm512_loadu_ps(panel + (p * kNr + v * kLanes) * 4);
  const Bytes* tile = panel + p / kDeep * kStep + v * kParts * kTileBytes;
  return _mm512_scalef_ps(joined_columns(tile, p % kDeep), _mm512_loadu_ps(exponents + v * kLanes));
}

__attribute__((noinline)) vf plain(const float* row, const Bytes* panel, std::int64_t v) {
  __m512 sum = _mm512_setzero_ps();
  for (std::int64_t p = 0; p < kK; ++p)
    sum = _mm512_fmadd_ps(_mm512_set1_ps(row[p * kAColumn]), unsplit(panel, p, v), sum);
  return (vf)sum;
}

// ---- packing

inline void split_panel(const float* from, std::int64_t width, Bytes* to) {
  auto* exponents = reinterpret_cast<float*>(to + kSteps * kStep);
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
    for (std::int64_t p = 0; p < kSteps * kDeep; p += 2)
      split_columns(_mm512_scalef_ps(row(p, v), scale), _mm512_scalef_ps(row(p + 1, v), scale),
                    to + p / kDeep * kStep + v * kParts * kTileBytes + p % kDeep / 2 * 64);
  }
}

struct Floats {
  static float pack_row(const float* row, Bytes* to) { return split_row(row, to); }
  static void pack_panel(const float* from, std::int64_t width, Bytes* to) { split_panel(from, width, to); }
  static void add(const Bytes* a, const Bytes* b) { add_step<kTileBytes, kLower>(a, b); }
  static vf value(const Matrices& at, std::int64_t row, float exponent, const Bytes* panel, std::int64_t v,
                  const float* sums) {
    const float* exponents = exponents_of(panel);
    if (exponent == kNotFinite || exponents[0] == kNotFinite) return plain(at.a + row * kARow, panel, v);
    const __m512 scale = _mm512_add_ps(_mm512_set1_ps(exponent), _mm512_loadu_ps(exponents + v * kLanes));
    return (vf)_mm512_scalef_ps(_mm512_loadu_ps(sums), scale);
  }
};

}  // namespace

extern "C" void KILN_KERNEL(void* const* args, const kiln_task* task) { multiply_blocks<Floats>(args, task); }

extern "C" void KILN_PACK(void* const* args, const kiln_task* task) { pack_panels<Floats>(args, task); }
