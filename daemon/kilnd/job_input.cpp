#include "daemon/kilnd/job_input.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>

#include "agents/graph/serialize.h"
#include "daemon/kilnd/ahead.h"
#include "runtime/base/digest.h"
#include "runtime/base/files.h"
#include "runtime/base/json.h"

namespace kiln::kilnd {
namespace {

struct Mapping {
  std::shared_ptr<const void> owner;
  std::span<const std::byte> bytes;
};

// Weights are read in place: a 300 MB model must not be copied into the daemon.
Mapping map_file(const std::filesystem::path& path) {
  UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  struct stat status{};
  if (!fd || ::fstat(fd.get(), &status) != 0) throw system_error("cannot open '" + path.string() + "'", errno);
  const auto size = static_cast<std::size_t>(status.st_size);
  if (size == 0) return {};
  void* address = ::mmap(nullptr, size, PROT_READ, MAP_PRIVATE, fd.get(), 0);
  if (address == MAP_FAILED) throw system_error("cannot map '" + path.string() + "'", errno);
  return {std::shared_ptr<const void>(address, [size](const void* p) { ::munmap(const_cast<void*>(p), size); }),
          {static_cast<const std::byte*>(address), size}};
}

// A job from before there were any has none.
std::vector<std::string> site_templates(const store::Job& job) {
  return job.spec.contains("site_templates") ? json::get_strings(job.spec, "site_templates", "job " + job.id)
                                             : std::vector<std::string>{};
}

// What a release runs on: one for another target is no incumbent, since the two cannot be timed against each other.
std::string target_of(const store::ReleaseRow& release) {
  return agents::plan_from_json(
             json::parse(read_file(release.directory / "plan.json"), "the plan of release " + release.id))
      .target;
}

// What only the node can say of a policy.
void check_against(const policies::Policy& policy, const store::Corpus& corpus, const std::string& target) {
  for (const std::string& entry : policy.families)
    if (std::none_of(corpus.templates.begin(), corpus.templates.end(), [&](const store::TemplateSpec& spec) {
          return entry == spec.family || entry == spec.family + "/" + spec.name;
        }))
      throw Error(ErrorCode::invalid_input,
                  "cannot submit the job: search.families of its policy names '" + entry +
                      "', which is neither a family nor a template of the corpus",
                  "kctl corpus list");
  if (target != "cpu" && policy.share < 1)
    throw Error(ErrorCode::unsupported,
                "cannot submit the job: device.share of its policy is below 1, and a share of a GPU cannot be kept: "
                "its multiprocessors go to whoever launches on it",
                "set device.share to 1 for a job on a GPU");
}

}  // namespace

json::object job_spec(const JobEnvironment& env, const control::TuneRequest& request) {
  const std::string text = request.policy_text.empty() ? env.default_policy.text : request.policy_text;
  const policies::Policy policy = policies::parse_policy(text, "the job's policy");
  if (request.budget_seconds < 0)
    throw Error(ErrorCode::invalid_input,
                "cannot submit the job: a budget of " + std::to_string(request.budget_seconds) + " s is negative");
  const std::shared_ptr<const store::Corpus> corpus = env.corpus.now();
  check_against(policy, *corpus, request.target);
  const store::Workload workload = env.store.workload(request.workload);
  json::object spec{{"policy", text},
                    {"policy_name", policy.name},
                    {"policy_digest", policy.digest},
                    {"budget_seconds", request.budget_seconds > 0 ? request.budget_seconds : policy.seconds},
                    {"seed", request.seed},
                    {"corpus", corpus->digest},
                    {"site_templates", json::to_array(store::NodeCorpus::stored(*corpus))},
                    {"incumbent", ""},
                    {"target", request.target}};
  if (request.build_only) spec["build_only"] = build_only_spec(env, *request.build_only);
  for (const store::ReleaseRow& release : env.store.releases(workload.id))
    if (release.current && target_of(release) == request.target) spec["incumbent"] = release.id;
  return spec;
}

// A job from before there were others is for the CPU.
std::string job_target(const store::Job& job) {
  return json::find_string(job.spec, "target", "job " + job.id).value_or("cpu");
}

agents::JobInput job_input(const JobEnvironment& env, const store::Job& job) {
  const store::Workload workload = env.store.workload(job.workload);
  agents::JobInput input;
  input.job = job.id;
  input.workload_id = workload.id;
  input.workload_name = workload.name;
  input.target = job_target(job);
  input.graph_blob = workload.graph;
  input.constants_blob = workload.constants;
  if (const json::value* rewrites = workload.import.if_contains("rewrites"); rewrites && rewrites->is_array())
    input.rewrites = json::get_strings(workload.import, "rewrites", "workload " + workload.id);
  const json::value graph = json::parse(env.store.blob(workload.graph), "the graph of workload " + workload.id,
                                        {.bytes = 256u << 20, .depth = 32});
  const Mapping constants = workload.constants.empty() ? Mapping{} : map_file(env.store.blob_path(workload.constants));
  input.workload = graph::graph_from_json(graph, constants.owner, constants.bytes);
  input.policy =
      policies::parse_policy(json::get_string(job.spec, "policy", "job " + job.id), "the policy of job " + job.id);
  input.policy.seconds = json::get_int(job.spec, "budget_seconds", "job " + job.id);
  input.seed = static_cast<std::uint64_t>(json::get_int(job.spec, "seed", "job " + job.id));
  store::Corpus corpus = env.corpus.at(site_templates(job));
  input.corpus = std::move(corpus.templates);
  input.corpus_digest = std::move(corpus.digest);
  if (input.corpus_digest != json::get_string(job.spec, "corpus", "job " + job.id))
    throw Error(ErrorCode::conflict,
                "cannot run job " + job.id + ": it was submitted with another corpus than this node has now",
                "submit it again");
  if (const std::string incumbent = json::get_string(job.spec, "incumbent", "job " + job.id); !incumbent.empty()) {
    const store::ReleaseRow release = env.store.release(incumbent);
    input.incumbent = agents::plan_from_json(
        json::parse(read_file(release.directory / "plan.json"), "the plan of release " + incumbent));
  }
  return input;
}

}  // namespace kiln::kilnd
