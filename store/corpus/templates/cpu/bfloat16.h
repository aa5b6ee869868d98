// Numbers in bfloat16 for instructions that multiply them exactly and add up in float32, but take denormals for zero
// and leave none behind (Intel SDM, TDPBF16PS and VDPBF16PS): operands are scaled by powers of two, which is exact,
// so that their largest element is near 1.

inline __m512 widened(__m256i half) { return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(half), 16)); }

inline __mmask16 first_lanes(std::int64_t count) {
  return static_cast<__mmask16>(count >= 16 ? 0xffff : count <= 0 ? 0 : (1u << count) - 1);
}

// The e for which 2^-e brings the largest of some floats near 1, from the bits of their magnitudes; kNotFinite when
// there is an infinity or a NaN among them.
constexpr float kNotFinite = 1000;
inline float exponent_of(std::uint32_t most) {
  const auto exponent = static_cast<std::int32_t>(most >> 23);
  return exponent == 255 ? kNotFinite : static_cast<float>(exponent == 0 ? -126 : exponent - 127);
}

// ---- elements of a matrix: `bits` are theirs

inline __m256i scaled(__m256i x, __m512 exponent) {
  return (__m256i)_mm512_cvtneps_pbh(_mm512_scalef_ps(widened(x), exponent));
}

// Lanes i of `count` are from[i * stride], others 0.
template <std::int64_t stride, class Element>
inline __m512i load_32(const Element* from, std::int64_t count) {
  if constexpr (stride == 1) return _mm512_maskz_loadu_epi16(count >= 32 ? ~0u : (1u << count) - 1, from);
  std::uint16_t x[32] = {};
  for (std::int64_t i = 0; i < count && i < 32; ++i) x[i] = from[i * stride].bits;
  return _mm512_loadu_si512(x);
}
template <std::int64_t stride, class Element>
inline __m256i load_16(const Element* from, std::int64_t count) {
  if constexpr (stride == 1) return _mm256_maskz_loadu_epi16(first_lanes(count), from);
  std::uint16_t x[16] = {};
  for (std::int64_t i = 0; i < count && i < 16; ++i) x[i] = from[i * stride].bits;
  return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(x));
}

// ---- scales

// The e for which 2^-e brings the largest of some elements near 1, from the bits of their magnitudes; 0 where there is
// an infinity or a NaN among them, which no scale changes.
inline float scale_of(std::uint32_t most) {
  const float exponent = exponent_of(most << 16);
  return exponent == kNotFinite ? 0.0f : exponent;
}

// The bits of the largest magnitude of a row.
template <std::int64_t stride, class Element>
inline std::uint32_t largest(const Element* row, std::int64_t count) {
  __m512i most = _mm512_setzero_si512();
  for (std::int64_t p = 0; p < count; p += 32) {
    const __m512i x = load_32<stride>(row + p * stride, count - p);
    most = _mm512_max_epu16(most, _mm512_and_si512(x, _mm512_set1_epi16(0x7fff)));
  }
  const __m512i odd = _mm512_srli_epi32(most, 16), even = _mm512_and_si512(most, _mm512_set1_epi32(0xffff));
  return _mm512_reduce_max_epu32(_mm512_max_epu32(odd, even));
}

// Of a row with that largest magnitude. Between 2^-20 and 2^60 it needs none: what is taken for zero then is less than
// 2^-86 of the largest product, and no sum overflows that does not in float32.
inline bool wants_scale(std::uint32_t most) {
  constexpr std::uint32_t least_plain = (127 - 20) << 7, most_plain = (127 + 60) << 7, infinity = 255 << 7;
  return most != 0 && most < infinity && (most < least_plain || most >= most_plain);
}

// The exponents of 16 columns, of which row(p) are the elements of row p.
template <class Row>
inline void column_scales(Row row, std::int64_t rows, float* to) {
  __m256i most = _mm256_setzero_si256();
  for (std::int64_t p = 0; p < rows; ++p)
    most = _mm256_max_epu16(most, _mm256_and_si256(row(p), _mm256_set1_epi16(0x7fff)));
  std::uint16_t bits[16];
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(bits), most);
  for (int i = 0; i < 16; ++i) to[i] = scale_of(bits[i]);
}
