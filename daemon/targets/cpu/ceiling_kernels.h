// The loops that find the ceilings, once per instruction set: each ceilings_<isa>.cpp includes this file under its own
// compiler flags. Everything here is local to the including file, and nothing of the C++ library is used, so that no
// function compiled for one CPU is linked into code for another.
//
// read: every byte once, into eight accumulators, so that loads and not the adds limit. copy: one vector load and one
// store each. fma: twelve independent chains, more than latency 4 times two units needs, few enough for 16 registers.
#pragma once

#include "daemon/targets/cpu/ceiling_table.h"

namespace kiln::targets::cpu {
namespace {

template <class T, int Bytes>
struct Vector {
  typedef T type __attribute__((vector_size(Bytes), may_alias));
};

// Tells the compiler that the sum of the values is used. It takes a sum of its own: were the accumulators themselves
// named as memory, the compiler would store each of them in every round of the loop, and that store would be measured.
template <int Count, class V>
inline __attribute__((always_inline)) void keep(const V (&values)[Count]) {
  V total = values[0];
  for (int k = 1; k < Count; ++k) total += values[k];
  __asm__ volatile("" : : "m"(total));
}

template <int Bytes>
void read_bytes(const unsigned char* data, long bytes, long repeats) {
  using V = typename Vector<unsigned long long, Bytes>::type;
  V sum[8] = {};
  const long blocks = bytes / (8 * Bytes);
  for (long r = 0; r < repeats; ++r) {
    const V* v = reinterpret_cast<const V*>(data);
    __asm__ volatile("" : "+r"(v));  // each repeat reads again
    for (long i = 0; i < blocks; ++i, v += 8) {
#pragma GCC unroll 8
      for (int k = 0; k < 8; ++k) sum[k] += v[k];
    }
  }
  keep(sum);
}

template <int Bytes>
void copy_bytes(unsigned char* to, const unsigned char* from, long bytes) {
  using V = typename Vector<unsigned long long, Bytes>::type;
  V* out = reinterpret_cast<V*>(to);
  const V* in = reinterpret_cast<const V*>(from);
  const long blocks = bytes / (4 * Bytes);
  for (long i = 0; i < blocks; ++i, in += 4, out += 4) {
#pragma GCC unroll 4
    for (int k = 0; k < 4; ++k) out[k] = in[k];
    __asm__ volatile("" : : : "memory");  // or the compiler makes it a call of memcpy
  }
}

constexpr int chains = 12;

template <class T, int Bytes>
void multiply_add(long iterations) {
  using V = typename Vector<T, Bytes>::type;
  V acc[chains];
  for (int k = 0; k < chains; ++k) acc[k] = V{} + static_cast<T>(k);
  V factor = V{} + static_cast<T>(0.5), term = V{} + static_cast<T>(1);
  __asm__ volatile("" : "+m"(factor), "+m"(term));  // unknown values: no folding, and they stay finite
  for (long i = 0; i < iterations; ++i) {
#pragma GCC unroll 12
    for (int k = 0; k < chains; ++k) acc[k] = acc[k] * factor + term;
  }
  keep(acc);
}

template <int Bytes>
constexpr CeilingKernels make_kernels() {
  return {&read_bytes<Bytes>, &copy_bytes<Bytes>, &multiply_add<float, Bytes>, &multiply_add<double, Bytes>,
          2.0 * chains * (Bytes / 4), 2.0 * chains * (Bytes / 8)};
}

}  // namespace
}  // namespace kiln::targets::cpu
