#include "daemon/kilnd/golden.h"

#include <chrono>

#include "daemon/kilnd/bench.h"
#include "daemon/kilnd/job_input.h"
#include "daemon/targets/cpu/detect.h"
#include "runtime/base/json.h"
#include "store/corpus/site_template.h"

namespace kiln::kilnd {
namespace {

// What templates depend on; nothing is measured.
agents::NodeFacts this_node() {
  const targets::cpu::CpuDescription cpu = targets::cpu::detect();
  agents::NodeFacts node;
  node.features = cpu.features;
  node.cores = cpu.cores;
  node.l1d_bytes = cpu.l1d_bytes;
  node.l2_bytes = cpu.l2_bytes;
  node.l3_bytes = cpu.l3_bytes;
  return node;
}

std::vector<agents::GoldenResult> results_of(const JobEnvironment& env, const std::vector<store::GoldenCase>& cases,
                                             const std::vector<store::TemplateSpec>& templates,
                                             agents::GoldenExtent extent, const char* bench_name) {
  const std::unique_ptr<agents::Workbench> bench = make_bench(env, bench_name, "cpu", env.default_policy);
  StoreBlobs blobs(env.store);
  return agents::run_golden(cases, templates, extent, this_node(), env.default_policy, *bench, blobs);
}

json::array to_json(const std::vector<agents::GoldenResult>& results) {
  json::array out;
  for (const agents::GoldenResult& result : results) out.emplace_back(agents::to_json(result));
  return out;
}

double seconds_since(std::chrono::steady_clock::time_point begin) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

// Cases of its family that the template computes; without one, nothing would be proved.
std::vector<agents::GoldenResult> proof_of(const JobEnvironment& env, const store::TemplateSpec& spec,
                                           const store::Corpus& corpus) {
  std::vector<store::GoldenCase> cases;
  for (const store::GoldenCase& c : corpus.golden)
    if (c.family == spec.family) cases.push_back(c);
  std::vector<agents::GoldenResult> results = results_of(env, cases, {spec}, agents::GoldenExtent::spread, "corpus");
  std::erase_if(results, [](const agents::GoldenResult& result) { return result.kernels.empty(); });
  if (results.empty())
    throw Error(ErrorCode::unsupported,
                "cannot add template '" + spec.family + "/" + spec.name + "': it computes none of the " +
                    std::to_string(cases.size()) +
                    " golden cases of its family on this node, so that nothing proves it",
                "its types, cpu_features and constraints say what it accepts; kctl golden list shows the families");
  return results;
}

}  // namespace

std::vector<agents::GoldenResult> run_short_golden(const JobEnvironment& env) {
  const std::shared_ptr<const store::Corpus> corpus = env.corpus.now();
  std::vector<store::GoldenCase> cases;
  for (const char* family : {"attention", "matmul", "pointwise", "row"})
    for (const store::GoldenCase& c : corpus->golden)
      if (c.family == family) {
        cases.push_back(c);
        break;
      }
  std::vector<store::TemplateSpec> templates = corpus->templates;
  std::erase_if(templates, [](const store::TemplateSpec& spec) { return spec.vendor; });
  return results_of(env, cases, templates, agents::GoldenExtent::defaults, "doctor");
}

json::object run_golden(const JobEnvironment& env) {
  const auto begin = std::chrono::steady_clock::now();
  const std::shared_ptr<const store::Corpus> corpus = env.corpus.now();
  const std::vector<agents::GoldenResult> results =
      results_of(env, corpus->golden, corpus->templates, agents::GoldenExtent::defaults, "golden");
  bool passed = !results.empty();
  for (const agents::GoldenResult& result : results) passed = passed && result.passed();
  return {{"digest", corpus->digest},
          {"passed", passed},
          {"seconds", seconds_since(begin)},
          {"cases", to_json(results)}};
}

json::object add_template(const JobEnvironment& env, const std::string& name,
                          const std::map<std::string, std::string>& files) {
  const auto begin = std::chrono::steady_clock::now();
  const store::TemplateSpec spec = store::parse_site_template(name, files);
  env.corpus.require_free(spec);
  const std::shared_ptr<const store::Corpus> corpus = env.corpus.now();
  const std::vector<agents::GoldenResult> results = proof_of(env, spec, *corpus);
  bool accepted = true;
  for (const agents::GoldenResult& result : results) accepted = accepted && result.passed();
  json::array cases = to_json(results);
  if (accepted) {
    env.corpus.add(spec, json::canonical(json::object{{"corpus", corpus->digest}, {"cases", cases}}));
    env.store.add_event("corpus.added", spec.family + "/" + spec.name, json::object{{"digest", spec.digest}});
  }
  return {{"template", spec.family + "/" + spec.name},
          {"digest", spec.digest},
          {"accepted", accepted},
          {"corpus", env.corpus.now()->digest},
          {"seconds", seconds_since(begin)},
          {"cases", std::move(cases)}};
}

}  // namespace kiln::kilnd
