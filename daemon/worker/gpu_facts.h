// What an agent may know of a GPU, from what its driver says.
#pragma once

#include "agents/artifacts/facts.h"
#include "daemon/targets/cuda/detect.h"

namespace kiln::worker {

// All but the driver's version, which is the node's.
[[nodiscard]] agents::GpuFacts gpu_facts(const targets::cuda::GpuDescription& gpu);

}  // namespace kiln::worker
