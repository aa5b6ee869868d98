// What a candidate's samples say in the policy's objective, and what no sample can be below.
#pragma once

#include "agents/artifacts/facts.h"
#include "agents/profiler/profiler.h"
#include "policies/policy.h"

namespace kiln::agents {

// Medians of one subject: its time, and what the objective measures, nanojoules or that time again.
struct Costs {
  double ns = 0, objective = 0;
};
[[nodiscard]] Costs costs_of(const SampleFact::Subject& subject);

// Nanoseconds that no result takes less of. Instances that serve side by side may find in the shared cache what another
// one read, so that the memory's floor is for all of them together.
[[nodiscard]] double floor_ns(const RegionProfile& region, const policies::Policy& policy, const NodeFacts& node);

// Whether the best is so near to the floor that the policy stops there. Of energy there is no floor.
[[nodiscard]] bool near_floor(double best, double floor_ns, const policies::Policy& policy);

}  // namespace kiln::agents
