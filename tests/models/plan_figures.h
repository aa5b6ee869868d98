// What a partition costs to run, whatever its kernels do: how often it launches, and the fewest bytes that it moves.
#pragma once

#include "agents/planner/planner.h"

namespace kiln::testing {

struct PlanFigures {
  std::size_t launches = 0;
  double bytes = 0;
};

inline PlanFigures plan_figures(const agents::Partition& partition) {
  PlanFigures out{partition.instances.size(), 0};
  for (const agents::RegionInstance& instance : partition.instances)
    out.bytes += agents::cost_of(partition.regions[static_cast<std::size_t>(instance.region)]).bytes;
  return out;
}

}  // namespace kiln::testing
