#include "daemon/targets/cpu/ceiling_kernels.h"

namespace kiln::targets::cpu {
#if defined(__AVX2__)
const CeilingKernels ceiling_kernels_avx2 = make_kernels<32>();
#else
const CeilingKernels ceiling_kernels_avx2 = make_kernels<16>();  // another architecture: never chosen
#endif
}
