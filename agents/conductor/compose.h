// From what the searches of the regions found to a plan of the whole workload.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "agents/conductor/prepared.h"
#include "agents/conductor/trace.h"

namespace kiln::agents {

// What computes a region: one kernel, or several; the incumbent's, op by op, where neither is named.
struct Chosen {
  const BuiltKernel* kernel = nullptr;
  const Assembled* parts = nullptr;
  [[nodiscard]] bool own() const { return kernel != nullptr || parts != nullptr; }
  friend bool operator==(const Chosen&, const Chosen&) = default;
};
[[nodiscard]] Chosen chosen_of(const RegionOutcome& region);  // by its choice

// Parallel to Trace::regions.
using Kernels = std::vector<Chosen>;

struct Composed {
  Plan plan;
  std::vector<std::pair<std::string, std::string>> sources;  // file name, text: of every kernel in it
  std::vector<std::size_t> regions;  // of each launch of plan.run: an index of Trace::regions
};

[[nodiscard]] Composed compose(Lab& lab, const graph::Graph& workload, const Prepared& prepared,
                               const Trace& trace, const Kernels& chosen);

// Of one region, whose graph is `alone`, from what was found for its parts, each as its choice has it.
[[nodiscard]] Assembled compose_parts(Lab& lab, const graph::Graph& alone, const Prepared& parts,
                                      const std::vector<RegionOutcome>& outcomes);

// Per region of Composed::regions, `count` of them: what its launches took together in each sample, nanoseconds. Empty
// where it has no launch; all are where the plan did not run, or its launches were not timed one by one.
[[nodiscard]] std::vector<std::vector<double>> times_by_region(const SampleFact::Subject& subject, const Composed& plan,
                                                               std::size_t count);

}  // namespace kiln::agents
