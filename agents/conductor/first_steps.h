// What a job does before it measures anything, the same on a node with the device and on one that only builds for it.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "agents/conductor/incumbent.h"
#include "agents/conductor/trace.h"

namespace kiln::agents {

// A job that could release nothing ends here. Throws Error(unsupported) naming what no template computes.
void require_computable(const Lab& lab);

// What is partitioned and tuned: the workload, or what the rewrites that the policy allows make of it. Either plan is
// judged by the workload as it was written.
[[nodiscard]] graph::Graph rewritten(const Lab& lab, AlgebraOutcome& algebra);

// Candidates of a region's first round, of which nothing is known yet: as many as keep the node's cores busy, but no
// more than half of what the policy allows, so that the others are chosen by what these show.
[[nodiscard]] std::int32_t first_round_size(const NodeFacts& node, const policies::Policy& policy);
// Of a later round, where a candidate takes `each_ns` (0: unknown): as many as there is time for, but no more than
// `most`, and at least one of each of so many templates.
[[nodiscard]] std::int32_t round_size(std::int64_t most, std::size_t templates, std::int64_t each_ns,
                                      std::int64_t left_ns);

// Of everything that a region's search draws by chance: another one for each purpose, the same in every job.
[[nodiscard]] std::uint64_t seed_for(const JobInput& input, const std::string& region, std::string_view purpose);

}  // namespace kiln::agents
