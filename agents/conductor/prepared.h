// The regions of a job with what each runs on today, before any is searched.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "agents/benchmark/benchmark.h"
#include "agents/conductor/incumbent.h"
#include "agents/conductor/trace.h"

namespace kiln::agents {

struct Prepared {
  Partition partition;
  std::vector<Assembled> incumbents;  // parallel to partition.regions
  std::vector<graph::Graph> standalone;
  std::map<std::string, double> incumbent_ns;
  std::vector<Summary> incumbent_time;  // parallel to partition.regions

  // Throws Error(internal) when the partition has no such region.
  [[nodiscard]] std::size_t index(const std::string& region) const;
};

// Builds and times what each region of the workload runs on today. On a CPU, where latency is the objective, its
// launches are timed in a plan of all incumbents: a call of it says what a process and some calls for each kind of
// region would, of which a network may have scores. Regions alone elsewhere, or where that plan does not run. Throws
// Error(unavailable) naming the region whose incumbent does not run.
[[nodiscard]] Prepared measure_incumbents(Lab& lab, const graph::Graph& workload, Partition partition,
                                          const AlgebraOutcome& algebra);

// The same of regions alone, in a graph that is no workload. `progress` is called with the part that is done, and
// with a region's label.
using PreparedProgress = std::function<void(double part, const std::string& label)>;
[[nodiscard]] Prepared measure_incumbents_alone(Lab& lab, Partition partition, const PreparedProgress& progress);

}  // namespace kiln::agents
