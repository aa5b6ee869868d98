// The reporter: the whole trace of a job as one JSON document, and the same as a self-contained HTML page.
#pragma once

#include <string>

#include "runtime/base/json_fwd.h"

namespace kiln::agents {

// The predicate of the signed statement; docs/report-format.md names every member. `trace` is what the conductor kept:
// {workload, policy, node, profile, plan, regions: [{key, label, incumbent, trials, winner, diagnoses}], decision,
// ...}.
[[nodiscard]] json::object report(const json::object& trace);

// in-toto Statement v1 around the report; subjects are the release's manifest and code objects by SHA-256.
[[nodiscard]] json::object statement(const json::object& report);

// No script from elsewhere, no font, no image: opens from a file on a machine without a network. Roofline, convergence
// per region, timeline, candidates and failures, decision.
[[nodiscard]] std::string html(const json::object& report);

}  // namespace kiln::agents
