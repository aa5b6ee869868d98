// Test inputs: fresh values per (family, seed), the same on every machine and every device (daemon/targets/draw.h).
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "agents/graph/graph.h"

namespace kiln::worker {

// How the elements of one input are drawn.
struct InputDraw {
  std::uint64_t key = 0;
  std::int64_t family = 0;    // targets::draw::Family, for floating-point types
  graph::Domain range{0, 1};  // for the others
  double tiny = 0;            // the scale of denormals
};

// Families of floating-point values. "normal": N(0,1). "uniform": U(0,1). "shifted": N(0,1) + 4, where a sum of squares
// loses digits. "heavy_tail": sign * Pareto(1.5) - 1, capped at 1e4. "integers": -4..4, so that products and short sums
// are exact. "zeros": all zero but one element in 64. "denormals": N(0,1) * 2^-130 for f32 (2^-1030 for f64).
// "amplified": N(0,1) * 64, where whatever saturates or overflows does. Integer and boolean tensors, in every family:
// uniform over `domain`, but one element in four is one of its ends, -1 or 0. Each family draws anew. Throws
// Error(invalid_input) for another name.
[[nodiscard]] InputDraw draw_of(graph::DType type, const std::optional<graph::Domain>& domain,
                                const std::string& family, std::uint64_t seed, std::uint64_t stream);
[[nodiscard]] graph::Tensor make_input(const graph::TensorType& type, const std::optional<graph::Domain>& domain,
                                       const std::string& family, std::uint64_t seed, std::uint64_t stream,
                                       int threads = 1);
// Whether a family has values at which functions saturate: rounding then matters in few places of a result.
[[nodiscard]] bool is_large(const std::string& family);

}  // namespace kiln::worker
