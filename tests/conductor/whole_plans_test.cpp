// The choice between whole plans: what regions take beside their neighbours overrules what they took alone.
#include <doctest/doctest.h>

#include <algorithm>
#include <functional>

#include "runtime/base/json.h"
#include "tests/conductor/gpu_bench.h"
#include "tests/conductor/jobs.h"

using namespace kiln;
using namespace kiln::agents;

namespace {

// The classifier's plans, whose launches take 1 ms, but the vendor's softmax two.
class PlansBench : public FakeBench {
 public:
  double product_in_plan_ms = 1;     // of the fused product, beside the softmax
  double spoiled_by_product_ms = 0;  // that a whole plan with it takes on top, in no launch of its own
  bool launches_crash = false;       // where they are timed one by one
  // Measurements: of the incumbent's launches, of launches of two plans, of whole plans, of regions' incumbents alone.
  int profiles = 0, in_place = 0, whole = 0, alone = 0;

  SampleFact measure(const MeasureRequest& request) override {
    SampleFact fact = FakeBench::measure(request);
    (request.subjects.size() > 1 ? in_place : profiles) += request.per_launch ? 1 : 0;
    alone += request.subjects.size() > 1 && request.subjects.front().name.size() == 16 ? 1 : 0;  // a region's key
    whole += request.subjects.front().name == "today" ? 1 : 0;
    for (std::size_t s = 0; s < fact.subjects.size(); ++s) {
      SampleFact::Subject& subject = fact.subjects[s];
      const Plan& plan = request.subjects[s].plan;
      const bool is_whole = plan.outputs.front().name == request.subjects.front().plan.outputs.front().name &&
                            plan.run.size() > 1 && has(plan, "softmax");
      std::vector<double> launches;
      double spoiled_ms = 0;
      for (const PlanLaunch& launch : plan.run) {
        const bool product = launch.label.find("+ tanh") != std::string::npos;
        const bool vendors = template_of(plan.objects.at(static_cast<std::size_t>(launch.object))) == "row/onednn" ||
                             subject.name == "incumbent";
        const bool slow = launch.label.find("softmax") != std::string::npos && vendors;
        launches.push_back(1e6 * (product && is_whole ? product_in_plan_ms : slow ? 2 : 1));
        if (product && is_whole) spoiled_ms = spoiled_by_product_ms;
      }
      for (std::size_t i = 0; i < subject.ns.size(); ++i) {
        const double noise = 1 + 0.001 * unit_from(std::to_string(s) + "/" + std::to_string(i));
        subject.ns[i] = 1e6 * spoiled_ms;
        for (const double ns : launches) subject.ns[i] += ns * noise;
        if (request.per_launch) subject.launch_ns.push_back(launches);
      }
      if (request.per_launch && launches_crash) subject.verdict = Verdict::crashed;
    }
    return fact;
  }

 private:
  static bool has(const Plan& plan, const std::string& in_label) {
    return std::any_of(plan.run.begin(), plan.run.end(), [&](const PlanLaunch& launch) {
      return launch.label.find(in_label) != std::string::npos;
    });
  }
};

struct Ran {
  JobOutcome outcome;
  std::string decisions;
};

// Live, and once more from the record: both must come to the same.
Ran ran(PlansBench& bench, std::int64_t seconds = 600,
        const std::function<JobInput(MemoryBlobs&)>& input_of = classifier_input) {
  MemoryBlobs blobs;
  JobInput input = input_of(blobs);
  input.policy.seconds = seconds;
  MemoryJournal journal;
  Ran out{run(input, bench, blobs, journal), decisions_of(journal)};
  journal.rewind();
  journal.replay = true;
  CHECK(json::canonical(run(input, bench, blobs, journal).trace) == json::canonical(out.outcome.trace));
  return out;
}

std::string kernels_of(const Ran& job, const std::string& label) {
  return std::string(region_of(job.outcome, label).at("choice").at("kernels").as_string());
}
std::string reason_of(const Ran& job, const std::string& label) {
  return std::string(region_of(job.outcome, label).at("choice").at("reason").as_string());
}
std::string chosen(const Ran& job) {
  return std::string(job.outcome.trace.at("composition").at("chosen").as_string());
}

}  // namespace

TEST_CASE("a region whose winner loses in the whole plan keeps the incumbent's kernels, though it won alone") {
  PlansBench bench;
  bench.product_in_plan_ms = 5;  // the incumbent's two launches take 2 ms
  const Ran job = ran(bench);
  CHECK(region_of(job.outcome, "+ tanh").at("winner").at("speed_up").at("comparison") == "faster");
  CHECK(kernels_of(job, "+ tanh") == "incumbent");
  CHECK(reason_of(job, "+ tanh").find("in the whole plan its best candidate is 0.400x") == 0);
  CHECK(region_of(job.outcome, "+ tanh").at("in_place").at("winner_ns").to_number<double>() == doctest::Approx(5e6));
  CHECK(kernels_of(job, "softmax") == "winner");
  CHECK(chosen(job) == "in place");
  CHECK(job.outcome.decision.at("comparison") == "faster");
  CHECK(job.decisions.find("composition={") != std::string::npos);
}

