#include "daemon/worker/own_kernels.h"

#include "daemon/worker/attempts.h"
#include "daemon/worker/bench_memory.h"
#include "daemon/worker/build_lanes.h"
#include "runtime/base/digest.h"

namespace kiln::worker {
namespace {

std::string recipe_of(const agents::BuildRequest& request) {
  std::string all = request.kernel.architecture;
  for (const std::string& flag : request.kernel.compile_flags) all += "\n" + flag;
  return sha256_hex(all + "\n\n" + request.kernel.source);
}

// An object that was built before, where it still is.
std::optional<std::string> built_before(const BenchMemory& memory, const std::string& recipe,
                                        const ObjectSource& objects) {
  std::optional<std::string> object = memory.object(recipe);
  if (!object) return std::nullopt;
  try {
    (void)open_object(objects, *object);
    return object;
  } catch (const Error&) {
    return std::nullopt;  // it is built again
  }
}

}  // namespace

std::string build_own_kernels(BenchWorkers& workers, const std::string& file_name, std::string source,
                              std::vector<std::string> flags, const std::string& architecture,
                              const std::string& purpose, bool allow_spills) {
  agents::BuildRequest request;
  request.kernel.file_name = file_name;
  request.kernel.source = std::move(source);
  request.kernel.compile_flags = std::move(flags);
  request.kernel.architecture = architecture;
  request.timeout_ns = 180 * kSecond;  // more text than a candidate's
  const std::string recipe = recipe_of(request);
  BenchMemory* const memory = workers.options().memory.get();
  if (memory)
    if (const auto object = built_before(*memory, recipe, workers.objects())) return *object;
  const agents::BuildFact built = BuildLanes(workers, allow_spills).build({&request, 1}).front();
  if (built.verdict == agents::Verdict::ok) {
    if (memory) memory->keep_object(recipe, built.object);
    return built.object;
  }
  const std::string why = built.diagnostics.empty() ? std::string(agents::name(built.verdict))
                                                    : built.diagnostics.front().message;
  throw Error(ErrorCode::unavailable, "cannot " + purpose + ": its kernels do not compile: " + why, "kctl doctor");
}

}  // namespace kiln::worker
