// The Workbench of a node, CPU or GPU: keeps workers, gives them work, and turns what becomes of them into
// facts. One thread.
//
//   build_lanes        sources to code objects, on all cores
//   check_candidate    one candidate against the oracle, family by family
//   measure_subjects   samples of several candidates in turn, and the proof that what was timed was right
//   probe_node         what the node is and can do
//   bench_workers      the worker processes that these share
//   oracle_client      the questions that are put to the oracle worker
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "agents/workbench.h"
#include "daemon/worker/bench_options.h"
#include "daemon/worker/object_source.h"

namespace kiln::worker {

// Throws Error(invalid_input) for a target that is neither "cpu" nor "cuda".
[[nodiscard]] std::unique_ptr<agents::Workbench> make_workbench(const BenchOptions& options,
                                                                ObjectSource& objects);

// What the workers of this node can be held to: the mechanisms that a run worker reported. Throws when none
// starts.
[[nodiscard]] std::vector<std::string> sandbox_mechanisms(const BenchOptions& options);

}  // namespace kiln::worker