TEST_CASE("where the plan takes what its regions took alone, all winners run and one comparison is enough") {
  PlansBench bench;
  const Ran job = ran(bench);
  CHECK(kernels_of(job, "+ tanh") == "winner");
  CHECK(kernels_of(job, "softmax") == "winner");
  CHECK(chosen(job) == "alone");
  CHECK(job.outcome.trace.at("composition").at("trials").as_array().size() == 1);
  CHECK(bench.in_place == 1);
  CHECK(bench.whole == 1);
}

TEST_CASE("incumbents are profiled by one plan of theirs, in which each region's launches are timed") {
  PlansBench bench;
  const Ran job = ran(bench);
  CHECK(bench.profiles == 1);
  CHECK(bench.alone == 0);
  // The vendor's softmax takes 2 ms, a launch of anything else 1 ms.
  const auto plan = job.outcome.trace.at("plan").at("regions").as_array();
  const auto of = [&](const std::string& label) {
    const std::string key(region_of(job.outcome, label).at("key").as_string());
    for (const json::value& region : plan)
      if (region.at("region").as_string() == key) return region.at("head_room_ns").to_number<double>();
    return 0.0;
  };
  CHECK(of("softmax") > 1.9e6);
  CHECK(of("softmax") < 2e6);
}

TEST_CASE("incumbents are profiled one by one where their plan does not run launch by launch") {
  PlansBench bench;
  bench.launches_crash = true;
  const Ran job = ran(bench);
  CHECK(bench.profiles == 1);
  CHECK(bench.alone == 1);
  CHECK(job.outcome.decision.at("comparison") == "faster");
}

TEST_CASE("the only plan that may be chosen is not timed for the choice") {
  PlansBench bench;
  const Ran job = ran(bench, 600, [](MemoryBlobs& blobs) {
    graph::Graph g;
    const graph::ValueId x = g.add_input("x", {graph::DType::f32, {32, 64}});
    g.outputs = {graph::test::apply(g, graph::ExprOp::tanh, graph::test::apply(g, graph::ExprOp::exp, x))};
    return job_on(std::move(g), "pointwise", blobs);
  });
  CHECK(kernels_of(job, "tanh") == "winner");
  CHECK(chosen(job) == "alone");
  CHECK(job.outcome.trace.at("composition").at("trials").as_array().empty());
  CHECK(bench.whole == 0);
  CHECK(job.outcome.decision.at("comparison") == "faster");
}

TEST_CASE("a kind of kernel that slows the whole plan, in no launch of its own, is taken back while the budget lasts") {
  PlansBench bench;
  bench.spoiled_by_product_ms = 5;
  const Ran job = ran(bench);
  CHECK(chosen(job).find("without matmul/") == 0);
  CHECK(kernels_of(job, "+ tanh") == "incumbent");
  CHECK(reason_of(job, "+ tanh").find("of the whole plans 'without matmul/") != std::string::npos);
  CHECK(kernels_of(job, "softmax") == "winner");
  CHECK(job.outcome.decision.at("comparison") == "faster");

  PlansBench late;
  late.spoiled_by_product_ms = 5;
  const Ran spent = ran(late, 1);
  CHECK(chosen(spent) == "alone");  // the budget is over, and the plan as it is no faster:
  CHECK(spent.outcome.decision.at("comparison") == "slower");
}

TEST_CASE("plans whose launches cannot be timed are chosen by what their regions took alone") {
  PlansBench bench;
  bench.launches_crash = true;
  const Ran job = ran(bench);
  CHECK(kernels_of(job, "+ tanh") == "winner");
  CHECK_FALSE(region_of(job.outcome, "+ tanh").contains("in_place"));
  CHECK(chosen(job) == "alone");
  CHECK(job.outcome.decision.at("comparison") == "faster");
}

namespace {

// Kernels take 1 ms, the vendor's two, and a product with no more scratch than `little_bytes` somewhat longer.
class ScratchBench : public FakeBench {
 public:
  std::int64_t little_bytes = 0;
  double longer = 1.1;
  double vendors_product_ms = 2;

