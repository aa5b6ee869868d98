// Element types by the graph's names, vectors of them in memory, and one small named wrapper for each thing that only
// the hardware can do. With KILN_EMULATION the wrappers are those of that file (tests/simt/simt.h), on a CPU.

using i8 = signed char;
using i16 = short;
using i32 = int;
using i64 = long long;
using u8 = unsigned char;
using u16 = unsigned short;
using u32 = unsigned int;
using u64 = unsigned long long;
using f32 = float;
using f64 = double;
struct f16 {
  u16 bits;
};
struct bf16 {
  u16 bits;
};

// Four, two or one 32-bit words, as one access moves them.
struct alignas(16) Words4 {
  u32 at[4];
};
struct alignas(8) Words2 {
  u32 at[2];
};

// Of a kernel's several launches each has the kernel's name and its number.
#define KILN_JOINED_WITH(symbol, number) symbol##_##number
#define KILN_NUMBERED(symbol, number) KILN_JOINED_WITH(symbol, number)

#ifdef KILN_EMULATION
#include KILN_EMULATION
#else
#define KILN_ENTRY(symbol) KILN_ENTRY_WITHIN(symbol, __launch_bounds__(kBlockThreads))
// As KILN_ENTRY, in so few registers that a multiprocessor holds `blocks` blocks.
#define KILN_ENTRY_SIDE_BY_SIDE(symbol, blocks) KILN_ENTRY_WITHIN(symbol, __launch_bounds__(kBlockThreads, (blocks)))
#define KILN_ENTRY_WITHIN(symbol, bounds)                                                    \
  static KILN_DEVICE void symbol##_body(const Arguments& arguments);                         \
  extern "C" __global__ void bounds symbol(const __grid_constant__ Arguments arguments) {    \
    symbol##_body(behind_predecessor(arguments));                                            \
  }                                                                                          \
  static KILN_DEVICE void symbol##_body(const Arguments& arguments)
#define KILN_DEVICE __device__ __forceinline__

// From sm_90 on the next launch of a stream may be placed while this one is at work, where its plan says "programmatic"
// (PTX ISA, "griddepcontrol"): it waits here for the end of the one before and for what that wrote, and only then lets
// the one behind it begin, so that at most two are under way. What is read through the pointers that are returned
// cannot be read earlier: the compiler does not see that they are the given ones.
template <class Arguments>
KILN_DEVICE Arguments behind_predecessor(const Arguments& given) {
#if __CUDA_ARCH__ >= 900
  Arguments out;
  asm volatile("griddepcontrol.wait;" ::: "memory");
  asm volatile("griddepcontrol.launch_dependents;" ::: "memory");
#pragma unroll
  for (int i = 0; i < static_cast<int>(sizeof(out.at) / sizeof(void*)); ++i) {
    u64 address;
    asm volatile("mov.b64 %0, %1;" : "=l"(address) : "l"(__cvta_generic_to_global(given.at[i])) : "memory");
    out.at[i] = __cvta_global_to_generic(address);  // still known to be device memory
  }
  return out;
#else
  return given;
#endif
}

KILN_DEVICE u32 thread_index() { return threadIdx.x; }
KILN_DEVICE u32 block_index() { return blockIdx.x; }
KILN_DEVICE u32 block_count() { return gridDim.x; }
KILN_DEVICE void block_barrier() { __syncthreads(); }
KILN_DEVICE void* shared_memory() {
  extern __shared__ Words4 kiln_shared[];
  return kiln_shared;
}
// The value of the lane whose number differs by `mask`; all lanes of the warp take part.
KILN_DEVICE u32 shuffle_xor(u32 x, u32 mask) { return __shfl_xor_sync(0xffffffffu, x, static_cast<int>(mask)); }
// a + b that is never made one with a product before it.
KILN_DEVICE f32 rounded_sum(f32 a, f32 b) { return __fadd_rn(a, b); }
// a * b + c, rounded once.
KILN_DEVICE f32 fused(f32 a, f32 b, f32 c) { return __fmaf_rn(a, b, c); }

KILN_DEVICE f32 to_f32(f16 x) {
  f32 y;
  asm("cvt.f32.f16 %0, %1;" : "=f"(y) : "h"(x.bits));
  return y;
}
KILN_DEVICE f32 to_f32(bf16 x) { return __uint_as_float(static_cast<u32>(x.bits) << 16); }
KILN_DEVICE f16 to_f16(f32 x) {
  f16 y;
  asm("cvt.rn.f16.f32 %0, %1;" : "=h"(y.bits) : "f"(x));
  return y;
}
KILN_DEVICE bf16 to_bf16(f32 x) {
  bf16 y;
  asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(y.bits) : "f"(x));
  return y;
}

