// The workbench of this node for one job.
#pragma once

#include <memory>
#include <string>

#include "agents/workbench.h"
#include "daemon/kilnd/jobs.h"

namespace kiln::kilnd {

// Its staging folder is below the state folder and named by the job; it is emptied first.
[[nodiscard]] std::unique_ptr<agents::Workbench> make_bench(const JobEnvironment& env, const std::string& job,
                                                          const std::string& target);

}  // namespace kiln::kilnd
