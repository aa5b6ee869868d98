// The oracle's kernels for a GPU: one thread makes one element, or a few of a product, each plainly and in order. They
// share no text with any template and are held to agents/graph/interpreter, whose definitions they repeat
// (tests/cuda/device_oracle.cpp).

using u16 = unsigned short;
using u32 = unsigned int;
using u64 = unsigned long long;
using i64 = long long;
using f32 = float;
using f64 = double;

#ifdef KILN_EMULATION
struct f16 { u16 bits; };
struct bf16 { u16 bits; };
struct alignas(16) Words4 { u32 at[4]; };
struct alignas(8) Words2 { u32 at[2]; };
#include KILN_EMULATION
#define KILN_CALL inline
#define KILN_DENSE_ENTRY KILN_ENTRY
#else
#define KILN_ENTRY(symbol) \
  extern "C" __global__ void __launch_bounds__(256) symbol(const __grid_constant__ Arguments arguments)
// Of which a multiprocessor holds four blocks, as 65,536 registers permit: all lanes of figures.cuh work at once.
#define KILN_DENSE_ENTRY(symbol) \
  extern "C" __global__ void __launch_bounds__(256, 4) symbol(const __grid_constant__ Arguments arguments)
#define KILN_DEVICE __device__
#define KILN_CALL __device__ __noinline__  // what would take the compiler long, were it in every kernel
KILN_DEVICE u32 thread_index() { return threadIdx.x; }
KILN_DEVICE u32 block_index() { return blockIdx.x; }
KILN_DEVICE u32 block_count() { return gridDim.x; }
#endif

using namespace kiln::targets::cuda::oracle;

constexpr u32 kBlockThreads = 256;

