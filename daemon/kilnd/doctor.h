// What `kctl doctor` prints: PASS, CAUTION or FAIL per check, each with the command that cures it.
#pragma once

#include "daemon/kilnd/jobs.h"
#include "runtime/base/json_fwd.h"

namespace kiln::kilnd {

// kctl(1) lists the checks. Seconds; starts workers.
[[nodiscard]] json::array examine(const JobEnvironment& env);

}  // namespace kiln::kilnd
