#include "daemon/kilnd/golden.h"

#include <chrono>

#include "agents/conductor/golden.h"
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

}  // namespace

json::object run_golden(const JobEnvironment& env) {
  const auto begin = std::chrono::steady_clock::now();
  const std::unique_ptr<agents::Workbench> bench = make_bench(env, "golden", "cpu");
  StoreBlobs blobs(env.store);
  json::array cases;
  bool passed = !env.corpus.golden().empty();
  for (const agents::GoldenResult& result : agents::run_golden(env.corpus.golden(), env.corpus.templates(), this_node(),
                                                               env.default_policy, *bench, blobs)) {
    passed = passed && result.passed();
    cases.emplace_back(to_json(result));
  }
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - begin;
  return {
      {"digest", env.corpus.digest()}, {"passed", passed}, {"seconds", seconds.count()}, {"cases", std::move(cases)}};
}

}  // namespace kiln::kilnd
