// From a decided job to releases and a signed report. Idempotent: after a crash in the middle it is simply run again.
#pragma once

#include "agents/conductor/conductor.h"
#include "daemon/kilnd/jobs.h"
#include "runtime/base/json_fwd.h"

namespace kiln::kilnd {

// Returns Job::result (docs/http-api.md, GET /v1/jobs/{id}).
[[nodiscard]] json::object publish(const JobEnvironment& env, const store::Job& job, const agents::JobOutcome& outcome);

}  // namespace kiln::kilnd
