#include "daemon/kilnd/golden.h"

#include <chrono>

#include "daemon/kilnd/bench.h"
#include "daemon/kilnd/job_input.h"
#include "daemon/targets/cpu/detect.h"
#include "runtime/base/json.h"

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
                                             const char* bench_name) {
  const std::unique_ptr<agents::Workbench> bench = make_bench(env, bench_name, "cpu");
  StoreBlobs blobs(env.store);
  return agents::run_golden(cases, templates, this_node(), env.default_policy, *bench, blobs);
}

}  // namespace

std::vector<agents::GoldenResult> run_short_golden(const JobEnvironment& env) {
  std::vector<store::GoldenCase> cases;
  for (const char* family : {"attention", "matmul", "pointwise", "row"})
    for (const store::GoldenCase& c : env.corpus.golden())
      if (c.family == family) {
        cases.push_back(c);
        break;
      }
  std::vector<store::TemplateSpec> templates = env.corpus.templates();
  std::erase_if(templates, [](const store::TemplateSpec& spec) { return spec.vendor; });
  return results_of(env, cases, templates, "doctor");
}

json::object run_golden(const JobEnvironment& env) {
  const auto begin = std::chrono::steady_clock::now();
  json::array cases;
  bool passed = !env.corpus.golden().empty();
  for (const agents::GoldenResult& result : results_of(env, env.corpus.golden(), env.corpus.templates(), "golden")) {
    passed = passed && result.passed();
    cases.emplace_back(to_json(result));
  }
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - begin;
  return {
      {"digest", env.corpus.digest()}, {"passed", passed}, {"seconds", seconds.count()}, {"cases", std::move(cases)}};
}

}  // namespace kiln::kilnd
