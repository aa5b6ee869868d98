#include <algorithm>

#include "agents/region/kernel.h"

namespace kiln::agents {

ConvolutionPhases::ConvolutionPhases(const ConvolutionKernel& k) {
  for (std::size_t d = 0; d < k.out.size(); ++d) {
    count.push_back(k.transposed ? std::min(k.steps.strides[d], std::max<std::int64_t>(1, k.out[d])) : 1);
    out.push_back((k.out[d] + count[d] - 1) / count[d]);
  }
}

}  // namespace kiln::agents
