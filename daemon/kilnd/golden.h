// The golden sets of the node's corpus, run by workers of their own.
#pragma once

#include <vector>

#include "agents/conductor/golden.h"
#include "daemon/kilnd/jobs.h"
#include "runtime/base/json_fwd.h"

namespace kiln::kilnd {

// {"digest" of the corpus, "passed", "seconds", "cases"}; a minute at most on two cores. One at a time: its staging
// folder has one name.
[[nodiscard]] json::object run_golden(const JobEnvironment& env);

// The first case of each family that every model needs, before the templates that are no vendor's: some seconds.
[[nodiscard]] std::vector<agents::GoldenResult> run_short_golden(const JobEnvironment& env);

}  // namespace kiln::kilnd
