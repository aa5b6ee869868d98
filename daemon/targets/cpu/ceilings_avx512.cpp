#include "daemon/targets/cpu/ceiling_kernels.h"

namespace kiln::targets::cpu {
#if defined(__AVX512F__)
const CeilingKernels ceiling_kernels_avx512 = make_kernels<64>();
#else
const CeilingKernels ceiling_kernels_avx512 = make_kernels<16>();  // another architecture: never chosen
#endif
}
