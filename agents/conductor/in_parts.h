// The partition put to measurement. Which regions there are is decided by bytes, before anything is timed; where one
// kernel moves less but computes more (planner's in_parts), bytes do not tell whether it is faster. So the parts are
// searched as well, beginning with what the search of the whole found, and the region as one kernel and in parts take
// turns with the incumbent's kernels. Whole plans of either have the last word (whole_plans.h).
#pragma once

#include <vector>

#include "agents/conductor/search_regions.h"

namespace kiln::agents {

struct PartsTask {
  std::size_t region = 0;  // index into Prepared::partition.regions
  Baseline parts;          // of its standalone graph
  double share = 0;        // of the search budget, that the region as one kernel has
  bool worth_looking = false;
};

// Of every region that has parts, in the order of the plan.
[[nodiscard]] std::vector<PartsTask> parts_of(const Lab& lab, const Prepared& prepared, const TuningPlan& plan);

// Of the search's time, that the searches of the parts need.
[[nodiscard]] double share_of(const std::vector<PartsTask>& tasks);

// Fills in_parts of the outcomes in trace.regions, and their choice where it is measured; both on record as a decision.
// After time.end_ns those alone are tried whose region is worth looking at.
void try_in_parts(Lab& lab, Phases& phases, const Prepared& prepared, const std::vector<PartsTask>& tasks, Trace& trace,
                  const SearchTime& time);

}  // namespace kiln::agents
