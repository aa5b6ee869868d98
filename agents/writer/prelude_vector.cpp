#include <fmt/format.h>

#include "agents/writer/prelude.h"

namespace kiln::agents::writer {
namespace {

constexpr const char* kVector = R"kiln(
// Vectors: vf holds kLanes floats, vm one mask (0 or -1) or integer for each.
typedef float vf __attribute__((vector_size(kLanes * 4)));
typedef std::int32_t vm __attribute__((vector_size(kLanes * 4)));

inline vf splat(float x) { return x - vf{}; }
inline vm splat_mask(bool x) { return (x ? -1 : 0) - vm{}; }
inline vm bits(vf x) { return (vm)x; }
inline vf from_bits(vm x) { return (vf)x; }
inline vf select(vm condition, vf then, vf otherwise) { return condition ? then : otherwise; }
inline vm select(vm condition, vm then, vm otherwise) { return condition ? then : otherwise; }

// The first `count` lanes from memory; the others are zero.
template <int count = kLanes>
inline vf load(const float* p) {
  vf x{};
  __builtin_memcpy(&x, p, count * sizeof(float));
  return x;
}
template <int count = kLanes>
inline void store(float* p, vf x) {
  __builtin_memcpy(p, &x, count * sizeof(float));
}
template <int count = kLanes, class T>
inline vf load_strided(const T* p, std::int64_t stride) {
  vf x{};
  for (int i = 0; i < count; ++i) x[i] = p[i * stride];
  return x;
}
template <int count = kLanes, class T>
inline void store_strided(T* p, std::int64_t stride, vf x) {
  for (int i = 0; i < count; ++i) p[i * stride] = x[i];
}
// Booleans are bytes in memory.
template <int count = kLanes>
inline vm load_mask(const std::uint8_t* p, std::int64_t stride = 1) {
  vm x{};
  for (int i = 0; i < count; ++i) x[i] = p[i * stride] != 0 ? -1 : 0;
  return x;
}
template <int count = kLanes>
inline void store_mask(std::uint8_t* p, std::int64_t stride, vm x) {
  for (int i = 0; i < count; ++i) p[i * stride] = x[i] != 0;
}

// Extrema keep NaN, as the operators of ONNX do.
inline vf vmax(vf a, vf b) {
  const vf larger = a <= b ? b : a;
  return b == b ? larger : b;
}
inline vf vmin(vf a, vf b) {
  const vf smaller = a >= b ? b : a;
  return b == b ? smaller : b;
}

// One value of all lanes, as a tree: the rounding error grows with the logarithm of the number of lanes.
template <int by, int... lane>
inline vf rotated_lanes(vf x, std::integer_sequence<int, lane...>) {
  return __builtin_shufflevector(x, x, (lane + by) % kLanes...);
}
template <int by>
inline vf rotated(vf x) {
  return rotated_lanes<by>(x, std::make_integer_sequence<int, kLanes>());
}
template <class Combine>
inline float across(vf x, Combine combine) {
  if constexpr (kLanes >= 16) x = combine(x, rotated<kLanes / 2>(x));
  if constexpr (kLanes >= 8) x = combine(x, rotated<kLanes >= 16 ? 4 : kLanes / 2>(x));
  x = combine(x, rotated<2>(x));
  return combine(x, rotated<1>(x))[0];
}

// Lane j of block[i] becomes lane i of block[j]: ever smaller halves of pairs of vectors change places.
template <int by, int... lane>
inline void exchange(vf& a, vf& b, std::integer_sequence<int, lane...>) {
  const vf first = __builtin_shufflevector(a, b, (lane & by ? lane - by + kLanes : lane)...);
  b = __builtin_shufflevector(a, b, (lane & by ? lane + kLanes : lane + by)...);
  a = first;
}
template <int by = kLanes / 2>
inline void transpose(vf (&block)[kLanes]) {
#pragma GCC unroll 16
  for (int i = 0; i < kLanes; ++i)
    if ((i & by) == 0) exchange<by>(block[i], block[i + by], std::make_integer_sequence<int, kLanes>());
  if constexpr (by > 1) transpose<by / 2>(block);
}

// x / divisor, as a product with the reciprocal and one step of Newton's method, which makes it as exact as a division
// (Markstein, IBM J. Res. Dev. 34, 1990). Where that has no finite value, the division itself.
inline vf divide_by(vf x, float divisor) {
  const float size = divisor < 0.0f ? -divisor : divisor;
  if (!(size > 1e-30f && size < 1e30f)) return x / divisor;
  const vf inverse = splat(1.0f / divisor);
  const vf q = x * inverse;
  const vf rest = x - q * divisor;
  return rest - rest == 0.0f ? q + rest * inverse : q;
}
inline vm lane_numbers() {
  vm x{};
  for (int i = 0; i < kLanes; ++i) x[i] = i;
  return x;
}
// Lanes past `count` become `other`.
inline vf keep_first(vf x, std::int32_t count, float other) { return lane_numbers() < count ? x : splat(other); }
template <int count>
inline vf keep_first(vf x, float other) {
  if constexpr (count < kLanes)
    for (int i = count; i < kLanes; ++i) x[i] = other;
  return x;
}
)kiln";

constexpr const char* kScalar = R"kiln(
// Scalars. Conversion of a float to an integer saturates, a NaN becomes 0; division by zero gives 0 instead of a
// signal.
template <class To, class From>
inline To convert(From x) {
  if constexpr (std::is_floating_point_v<From> && std::is_integral_v<To>) {
    if (!(x == x)) return 0;
    if (x <= static_cast<From>(std::numeric_limits<To>::min())) return std::numeric_limits<To>::min();
    if (x >= static_cast<From>(std::numeric_limits<To>::max())) return std::numeric_limits<To>::max();
  }
  return static_cast<To>(x);
}
template <class T>
inline T divide(T a, T b) {
  if (b == 0) return 0;
  if constexpr (std::is_signed_v<T>)
    if (b == -1) return static_cast<T>(0 - static_cast<std::uint64_t>(a));
  return static_cast<T>(a / b);
}
// The remainder has the sign of the divisor.
template <class T>
inline T remainder_of(T a, T b) {
  T r;
  if constexpr (std::is_floating_point_v<T>) {
    r = std::fmod(a, b);
  } else {
    if (b == 0) return 0;
    if constexpr (std::is_signed_v<T>)
      if (b == -1) return 0;
    r = static_cast<T>(a % b);
  }
  return r != 0 && ((r < 0) != (b < 0)) ? static_cast<T>(r + b) : r;
}
template <class T>
inline T remainder_toward_zero(T a, T b) {
  if (b == 0) return 0;
  if constexpr (std::is_signed_v<T>)
    if (b == -1) return 0;
  return static_cast<T>(a % b);
}
// Of unsigned types; nothing is left after a shift by the width.
template <class T>
inline T shifted_left(T a, T by) { return by < T(8 * sizeof(T)) ? static_cast<T>(std::uint64_t(a) << by) : T(0); }
template <class T>
inline T shifted_right(T a, T by) { return by < T(8 * sizeof(T)) ? static_cast<T>(a >> by) : T(0); }
template <class T>
inline T power(T base, T exponent) {
  if constexpr (std::is_signed_v<T>)
    if (exponent < 0) return base == 1 ? 1 : base == -1 ? (exponent % 2 == 0 ? 1 : -1) : 0;
  std::uint64_t result = 1, factor = static_cast<std::uint64_t>(base);
  for (std::uint64_t e = static_cast<std::uint64_t>(exponent); e != 0; e >>= 1, factor *= factor)
    if (e & 1) result *= factor;
  return static_cast<T>(result);
}
template <class T> inline T least(T a, T b) { return a != a ? a : b != b ? b : a < b ? a : b; }
template <class T> inline T greatest(T a, T b) { return a != a ? a : b != b ? b : a < b ? b : a; }
template <class T> inline T absolute(T x) { return x < 0 ? static_cast<T>(-x) : x == 0 ? T(0) : x; }
template <class T> inline T sign_of(T x) { return x != x ? x : static_cast<T>((x > 0) - (x < 0)); }
)kiln";

}  // namespace

std::string vector_prelude(int lanes) {
  return fmt::format("constexpr int kLanes = {};  // floats in a vector of {} bits\n", lanes, lanes * 32) + kVector;
}

std::string scalar_prelude() { return kScalar; }

}  // namespace kiln::agents::writer
