#include "agents/conductor/check_effort.h"

#include <algorithm>

namespace kiln::agents {

std::vector<std::string> fewest_families() { return {"normal", "integers"}; }

std::vector<std::string> check_families(double flops, double bytes) {
  if (flops > 2e10 || bytes > 1e9) return fewest_families();
  if (flops > 1e9 || bytes > 1e8) return {"normal", "shifted", "heavy_tail", "integers"};
  return {"normal", "uniform", "shifted", "heavy_tail", "integers", "zeros", "denormals", "amplified"};
}

std::size_t subjects_at_once(const NodeFacts& node, double bytes) {
  constexpr double most = 12;
  if (!node.gpu || bytes <= 0) return static_cast<std::size_t>(most);
  // Each has an arena of the region's inputs and outputs; half of the device's memory may be arenas.
  return static_cast<std::size_t>(std::clamp(static_cast<double>(node.gpu->memory_bytes) / (2 * bytes), 2.0, most));
}

std::int64_t device_deadline_ns(const UsualCall& usual) {
  constexpr double start_ns = 3e9, calls = 1000, copies = 4, bytes_per_ns = 1;
  return static_cast<std::int64_t>(start_ns + calls * usual.ns + copies * usual.bytes / bytes_per_ns);
}

std::int32_t confirming_rounds(double flops, double bytes) {
  // The oracle keeps inputs, expected and plain outputs of every family and round, half of them in double precision.
  const double kept_bytes = 4 * bytes * static_cast<double>(check_families(flops, bytes).size());
  const double rounds = std::min({8.0, double{512 << 20} / std::max(kept_bytes, 1.0), 2e9 / std::max(flops, 1.0)});
  return std::max(1, static_cast<std::int32_t>(rounds));
}

}  // namespace kiln::agents
