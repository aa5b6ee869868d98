// Samples of several candidates, taken in turn in one run worker, and the proof that what was timed was
// right.
#pragma once

#include "agents/workbench.h"
#include "daemon/worker/bench_workers.h"

namespace kiln::worker {

// A candidate that ends the worker gets its verdict, and the others are measured again without it.
[[nodiscard]] agents::SampleFact measure_subjects(BenchWorkers& workers,
                                                  const agents::MeasureRequest& request);

}  // namespace kiln::worker
