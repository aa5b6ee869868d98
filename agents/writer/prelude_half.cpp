// The 16-bit floats of generated source: how they lie in memory. Kernels compute with them in float32 and round to
// nearest even when they store.
#include "agents/writer/prelude.h"

namespace kiln::agents::writer {
namespace {

constexpr const char* kScalar = R"kiln(
// 16-bit floats in memory. What is computed with them is float32; storing rounds to nearest even.
inline std::uint32_t bits_of(float x) { return __builtin_bit_cast(std::uint32_t, x); }
inline float float_of(std::uint32_t x) { return __builtin_bit_cast(float, x); }

// The upper half of a float32.
struct bf16 {
  std::uint16_t bits;
  bf16() = default;
  bf16(float x) {
    const std::uint32_t b = bits_of(x);
    bits = static_cast<std::uint16_t>(x != x ? b >> 16 | 0x40 : (b + 0x7fff + (b >> 16 & 1)) >> 16);
  }
  operator float() const { return float_of(std::uint32_t{bits} << 16); }
};

// IEEE 754 binary16. Its exponent is that of a float32 less 112; the product with 2^112 puts denormals right as well.
struct f16 {
  std::uint16_t bits;
  f16() = default;
  f16(float x) {
    const std::uint32_t b = bits_of(x), m = b & 0x7fffffff;
    const std::uint32_t denormal = bits_of(float_of(m) + 0.5f) - 0x3f000000;  // 2^-24 is the last place of 0.5
    const std::uint32_t normal = (m + 0xfff + (m >> 13 & 1) - 0x38000000) >> 13;
    const std::uint32_t large = m > 0x7f800000 ? 0x7e00 : 0x7c00;  // from 65520 on it rounds to infinity
    bits = static_cast<std::uint16_t>((b >> 16 & 0x8000) |
                                      (m >= 0x477ff000 ? large : m < 0x38800000 ? denormal : normal));
  }
  operator float() const {
    const std::uint32_t m = (bits & 0x7fffu) << 13, sign = (bits & 0x8000u) << 16;
    const std::uint32_t finite = bits_of(float_of(m) * 0x1p112f);
    return float_of(sign | (m >= 0x0f800000 ? m | 0x7f800000 : finite));
  }
};
)kiln";

constexpr const char* kVector = R"kiln(
// The same for vectors.
typedef std::uint16_t vh __attribute__((vector_size(kLanes * 2)));
typedef std::uint32_t vu __attribute__((vector_size(kLanes * 4)));
inline vf widened(vu b, bf16) { return (vf)(b << 16); }
inline vf widened(vu b, f16) {
  const vu m = (b & 0x7fffu) << 13, sign = (b & 0x8000u) << 16;
  const vu finite = (vu)((vf)m * 0x1p112f);
  return (vf)(sign | (m >= 0x0f800000u ? m | 0x7f800000u : finite));
}
inline vu narrowed(vf x, bf16) {
  const vu b = (vu)x;
  return (x != x ? b >> 16 | 0x40u : (b + 0x7fffu + (b >> 16 & 1u)) >> 16);
}
inline vu narrowed(vf x, f16) {
  const vu b = (vu)x, m = b & 0x7fffffffu;
  const vu denormal = (vu)((vf)m + 0.5f) - 0x3f000000u;
  const vu normal = (m + 0xfffu + (m >> 13 & 1u) - 0x38000000u) >> 13;
  const vu large = m > 0x7f800000u ? vu{} + 0x7e00u : vu{} + 0x7c00u;
  return (b >> 16 & 0x8000u) | (m >= 0x477ff000u ? large : m < 0x38800000u ? denormal : normal);
}
template <int count, class Half>
inline vf load_half(const Half* p) {
  vh x{};
  __builtin_memcpy(&x, p, count * sizeof(Half));
  return widened(__builtin_convertvector(x, vu), Half{});
}
template <int count, class Half>
inline void store_half(Half* p, vf x) {
  const vh y = __builtin_convertvector(narrowed(x, Half{}), vh);
  __builtin_memcpy(p, &y, count * sizeof(Half));
}
template <int count = kLanes> inline vf load(const bf16* p) { return load_half<count>(p); }
template <int count = kLanes> inline vf load(const f16* p) { return load_half<count>(p); }
template <int count = kLanes> inline void store(bf16* p, vf x) { store_half<count>(p, x); }
template <int count = kLanes> inline void store(f16* p, vf x) { store_half<count>(p, x); }
)kiln";

}  // namespace

std::string half_prelude(bool vectors) { return vectors ? std::string(kScalar) + kVector : kScalar; }

}  // namespace kiln::agents::writer
