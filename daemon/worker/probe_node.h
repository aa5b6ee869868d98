// What the node is and what its hardware can do, measured by probe workers.
#pragma once

#include "agents/artifacts/facts.h"
#include "daemon/worker/bench_workers.h"

namespace kiln::worker {

// For a GPU's bench the bandwidths, FLOP/s and time of a launch are the GPU's. Throws Stopped,
// Error(unavailable).
[[nodiscard]] agents::NodeFacts probe_node(BenchWorkers& workers);

}  // namespace kiln::worker
