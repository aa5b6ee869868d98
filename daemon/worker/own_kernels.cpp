#include "daemon/worker/own_kernels.h"

#include "daemon/worker/attempts.h"
#include "daemon/worker/build_lanes.h"

namespace kiln::worker {

std::string build_own_kernels(BenchWorkers& workers, const std::string& file_name, std::string source,
                              std::vector<std::string> flags, const std::string& architecture,
                              const std::string& purpose, bool allow_spills) {
  agents::BuildRequest request;
  request.kernel.file_name = file_name;
  request.kernel.source = std::move(source);
  request.kernel.compile_flags = std::move(flags);
  request.kernel.architecture = architecture;
  request.timeout_ns = 180 * kSecond;  // more text than a candidate's
  const agents::BuildFact built = BuildLanes(workers, allow_spills).build({&request, 1}).front();
  if (built.verdict == agents::Verdict::ok) return built.object;
  const std::string why = built.diagnostics.empty() ? std::string(agents::name(built.verdict))
                                                    : built.diagnostics.front().message;
  throw Error(ErrorCode::unavailable, "cannot " + purpose + ": its kernels do not compile: " + why, "kctl doctor");
}

}  // namespace kiln::worker
