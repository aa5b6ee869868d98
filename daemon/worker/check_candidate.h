// One candidate against the oracle, over fresh memory for each family of inputs.
#pragma once

#include "agents/workbench.h"
#include "daemon/worker/bench_workers.h"

namespace kiln::worker {

// The first thing found against it is the verdict; error figures are the evaluator's to judge (a `wrong` of
// this function is an element that was never written). Throws Stopped.
[[nodiscard]] agents::CheckFact check_candidate(BenchWorkers& workers, const agents::CheckRequest& request);

}  // namespace kiln::worker
