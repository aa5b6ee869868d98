// The regions of a job with what each runs on today, before any is searched.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "agents/benchmark/benchmark.h"
#include "agents/conductor/incumbent.h"

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

// Builds and times what each region runs on today. Throws Error(unavailable) naming the region whose incumbent does not
// run.
[[nodiscard]] Prepared measure_incumbents(Lab& lab, Partition partition);

}  // namespace kiln::agents