// A kernel for each carrier: `name`<T>(arguments).
#define KILN_KERNELS(name, Given)                       \
  namespace name##_kernels {                            \
  using Arguments = Given;                              \
  KILN_ENTRY(name##_f64) { name<f64>(arguments); }      \
  KILN_ENTRY(name##_f32) { name<f32>(arguments); }      \
  KILN_ENTRY(name##_i64) { name<i64>(arguments); }      \
  }

KILN_DEVICE i64 first_index() { return static_cast<i64>(block_index()) * kBlockThreads + thread_index(); }
KILN_DEVICE i64 index_step() { return static_cast<i64>(block_count()) * kBlockThreads; }

KILN_CALL i64 offset_of(i64 index, i64 rank, const Int* extent, const Int* stride) {
  if (rank == 1) return index * stride[0];
  i64 offset = 0;
  for (i64 d = rank; d-- > 0; index /= extent[d]) offset += index % extent[d] * stride[d];
  return offset;
}

#define KILN_BOTH(name)                                   \
  KILN_DEVICE f64 real_##name(f64 x) { return name(x); }  \
  KILN_DEVICE f32 real_##name(f32 x) { return name##f(x); }
KILN_BOTH(fabs)
KILN_BOTH(sqrt)
KILN_BOTH(exp)
KILN_BOTH(log)
KILN_BOTH(tanh)
KILN_BOTH(erf)
KILN_BOTH(sin)
KILN_BOTH(cos)
KILN_BOTH(floor)
KILN_BOTH(ceil)
KILN_BOTH(nearbyint)
KILN_BOTH(tan)
KILN_BOTH(asin)
KILN_BOTH(acos)
KILN_BOTH(atan)
KILN_BOTH(sinh)
KILN_BOTH(cosh)
KILN_BOTH(asinh)
KILN_BOTH(acosh)
KILN_BOTH(atanh)
KILN_BOTH(expm1)
KILN_BOTH(log1p)
KILN_DEVICE f64 real_pow(f64 a, f64 b) { return pow(a, b); }
KILN_DEVICE f32 real_pow(f32 a, f32 b) { return powf(a, b); }
KILN_DEVICE f64 real_fmod(f64 a, f64 b) { return fmod(a, b); }
KILN_DEVICE f32 real_fmod(f32 a, f32 b) { return fmodf(a, b); }
KILN_DEVICE f64 multiply_add(f64 a, f64 b, f64 c) { return fma(a, b, c); }
KILN_DEVICE f32 multiply_add(f32 a, f32 b, f32 c) { return fmaf(a, b, c); }
KILN_DEVICE i64 multiply_add(i64 a, i64 b, i64 c) {
  return static_cast<i64>(static_cast<u64>(a) * static_cast<u64>(b) + static_cast<u64>(c));
}

KILN_DEVICE i64 lesser(i64 a, i64 b) { return a < b ? a : b; }

// The nearest number, ties to even, of a binary format with so many bits of exponent and fraction (IEEE 754-2008, 4.3).
KILN_DEVICE f64 nearest(f64 x, int exponent_bits, int fraction_bits) {
  if (x == 0 || x - x != 0) return x;  // infinities and NaN too
  const int least = 2 - (1 << (exponent_bits - 1)), most = (1 << (exponent_bits - 1)) - 1;
  const int exponent = ilogb(x) > least ? ilogb(x) : least;
  const f64 y = ldexp(nearbyint(ldexp(x, fraction_bits - exponent)), exponent - fraction_bits);
  return ilogb(y) > most ? x * ldexp(1.0, 1023) : y;
}
KILN_DEVICE f64 rounded(f64 x, i64) { return x; }
KILN_CALL f32 rounded(f32 x, i64 type) {
  if (type == type_f16) return static_cast<f32>(nearest(x, 5, 10));
  if (type == type_bf16) return static_cast<f32>(nearest(x, 8, 7));
  return x;
}
KILN_DEVICE i64 rounded(i64 x, i64 type) {
  switch (type) {
    case type_i32: return static_cast<int>(x);
    case type_i16: return static_cast<short>(x);
    case type_i8: return static_cast<signed char>(x);
    case type_u32: return static_cast<u32>(x);
    case type_u16: return static_cast<u16>(x);
    case type_u8: return static_cast<unsigned char>(x);
    default: return x;
  }
}

KILN_DEVICE i64 exponential(i64 x) { return x; }  // no row of integers asks for one
KILN_DEVICE f64 exponential(f64 x) { return exp(x); }
KILN_DEVICE f32 exponential(f32 x) { return expf(x); }

template <class T>
KILN_DEVICE T initial(i64 monoid, f64 infinity) {
  if (monoid == monoid_prod) return T(1);
  if (monoid == monoid_max) return static_cast<T>(-infinity);
  if (monoid == monoid_min) return static_cast<T>(infinity);
  return T(0);
}
template <>
KILN_DEVICE i64 initial<i64>(i64 monoid, f64) {
  constexpr i64 most = 0x7fffffffffffffffll;
  return monoid == monoid_prod ? 1 : monoid == monoid_max ? -most - 1 : monoid == monoid_min ? most : 0;
}

KILN_DEVICE f64 product(f64 a, f64 b) { return a * b; }
KILN_DEVICE f32 product(f32 a, f32 b) { return a * b; }
KILN_DEVICE i64 product(i64 a, i64 b) { return multiply_add(a, b, i64(0)); }
KILN_DEVICE f64 sum(f64 a, f64 b) { return a + b; }
KILN_DEVICE f32 sum(f32 a, f32 b) { return a + b; }
KILN_DEVICE i64 sum(i64 a, i64 b) { return multiply_add(a, i64(1), b); }

// A NaN wins in max and min.
template <class T>
KILN_DEVICE T combine(i64 monoid, T a, T b) {
  switch (monoid) {
    case monoid_max: return (b > a || b != b) ? b : a;
    case monoid_min: return (b < a || b != b) ? b : a;
    case monoid_prod: return product(a, b);
    default: return sum(a, b);
  }
}
