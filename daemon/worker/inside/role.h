// What each role of kiln-worker answers. A handler gets one request and returns one reply; an Error becomes an error
// frame.
#pragma once

#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "daemon/worker/frame.h"
#include "daemon/worker/sandbox.h"

namespace kiln::worker {

struct Role {
  SandboxRules rules;
  std::function<Frame(Frame request)> handle;
};

// `arguments` are what follows `--role NAME`; docs/worker-protocol.md lists them per role.
[[nodiscard]] Role build_role(const std::vector<std::string>& arguments);   // INCLUDE_DIR SCRATCH
[[nodiscard]] Role run_role(const std::vector<std::string>& arguments);     // STAGING
[[nodiscard]] Role oracle_role(const std::vector<std::string>& arguments);  // THREADS
[[nodiscard]] Role import_role(const std::vector<std::string>& arguments);  // MEMORY_BYTES
[[nodiscard]] Role build_cuda_role(const std::vector<std::string>& arguments);  // INCLUDE_DIR SCRATCH
[[nodiscard]] Role run_cuda_role(const std::vector<std::string>& arguments);    // STAGING
[[nodiscard]] Role oracle_cuda_role(const std::vector<std::string>& arguments);  // THREADS STAGING LEAST_WORK
[[nodiscard]] Role probe_cuda_role(const std::vector<std::string>& arguments);  // STAGING
[[nodiscard]] Role probe_role(const std::vector<std::string>& arguments);   // THREADS STAGING

}  // namespace kiln::worker
