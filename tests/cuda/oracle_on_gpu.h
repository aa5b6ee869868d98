// The oracle's kernels, compiled and loaded once for a test program: over the fake driver, or a GPU where one is found.
#pragma once

#include "agents/graph/graph.h"
#include "daemon/worker/device_oracle/device_oracle.h"

namespace kiln::testing {

[[nodiscard]] targets::cuda::Gpu& gpu_of_test();
// A GPU has functions of its own, right to some units in the last place.
[[nodiscard]] bool has_own_mathematics();
[[nodiscard]] worker::DeviceOracle& device_oracle();

// A graph of one node over inputs of the given types.
[[nodiscard]] graph::Graph of_node(graph::Op op, const std::vector<graph::TensorType>& types);

}  // namespace kiln::testing
