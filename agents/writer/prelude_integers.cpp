// Integers of at most 32 bits in the lanes of generated source: held as i32, narrow ones widened by their sign.
#include "agents/writer/prelude.h"

namespace kiln::agents::writer {
namespace {

constexpr const char* kIntegers = R"kiln(
// Integers of at most 32 bits, one to a lane; arithmetic wraps, and is that of i32.
typedef std::uint32_t vs __attribute__((vector_size(kLanes * 4)));
template <class T>
struct InMemory {
  typedef T Vector __attribute__((vector_size(kLanes * sizeof(T))));
};
inline vm splat_integer(std::int32_t x) { return x - vm{}; }
template <int count, class T>
inline vm load_integers(const T* p, std::int64_t stride) {
  typename InMemory<T>::Vector x{};
  if (stride == 1) __builtin_memcpy(&x, p, count * sizeof(T));
  else
    for (int i = 0; i < count; ++i) x[i] = p[i * stride];
  return __builtin_convertvector(x, vm);
}
template <int count, class T>
inline void store_integers(T* p, std::int64_t stride, vm x) {
  const auto y = __builtin_convertvector(x, typename InMemory<T>::Vector);
  if (stride == 1) __builtin_memcpy(p, &y, count * sizeof(T));
  else
    for (int i = 0; i < count; ++i) p[i * stride] = y[i];
}
inline vm vadd(vm a, vm b) { return (vm)((vs)a + (vs)b); }
inline vm vsub(vm a, vm b) { return (vm)((vs)a - (vs)b); }
inline vm vmul(vm a, vm b) { return (vm)((vs)a * (vs)b); }
inline vm vmax(vm a, vm b) { return a < b ? b : a; }
inline vm vmin(vm a, vm b) { return a < b ? a : b; }
inline vf floats(vm x) { return __builtin_convertvector(x, vf); }
// Toward zero, saturating; a NaN becomes 0.
template <class T>
inline vm integers(vf x) {
  constexpr auto least = std::numeric_limits<T>::min(), most = std::numeric_limits<T>::max();
  // The largest float32 that fits: of 32 bits, 2^31 - 128.
  const vf high = splat(sizeof(T) == 4 ? 2147483520.0f : static_cast<float>(most)),
           low = splat(static_cast<float>(least));
  const vm beyond = x > high;
  const vf within = x == x ? beyond ? high : x < low ? low : x : splat(0.0f);
  return beyond ? splat_integer(most) : __builtin_convertvector(within, vm);
}
// The low bits of x, as T has them.
template <class T>
inline vm wrapped(vm x) {
  return __builtin_convertvector(__builtin_convertvector(x, typename InMemory<T>::Vector), vm);
}

// Sums of products are kept in vs, which wraps.
template <int count = kLanes>
inline vs load(const std::uint32_t* p) {
  vs x{};
  __builtin_memcpy(&x, p, count * 4);
  return x;
}
template <int count = kLanes>
inline void store(std::uint32_t* p, vs x) {
  __builtin_memcpy(p, &x, count * 4);
}
inline vs splat(std::uint32_t x) { return x - vs{}; }
)kiln";

}  // namespace

std::string integer_prelude() { return kIntegers; }

}  // namespace kiln::agents::writer
