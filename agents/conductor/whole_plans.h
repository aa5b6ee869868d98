// The last choice of kernels. What a region takes alone is not what it takes in the plan, beside its neighbours, at the
// time of the others; so whole plans are timed: first each launch of two, one of the winners and one of the incumbent's
// kernels, then those plans that this and the regions' own races make likely.
#pragma once

#include <cstdint>
#include <optional>

#include "agents/conductor/compose.h"

namespace kiln::agents {

// The tuned plan; nullopt where every region keeps the incumbent's kernels. `today`: what it has to beat. Fills
// trace.composition and each region's in_place, and its choice where the plan overruled it; all on record as a
// decision. After `deadline_ns` on the recorded clock no kind of kernel is taken back any more.
[[nodiscard]] std::optional<Composed> best_plan(Lab& lab, const graph::Graph& workload, const Prepared& prepared,
                                                const Plan& today, std::int64_t deadline_ns, Trace& trace);

}  // namespace kiln::agents
