// Objects that one node builds for another: jobs that only build, and bundles that come from elsewhere.
#pragma once

#include <string>
#include <vector>

#include "agents/conductor/conductor.h"
#include "daemon/kilnd/jobs.h"
#include "runtime/base/json_fwd.h"

namespace kiln::kilnd {

// The name of a job's bundle among its artifacts.
inline constexpr std::string_view kBundleName = "bundle.objects";

// What a job's spec says of building ahead: {"architecture", "candidates", "node"}. The node is the request's, or the
// description that Kiln brings for that architecture (nodes/sm_90a.json). Throws Error(invalid_input) when there is
// none, or the one given is of another architecture.
[[nodiscard]] json::object build_only_spec(const JobEnvironment& env, const control::BuildOnly& request);
[[nodiscard]] bool builds_only(const store::Job& job);

struct AheadRun {
  const agents::JobInput& input;
  agents::Workbench& bench;
  agents::Journal& journal;
  std::function<json::array(const std::string&)> priors;
  std::function<std::int64_t()> clock_ns;
};
// Follows the record; the summary of what was built (agents/conductor/build_ahead.h) and `objects`, the facts.
[[nodiscard]] json::object replay_ahead(const JobEnvironment& env, const store::Job& job, const AheadRun& run);
// The job, and its result: the summary, and the signed bundle among its artifacts.
[[nodiscard]] json::object build_for_another(const JobEnvironment& env, const store::Job& job, const AheadRun& run);

// Takes a bundle (a blob) into the cache, all of it or nothing: it must be signed by this node's key or by one of
// `keys`, and hold objects for GPUs only. What was uploaded for it goes, taken in or refused; the bundle of a job here
// stays. {"objects", "added", "bytes", "signer", "about", "same_compiler"}.
[[nodiscard]] json::object import_objects(const JobEnvironment& env, const std::string& bundle,
                                          const std::vector<std::string>& keys);

}  // namespace kiln::kilnd
