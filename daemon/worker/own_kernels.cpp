#include "daemon/worker/own_kernels.h"

#include "daemon/worker/attempts.h"
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
std::optional<std::string> built_before(const BuiltKernels& built, const std::string& recipe,
                                        const ObjectSource& objects) {
  std::optional<std::string> object = built.find(recipe);
  if (!object) return std::nullopt;
  try {
    (void)open_object(objects, *object);
    return object;
  } catch (const Error&) {
    return std::nullopt;  // it is built again
  }
}

}  // namespace

std::optional<std::string> BuiltKernels::find(const std::string& recipe) const {
  const std::lock_guard lock(mutex_);
  const auto found = objects_.find(recipe);
  return found == objects_.end() ? std::nullopt : std::optional(found->second);
}

void BuiltKernels::add(const std::string& recipe, const std::string& object) {
  const std::lock_guard lock(mutex_);
  objects_.insert_or_assign(recipe, object);
}

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
  BuiltKernels* const known = workers.options().built.get();
  if (known)
    if (const auto object = built_before(*known, recipe, workers.objects())) return *object;
  const agents::BuildFact built = BuildLanes(workers, allow_spills).build({&request, 1}).front();
  if (built.verdict == agents::Verdict::ok) {
    if (known) known->add(recipe, built.object);
    return built.object;
  }
  const std::string why = built.diagnostics.empty() ? std::string(agents::name(built.verdict))
                                                    : built.diagnostics.front().message;
  throw Error(ErrorCode::unavailable, "cannot " + purpose + ": its kernels do not compile: " + why, "kctl doctor");
}

}  // namespace kiln::worker
