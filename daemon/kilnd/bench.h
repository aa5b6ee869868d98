// The workbench of this node for one job.
#pragma once

#include <memory>
#include <string>

#include "agents/workbench.h"
#include "daemon/kilnd/jobs.h"

namespace kiln::kilnd {

// Its staging folder is below the state folder and named by the job; it is emptied first. Its workers use what the
// policy's [device] leaves them.
[[nodiscard]] std::unique_ptr<agents::Workbench> make_bench(const JobEnvironment& env, const std::string& job,
                                                            const std::string& target, const policies::Policy& policy);

// What this node's build workers say of the compiler for GPUs (worker/build_recipe.h). Throws Error(unavailable).
[[nodiscard]] std::string gpu_toolchain(const JobEnvironment& env);

// The cores of `usable` that a policy's device.share leaves its job's workers: at least one; 0 stands for all.
[[nodiscard]] std::int32_t shared_cores(std::int32_t usable, double share);

}  // namespace kiln::kilnd
