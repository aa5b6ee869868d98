// The golden sets of the node's corpus, run by workers of their own.
#pragma once

#include "daemon/kilnd/jobs.h"
#include "runtime/base/json_fwd.h"

namespace kiln::kilnd {

// {"digest" of the corpus, "passed", "seconds", "cases"}; a minute at most on two cores. One at a time: its staging
// folder has one name.
[[nodiscard]] json::object run_golden(const JobEnvironment& env);

}  // namespace kiln::kilnd
