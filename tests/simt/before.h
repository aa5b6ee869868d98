// Included before a generated kernel that is compiled for a CPU: the functions of tests/simt/block.h that its threads
// call, and those of C. The headers that declare these take twice as long to compile as a kernel does, and hundreds of
// kernels are compiled.
#pragma once

extern "C" {
unsigned kiln_simt_thread_index();
unsigned kiln_simt_block_index();
unsigned kiln_simt_block_count();
void kiln_simt_barrier();
void* kiln_simt_shared();
unsigned kiln_simt_cluster_rank();
void kiln_simt_cluster_barrier();
void kiln_simt_look_again();
const void* kiln_simt_in_block(const void* at, unsigned rank);
unsigned kiln_simt_shuffle_xor(unsigned value, unsigned mask);

#define KILN_OF_ONE(name)        \
  double name(double) noexcept; \
  float name##f(float) noexcept;
#define KILN_OF_TWO(name)                \
  double name(double, double) noexcept; \
  float name##f(float, float) noexcept;
KILN_OF_ONE(exp) KILN_OF_ONE(expm1) KILN_OF_ONE(log) KILN_OF_ONE(log1p) KILN_OF_ONE(log2) KILN_OF_ONE(sqrt)
KILN_OF_ONE(sin) KILN_OF_ONE(cos) KILN_OF_ONE(tan) KILN_OF_ONE(asin) KILN_OF_ONE(acos) KILN_OF_ONE(atan)
KILN_OF_ONE(sinh) KILN_OF_ONE(cosh) KILN_OF_ONE(tanh) KILN_OF_ONE(asinh) KILN_OF_ONE(acosh) KILN_OF_ONE(atanh)
KILN_OF_ONE(erf) KILN_OF_ONE(floor) KILN_OF_ONE(ceil) KILN_OF_ONE(trunc) KILN_OF_ONE(round) KILN_OF_ONE(rint)
KILN_OF_ONE(nearbyint) KILN_OF_ONE(fabs) KILN_OF_ONE(exp2)
KILN_OF_TWO(pow) KILN_OF_TWO(fmod) KILN_OF_TWO(copysign)
double fma(double, double, double) noexcept;
float fmaf(float, float, float) noexcept;
double ldexp(double, int) noexcept;
float ldexpf(float, int) noexcept;
int ilogb(double) noexcept;
int ilogbf(float) noexcept;
#undef KILN_OF_ONE
#undef KILN_OF_TWO
}
