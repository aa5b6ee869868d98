// Building ahead: what a job on a described device would look at first, compiled on a machine that has none. The search
// is deterministic, so the first round of a job over the same workload, policy and seed begins with the same
// candidates, in the same order, as far as its time goes; what it draws after it has measured, it builds itself.
#pragma once

#include <string>
#include <vector>

#include "agents/conductor/conductor.h"

namespace kiln::agents {

struct AheadRequest {
  NodeFacts node;               // as a job on the device's node found it, or as its kind is described
  std::int32_t candidates = 0;  // per region; 0: as many as the first round of a job there has
};

struct AheadOutcome {
  std::vector<BuildFact> objects;  // that compiled, each recipe once
  json::object summary;            // {"regions", "kernels", "built", "from_cache", "failed", "skipped"}
};

// Over a journal, like run_job: resumed and replayed alike. Throws Error(invalid_input) when the description has no
// GPU, Error(unsupported) as run_job does.
[[nodiscard]] AheadOutcome build_ahead(const JobInput& input, const AheadRequest& request, Workbench& bench,
                                       BlobStore& blobs, Journal& journal,
                                       const std::function<json::array(const std::string& region)>& priors,
                                       const std::function<std::int64_t()>& clock_ns);

}  // namespace kiln::agents
