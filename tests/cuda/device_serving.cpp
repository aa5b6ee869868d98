// A GPU's calls that follow each other, over the fake driver and a fake NVML.
#include <doctest/doctest.h>

#include <cmath>
#include <tuple>

#include "agents/benchmark/benchmark.h"
#include "agents/evaluator/evaluator.h"
#include "daemon/worker/frame.h"
#include "tests/cuda/gpu_bench.h"

using namespace kiln;
using testing::GpuBench;

namespace {

double median(const std::vector<double>& values) { return agents::summarize(values, 0.95).median_ns; }

}  // namespace

TEST_CASE("a GPU's bench: calls that follow each other are timed and counted, and one behind them is judged") {
  GpuBench gpu;
  const agents::Subject honest = gpu.subject("honest", "");
  for (const agents::Objective objective : {agents::Objective::throughput, agents::Objective::energy}) {
    agents::MeasureRequest request;
    // The lazy one takes what it finds in its place for its result.
    const std::string lazy = "if (launches > 3 && static_cast<float*>(arguments.at[1])[0] > -1e30f) return;";
    request.subjects = {honest};
    if (objective == agents::Objective::throughput) request.subjects.push_back(gpu.subject("lazy", lazy));
    request.proof = agents::Proof{gpu.graph, "", "normal", 3};
    request.objective = objective;
    request.samples = 2;
    request.cold = false;
    const agents::SampleFact fact = gpu.bench->measure(request);
    REQUIRE(fact.subjects.size() == request.subjects.size());
    for (const agents::SampleFact::Subject& subject : fact.subjects) {
      INFO(subject.name << " " << agents::name(objective) << ": " << subject.evidence);
      REQUIRE(subject.ns.size() == 2);
      const bool right = agents::judge_timed(subject, policies::Policy{}).verdict == agents::Verdict::ok;
      CHECK(right == (subject.name == "honest"));
      if (objective == agents::Objective::throughput) {
        CHECK(subject.nj.empty());
        continue;
      }
      REQUIRE(subject.nj.size() == 2);
      CHECK(std::abs(median(subject.nj) / (250 * median(subject.ns)) - 1) < 0.02);
    }
  }
}

TEST_CASE("a GPU's bench: short calls are timed several at once, warm or cold, and one behind them is judged") {
  // What takes long is timed alone.
  for (const auto& [driver, cold, several] : {std::tuple{"fake-quick", false, true},
                                              {"fake-quick", true, true},
                                              {"fake", false, false},
                                              {"fake", true, false}}) {
    GpuBench gpu(driver);
    agents::MeasureRequest request;
    // What stops after a while, and what takes what it finds in its place for its result.
    request.subjects = {
        gpu.subject("honest", ""), gpu.subject("tires", "if (launches > 12) return;"),
        gpu.subject("lazy", "if (launches > 3 && static_cast<float*>(arguments.at[1])[0] > -1e30f) return;")};
    request.proof = agents::Proof{gpu.graph, "", "normal", 3};
    request.warmup = 2;
    request.samples = 2;
    request.cold = cold;
    const agents::SampleFact fact = gpu.bench->measure(request);
    REQUIRE(fact.subjects.size() == 3);
    for (const agents::SampleFact::Subject& subject : fact.subjects) {
      INFO(driver << " " << subject.name << (cold ? " cold: " : " warm: ") << subject.evidence);
      REQUIRE(subject.ns.size() == 2);
      const bool right = agents::judge_timed(subject, policies::Policy{}).verdict == agents::Verdict::ok;
      CHECK(right == (subject.name == "honest" || (!several && subject.name == "tires")));
    }
  }
}

TEST_CASE("a GPU's bench tells the joules since it was last asked") {
  GpuBench gpu;
  // The counter was looked at between two moments at the begin, and between two at the end.
  const auto seconds = [] { return 1e-9 * static_cast<double>(worker::monotonic_ns()); };
  const double before_first = seconds();
  CHECK(gpu.bench->joules() == 0);
  const double after_first = seconds();
  double joules = 0, before_last = 0;
  while (joules < 50) {
    before_last = seconds();
    joules += gpu.bench->joules();
  }
  const double after_last = seconds();
  CHECK(joules / 250 > before_last - after_first - 0.11);  // it moves ten times a second
  CHECK(joules / 250 < after_last - before_first + 0.11);
}
