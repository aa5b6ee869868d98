#include "daemon/kilnd/ahead.h"

#include <algorithm>
#include <map>

#include "agents/conductor/build_ahead.h"
#include "daemon/kilnd/bench.h"
#include "daemon/kilnd/job_input.h"
#include "daemon/worker/build_recipe.h"
#include "runtime/base/files.h"
#include "runtime/base/json.h"
#include "store/object_bundle.h"

namespace kiln::kilnd {
namespace {

constexpr std::size_t kMostDescription = 1 << 20;
constexpr std::int64_t kMostBundle = std::int64_t{1} << 30;  // what one answer of the control socket holds

bool is_plain(const std::string& architecture) {
  return architecture.starts_with("sm_") && architecture.size() < 16 &&
         architecture.find_first_not_of("abcdefghijklmnopqrstuvwxyz_0123456789") == std::string::npos;
}

json::object description_of(const JobEnvironment& env, const std::string& architecture) {
  const std::filesystem::path file = env.nodes / (architecture + ".json");
  if (!std::filesystem::exists(file))
    throw Error(ErrorCode::invalid_input,
                "cannot build ahead for '" + architecture + "': Kiln brings no description of a node with such a GPU",
                "run a job on the GPU's node, save what kctl node --json says there, and give it with --node");
  return json::as_object(json::parse(read_file(file, kMostDescription), "'" + file.string() + "'"), file.string());
}

agents::AheadRequest request_of(const store::Job& job) {
  const std::string what = "the spec of job " + job.id;
  const json::object& spec = json::as_object(json::at(job.spec, "build_only", what), what);
  agents::AheadRequest request;
  request.node = agents::node_facts_from_json(json::at(spec, "node", what));
  request.candidates = static_cast<std::int32_t>(json::get_int(spec, "candidates", what));
  return request;
}

agents::AheadOutcome followed(const JobEnvironment& env, const store::Job& job, const AheadRun& run) {
  StoreBlobs blobs(env.store);
  return agents::build_ahead(run.input, request_of(job), run.bench, blobs, run.journal, run.priors, run.clock_ns);
}

std::string write_bundle(const JobEnvironment& env, const store::Job& job, const agents::AheadOutcome& outcome) {
  const std::string what = "the spec of job " + job.id;
  const json::object& spec = json::as_object(json::at(job.spec, "build_only", what), what);
  const std::string architecture = json::get_string(spec, "architecture", what);
  std::vector<std::string> recipes;
  std::map<std::string, const agents::BuildFact*> facts;
  for (const agents::BuildFact& fact : outcome.objects) {
    recipes.push_back(fact.recipe);
    facts[fact.recipe] = &fact;
  }
  const json::object about{{"workload", env.store.workload(job.workload).name},
                           {"target", architecture},
                           {"corpus", json::at(job.spec, "corpus", what)},
                           {"compiler", gpu_toolchain(env)},
                           {"summary", outcome.summary}};
  const std::unique_ptr<store::Store::Upload> file = env.store.upload(kMostBundle);
  store::write_bundle(
      env.key, about, recipes,
      [&](const std::string& recipe) {
        const agents::BuildFact& fact = *facts.at(recipe);
        const worker::KnownObject known = worker::known_object(architecture, fact, env.store.blob(fact.object));
        return store::CachedObject{known.about, known.object};
      },
      [&](std::string_view piece) { file->write(std::as_bytes(std::span(piece))); });
  std::string bundle = file->commit();
  env.store.keep_blob(bundle);  // the job's artifact
  return bundle;
}

// What was uploaded for an import, and goes with it, also when the import is refused.
class Incoming {
 public:
  Incoming(store::Store& store, std::string blob) : store_(store), blob_(std::move(blob)) {}
  ~Incoming() {
    try {
      store_.drop_upload(blob_);
    } catch (const Error&) {  // the store takes no more writes, and what it refuses is not worth another error
    }
  }
  Incoming(const Incoming&) = delete;
  Incoming& operator=(const Incoming&) = delete;

 private:
  store::Store& store_;
  const std::string blob_;
};

}  // namespace

json::object build_only_spec(const JobEnvironment& env, const control::BuildOnly& request) {
  if (!is_plain(request.architecture))
    throw Error(ErrorCode::invalid_input, "cannot build ahead for '" + request.architecture.substr(0, 40) +
                                              "': it is no architecture of an NVIDIA GPU, such as sm_90a");
  json::object node = request.node.empty() ? description_of(env, request.architecture) : request.node;
  const agents::NodeFacts facts = agents::node_facts_from_json(node);
  if (!facts.gpu)
    throw Error(ErrorCode::invalid_input, "cannot build ahead: the description of the node has no GPU",
                "run a job for target cuda on that node, then save what kctl node --json says there");
  if (facts.gpu->architecture != request.architecture)
    throw Error(ErrorCode::invalid_input, "cannot build ahead for '" + request.architecture +
                                              "': the node's GPU is described as '" + facts.gpu->architecture + "'");
  return {{"architecture", request.architecture}, {"candidates", request.candidates}, {"node", std::move(node)}};
}

bool builds_only(const store::Job& job) { return job.spec.contains("build_only"); }

json::object replay_ahead(const JobEnvironment& env, const store::Job& job, const AheadRun& run) {
  return followed(env, job, run).summary;
}

json::object build_for_another(const JobEnvironment& env, const store::Job& job, const AheadRun& run) {
  const agents::AheadOutcome outcome = followed(env, job, run);
  const std::string bundle = write_bundle(env, job, outcome);
  return {{"artifacts", json::object{{kBundleName, bundle}}}, {"ahead", outcome.summary}};
}

json::object import_objects(const JobEnvironment& env, const std::string& bundle,
                            const std::vector<std::string>& keys) {
  const Incoming incoming(env.store, bundle);
  if (env.objects == nullptr || env.objects->size().limit_bytes == 0)
    throw Error(ErrorCode::conflict, "cannot take in code objects: this node keeps none",
                "set limits.object_cache_bytes above 0 and restart kilnd");
  std::vector<std::string> trusted = keys;
  trusted.push_back(env.key.public_pem());
  const std::filesystem::path file = env.store.blob_path(bundle);
  const auto each = [&](const std::function<void(const std::string&, store::CachedObject)>& take) {
    return store::read_bundle(file, trusted, take);
  };
  // Twice, so that a bundle with one entry that is not to be had leaves none behind.
  (void)each([](const std::string& recipe, const store::CachedObject& entry) {
    if (!is_plain(worker::architecture_of(entry.about)))
      throw Error(ErrorCode::invalid_input,
                  "cannot take in code object " + recipe +
                      ": it is not for a GPU; what runs on a CPU is built where it runs");
  });
  std::int64_t added = 0;
  const store::BundleContent content = each([&](const std::string& recipe, const store::CachedObject& entry) {
    if (env.objects->find(recipe)) return;
    env.objects->keep(recipe, entry);
    ++added;
  });
  const std::string compiler = json::find_string(content.about, "compiler", "a bundle").value_or("");
  bool same = false;
  try {
    same = compiler == gpu_toolchain(env);
  } catch (const Error&) {  // no compiler for GPUs here: these objects are all there is, and no job asks for them
  }
  env.store.add_event("objects.imported", bundle, json::object{{"added", added}, {"signer", content.signer}});
  return {{"objects", content.objects}, {"added", added},          {"bytes", content.bytes},
          {"signer", content.signer},   {"about", content.about}, {"same_compiler", same}};
}

}  // namespace kiln::kilnd
