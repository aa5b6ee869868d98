// From what the searches of the regions found to a plan of the whole workload.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "agents/conductor/prepared.h"
#include "agents/conductor/trace.h"

namespace kiln::agents {

// Parallel to Trace::regions: what computes each; null where the plan keeps the incumbent's kernels, op by op.
using Kernels = std::vector<const BuiltKernel*>;

struct Composed {
  Plan plan;
  std::vector<std::pair<std::string, std::string>> sources;  // file name, text: of every kernel in it
  std::vector<std::size_t> regions;  // of each launch of plan.run: an index of Trace::regions
};

[[nodiscard]] Composed compose(Lab& lab, const graph::Graph& workload, const Prepared& prepared,
                               const Trace& trace, const Kernels& chosen);

// Per region of Composed::regions, `count` of them: what its launches took together in each sample, nanoseconds. Empty
// where it has no launch; all are where the plan did not run, or its launches were not timed one by one.
[[nodiscard]] std::vector<std::vector<double>> times_by_region(const SampleFact::Subject& subject, const Composed& plan,
                                                               std::size_t count);

}  // namespace kiln::agents
