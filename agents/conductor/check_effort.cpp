#include "agents/conductor/check_effort.h"

#include <algorithm>

namespace kiln::agents {

std::vector<std::string> check_families(double flops, double bytes) {
  if (flops > 2e10 || bytes > 1e9) return {"normal", "integers"};
  if (flops > 1e9 || bytes > 1e8) return {"normal", "shifted", "heavy_tail", "integers"};
  return {"normal", "uniform", "shifted", "heavy_tail", "integers", "zeros", "denormals", "amplified"};
}

std::int32_t confirming_rounds(double flops, double bytes) {
  // The oracle keeps inputs, expected and plain outputs of every family and round, half of them in double precision.
  const double kept_bytes = 4 * bytes * static_cast<double>(check_families(flops, bytes).size());
  const double rounds = std::min({8.0, double{512 << 20} / std::max(kept_bytes, 1.0), 2e9 / std::max(flops, 1.0)});
  return std::max(1, static_cast<std::int32_t>(rounds));
}

}  // namespace kiln::agents