// Loads through the read-only path: what a launch reads, it does not write. `streaming` data passes through once and
// is not kept in the first-level cache. Volatile, as the compiler else takes the statement out of the condition that
// says whether there is anything at `from`.
template <bool streaming>
KILN_DEVICE Words4 load_words4(const void* from) {
  Words4 w;
  if constexpr (streaming)
    asm volatile("ld.global.nc.L1::no_allocate.v4.u32 {%0, %1, %2, %3}, [%4];"
        : "=r"(w.at[0]), "=r"(w.at[1]), "=r"(w.at[2]), "=r"(w.at[3])
        : "l"(from));
  else
    asm volatile("ld.global.nc.v4.u32 {%0, %1, %2, %3}, [%4];"
        : "=r"(w.at[0]), "=r"(w.at[1]), "=r"(w.at[2]), "=r"(w.at[3])
        : "l"(from));
  return w;
}
template <bool streaming>
KILN_DEVICE Words2 load_words2(const void* from) {
  Words2 w;
  if constexpr (streaming)
    asm volatile("ld.global.nc.L1::no_allocate.v2.u32 {%0, %1}, [%2];" : "=r"(w.at[0]), "=r"(w.at[1]) : "l"(from));
  else
    asm volatile("ld.global.nc.v2.u32 {%0, %1}, [%2];" : "=r"(w.at[0]), "=r"(w.at[1]) : "l"(from));
  return w;
}
template <bool streaming>
KILN_DEVICE u32 load_word(const void* from) {
  u32 w;
  if constexpr (streaming)
    asm volatile("ld.global.nc.L1::no_allocate.u32 %0, [%1];" : "=r"(w) : "l"(from));
  else
    asm volatile("ld.global.nc.u32 %0, [%1];" : "=r"(w) : "l"(from));
  return w;
}
template <bool streaming>
KILN_DEVICE void store_words4(void* to, Words4 w) {
  if constexpr (streaming)
    asm volatile("st.global.cs.v4.u32 [%0], {%1, %2, %3, %4};" ::"l"(to), "r"(w.at[0]), "r"(w.at[1]), "r"(w.at[2]),
                 "r"(w.at[3])
                 : "memory");
  else
    *static_cast<Words4*>(to) = w;
}
#endif

// `count` neighbours, aligned so that one access moves up to 16 bytes of them.
template <class T, int count>
struct alignas(sizeof(T) * count < 16 ? sizeof(T) * count : 16) Pack {
  static_assert((count & (count - 1)) == 0, "a pack has a power of two of elements");
  T at[count];
};

template <class To, class From>
KILN_DEVICE To bit_copy(const From& from) {
  static_assert(sizeof(To) == sizeof(From), "a bit copy keeps the size");
  union {
    From from;
    To to;
  } u = {from};
  return u.to;
}

// `from` is aligned as the pack is.
template <bool streaming, class T, int count>
KILN_DEVICE Pack<T, count> load_pack(const T* from) {
  using P = Pack<T, count>;
  constexpr int bytes = sizeof(P);
  if constexpr (bytes > 16) {
    P out;
    constexpr int part = 16 / sizeof(T);
#pragma unroll
    for (int i = 0; i < count; i += part) {
      const Pack<T, part> p = load_pack<streaming, T, part>(from + i);
#pragma unroll
      for (int e = 0; e < part; ++e) out.at[i + e] = p.at[e];
    }
    return out;
  } else if constexpr (bytes == 16) {
    return bit_copy<P>(load_words4<streaming>(from));
  } else if constexpr (bytes == 8) {
    return bit_copy<P>(load_words2<streaming>(from));
  } else if constexpr (bytes == 4) {
    return bit_copy<P>(load_word<streaming>(from));
  } else {
    return *reinterpret_cast<const P*>(from);
  }
}

template <bool streaming, class T, int count>
KILN_DEVICE void store_pack(T* to, const Pack<T, count>& pack) {
  constexpr int bytes = sizeof(pack);
  if constexpr (bytes > 16) {
    constexpr int part = 16 / sizeof(T);
#pragma unroll
    for (int i = 0; i < count; i += part) {
      Pack<T, part> p;
#pragma unroll
      for (int e = 0; e < part; ++e) p.at[e] = pack.at[i + e];
      store_pack<streaming, T, part>(to + i, p);
    }
  } else if constexpr (bytes == 16) {
    store_words4<streaming>(to, bit_copy<Words4>(pack));
  } else {
    *reinterpret_cast<Pack<T, count>*>(to) = pack;
  }
}

// The value that an element stands for, and the element of a value: half precision computes in float, a boolean is a
// byte.
template <class T>
KILN_DEVICE T value_of(T x) {
  return x;
}
KILN_DEVICE f32 value_of(f16 x) { return to_f32(x); }
KILN_DEVICE f32 value_of(bf16 x) { return to_f32(x); }

template <class T>
struct Element {
  template <class V>
  static KILN_DEVICE T of(V x) {
    return static_cast<T>(x);
  }
};
template <>
struct Element<f16> {
  static KILN_DEVICE f16 of(f32 x) { return to_f16(x); }
};
template <>
struct Element<bf16> {
  static KILN_DEVICE bf16 of(f32 x) { return to_bf16(x); }
};