  SampleFact measure(const MeasureRequest& request) override {
    SampleFact fact = FakeBench::measure(request);
    for (std::size_t s = 0; s < fact.subjects.size(); ++s) {
      double ns = 0;
      for (const PlanLaunch& launch : request.subjects[s].plan.run) {
        const std::string& object = request.subjects[s].plan.objects.at(static_cast<std::size_t>(launch.object));
        const bool vendors = template_of(object).find("/onednn") != std::string::npos;
        const bool product = launch.label.find("matmul") == 0;
        const bool lean = product && launch.scratch_bytes <= little_bytes;
        ns += 1e6 * (vendors ? (product ? vendors_product_ms : 2) : lean ? longer : 1 - scratch_gain(launch));
      }
      for (std::size_t i = 0; i < fact.subjects[s].ns.size(); ++i)
        fact.subjects[s].ns[i] = ns * (1 + 1e-6 * unit_from(std::to_string(s) + "/" + std::to_string(i)));
    }
    return fact;
  }

 private:
  // Far less than the policy's margin.
  static double scratch_gain(const PlanLaunch& launch) {
    return 1e-3 * std::min(1.0, static_cast<double>(launch.scratch_bytes) / (1 << 20));
  }
};

std::int64_t scratch_of_product(const JobOutcome& outcome) {
  for (const PlanLaunch& launch : outcome.tuned.run)
    if (launch.label.find("matmul") == 0) return launch.scratch_bytes;
  return -1;
}

}  // namespace

TEST_CASE("a plan of more memory than a framework's results takes the kernel of less scratch that is as fast") {
  MemoryBlobs blobs;
  graph::Graph g;  // as a framework runs it, the scores alone lie between its two operators
  const graph::ValueId x = g.add_input("x", {graph::DType::f32, {512, 64}});
  const graph::ValueId w = g.add_constant("w", graph::test::random_floats({64, 128}, 1));
  const graph::ValueId scores = g.add_node(graph::MatMul{}, {x, w}, "scores")[0];
  g.outputs = g.add_node(graph::Softmax{1, false}, {scores}, "softmax");
  JobInput input = job_on(std::move(g), "scores", blobs);
  input.policy.seconds = 600;
  const auto job = [&](ScratchBench& bench) {
    MemoryJournal journal;
    JobOutcome out = run(input, bench, blobs, journal);
    journal.rewind();
    journal.replay = true;
    CHECK(json::canonical(run(input, bench, blobs, journal).trace) == json::canonical(out.trace));
    return out;
  };
  ScratchBench equal;
  const JobOutcome lean = job(equal);
  const json::array& trials = lean.trace.at("composition").at("trials").as_array();
  REQUIRE(trials.size() == 2);
  CHECK(trials[0].at("working_bytes").to_number<std::int64_t>() > lean.memory.at("eager").to_number<std::int64_t>());
  CHECK(trials[1].at("working_bytes").to_number<std::int64_t>() <
        trials[0].at("working_bytes").to_number<std::int64_t>());
  CHECK(lean.trace.at("composition").at("chosen") == "less memory");
  CHECK(lean.memory.at("tuned").at("working") == trials[1].at("working_bytes"));
  CHECK(region_of(lean, "matmul").at("choice").at("reason").as_string().find("needs less memory than") !=
        std::string::npos);
  CHECK(lean.decision.at("comparison") == "faster");
  CHECK(lean.sources.size() == lean.tuned.run.size());

  ScratchBench slower;  // where that kernel takes a tenth longer, memory is not worth it
  slower.little_bytes = scratch_of_product(lean);
  CHECK(scratch_of_product(job(slower)) > scratch_of_product(lean));
}

TEST_CASE("a vendor's kernel whose library allocates by itself makes room for one of the corpus that is as fast") {
  MemoryBlobs blobs;
  graph::Graph g;  // of few rows: parts of columns, for which oneDNN has its older kernels
  const graph::ValueId x = g.add_input("x", {graph::DType::f32, {16, 512}});
  const graph::ValueId w = g.add_constant("w", graph::test::random_floats({512, 128}, 1));
  const graph::ValueId scores = g.add_node(graph::MatMul{}, {x, w}, "scores")[0];
  g.outputs = g.add_node(graph::Softmax{1, false}, {scores}, "softmax");
  JobInput input = job_on(std::move(g), "scores", blobs);
  input.policy.seconds = 600;
  ScratchBench bench;
  bench.vendors_product_ms = 0.995;  // within the margin, so that only "sure" keeps it, and wins
  MemoryJournal journal;
  const JobOutcome out = run(input, bench, blobs, journal);
  const auto library_bytes_of = [](const Plan& plan) {
    std::int64_t most = 0;
    for (const PlanLaunch& launch : plan.run) most = std::max(most, launch.library_bytes);
    return most;
  };
  CHECK(library_bytes_of(out.baseline) > 0);
  CHECK(library_bytes_of(out.tuned) == 0);
  CHECK(out.trace.at("composition").at("chosen") == "less memory");
  CHECK(out.memory.at("tuned").at("working").to_number<std::int64_t>() <
        out.memory.at("baseline").at("working").to_number<std::int64_t>());
}
