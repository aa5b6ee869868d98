// What a plan needs of memory beside the caller's inputs and outputs, and what a framework that runs the workload op by
// op needs at least. Bytes.
#pragma once

#include <cstdint>

#include "agents/artifacts/plan.h"
#include "agents/graph/graph.h"

namespace kiln::agents {

struct PlanMemory {
  std::int64_t weights = 0;   // constants.bin, mapped: clean pages that the system may drop
  std::int64_t prepared = 0;  // weights in the layouts of kernels, once per loaded release
  // Per session: the arena of temporaries, the scratch of all threads, and the most that a library allocates by itself
  // in a launch.
  std::int64_t working = 0;
};
[[nodiscard]] PlanMemory memory_of(const Plan& plan);
// What a vendor's library allocates by itself in a launch, of all threads that run it.
[[nodiscard]] std::int64_t library_bytes(const PlanLaunch& launch, std::int32_t threads);

// The most bytes of intermediate results that live at once when nodes run one after the other in the graph's order,
// views cost nothing, and each result is freed after its last reader: what PyTorch's eager mode allocates beside
// weights, inputs and outputs, without the rounding of its allocator and without workspaces of its libraries.
[[nodiscard]] std::int64_t eager_working_bytes(const graph::Graph& workload);

}  // namespace kiln::agents
