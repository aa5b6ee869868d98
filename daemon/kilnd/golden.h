// The golden sets of the node's corpus, run by workers of their own.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "agents/conductor/golden.h"
#include "daemon/kilnd/jobs.h"
#include "runtime/base/json_fwd.h"

namespace kiln::kilnd {

// {"digest" of the corpus, "passed", "seconds", "cases"}; a minute at most on two cores. One at a time: its staging
// folder has one name.
[[nodiscard]] json::object run_golden(const JobEnvironment& env);

// Proves a template of the site by the golden cases of its family and adds it to the corpus when all agree: see
// control::JobControl::add_template. One at a time: its staging folder has one name.
[[nodiscard]] json::object add_template(const JobEnvironment& env, const std::string& name,
                                        const std::map<std::string, std::string>& files);

// The first case of each family that every model needs, before the templates that are no vendor's: some seconds.
[[nodiscard]] std::vector<agents::GoldenResult> run_short_golden(const JobEnvironment& env);

}  // namespace kiln::kilnd
