// The searches of all regions of a partition, one behind the other, in the time that there is for them together.
#pragma once

#include <cstdint>

#include "agents/conductor/phases.h"
#include "agents/conductor/prepared.h"

namespace kiln::agents {

// On the recorded clock; and which part of the job it is, for those who watch.
struct SearchTime {
  std::int64_t end_ns = 0;
  double from = 0, to = 1;
};

// What the search of a region that is almost one of these leaves to them: agents/search's carried_over() takes its
// trials.
struct Carried {
  std::vector<Trial> trials;
  std::int64_t candidate_ns = 0;  // what one took, build and check
};

// In the order of trace.plan, each of the time that a look at each of those after it leaves; what a region leaves of
// its share goes to them. When the time is over, those not worth looking at run what the incumbent does. Appends to
// trace.regions; each choice is on record as a decision.
void search_regions(Lab& lab, Phases& phases, const Prepared& prepared, Trace& trace, const SearchTime& time,
                    const Carried& carried = {});

}  // namespace kiln::agents
