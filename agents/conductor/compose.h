// From what the searches of the regions found to the tuned plan of the workload.
#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "agents/conductor/prepared.h"
#include "agents/conductor/trace.h"

namespace kiln::agents {

struct Composed {
  Plan plan;
  std::vector<std::pair<std::string, std::string>> sources;  // file name, text: of every kernel in it
};

// Each region's winner; where RegionChoice::split, the incumbent's kernels of the region. nullopt when that is every
// region: such a plan is the incumbent's once more.
[[nodiscard]] std::optional<Composed> compose(Lab& lab, const graph::Graph& workload, const Prepared& prepared,
                                              const Trace& trace);

}  // namespace kiln::agents
