// A region by itself: the graph that holds nothing else, and the kernel that computes it.
#pragma once

#include "agents/region/kernel.h"
#include "agents/region/region.h"

namespace kiln::agents {

// The partition of `standalone`, which is `region` and nothing else. Throws Error(internal) when it is another.
[[nodiscard]] Partition whole_region(const graph::Graph& standalone, const Region& region);
// Throws Error(internal) when the region is not one kernel.
[[nodiscard]] Kernel one_kernel(const Region& region);

}  // namespace kiln::agents
