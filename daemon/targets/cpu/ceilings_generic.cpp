#include "daemon/targets/cpu/ceiling_kernels.h"

namespace kiln::targets::cpu {
const CeilingKernels ceiling_kernels_generic = make_kernels<16>();
}
