// The end of a region's search: its finalists, interleaved with the incumbent.
#pragma once

#include <string>
#include <vector>

#include "agents/conductor/tune_region.h"

namespace kiln::agents {

struct Finalist {
  std::string name;  // of the measurement's subject
  BuiltKernel kernel;
  Judgement judgement;
};

struct RaceRules {
  const policies::Policy& policy;
  double roundings = 0;  // of the region (graph/roundings.h)
};

// Fills the outcome's incumbent and winner by the objective's medians: the best by few samples, measured again with
// many, so that a win by luck ends here. `samples`: of "incumbent", first, and every finalist. No winner where none of
// them passes the judgement of what was timed.
void settle_race(const std::vector<Finalist>& finalists, const SampleFact& samples, const RaceRules& rules,
                 const RegionProfile& profile, RegionOutcome& out);

}  // namespace kiln::agents
