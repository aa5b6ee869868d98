// The partition put to measurement: a region as one kernel and in parts, whichever is faster.
#include <doctest/doctest.h>

#include <algorithm>

#include "agents/conductor/build_ahead.h"
#include "runtime/base/json.h"
#include "tests/conductor/gpu_bench.h"
#include "tests/conductor/jobs.h"

using namespace kiln;
using namespace kiln::agents;

namespace {

// Times by what a launch is of: a convolution is slower beside statistics, and these by themselves are a pass.
class PartsBench : public GpuBench {
 public:
  double beside_statistics_ms = 3;  // the convolution, when it sums its results up
  double beside_in_plan_ms = 0;     // the same in a whole plan, where that is another time
  double plain_ms = 1;              // the convolution alone
  double pass_ms = 1;               // the statistics alone
  bool parts_are_wrong = false;     // all of them together
  double bytes_per_second = 0;      // of all levels of memory; 0: of a usual node
  std::string last_in_time;         // when a kernel of this label was measured, the budget is over
  std::int64_t over_ns = 0;         // that the clock is ahead by then
  int in_turns = 0;                 // measurements of a region as one kernel and in parts

  NodeFacts probe(Probing how) override {
    NodeFacts facts = GpuBench::probe(how);
    for (auto& [unused, rate] : facts.bandwidth)
      if (bytes_per_second > 0) rate = bytes_per_second;
    return facts;
  }

  CheckFact check(const CheckRequest& request) override {
    CheckFact fact = GpuBench::check(request);
    if (parts_are_wrong && request.subject.name == "in parts")
      for (ErrorFact& of_family : fact.errors) of_family.normwise = 0.1;
    return fact;
  }

  SampleFact measure(const MeasureRequest& request) override {
    SampleFact fact = GpuBench::measure(request);
    for (const Subject& subject : request.subjects) in_turns += subject.name == "in parts" ? 1 : 0;
    for (std::size_t s = 0; s < fact.subjects.size(); ++s) {
      const Plan& plan = request.subjects[s].plan;
      if (!last_in_time.empty() && has(plan, last_in_time)) over_ns = 1'000'000'000'000;
      const bool incumbent = plan.run.size() >= 4 || request.subjects[s].name == "incumbent";
      const double ms = (incumbent ? 10 : time_of(plan, request.subjects.front().name == "today")) *
                        (has(plan, "18x18") || has(plan, "rows of 256") ? 1 : 0.01);
      for (std::size_t i = 0; i < fact.subjects[s].ns.size(); ++i)
        fact.subjects[s].ns[i] = 1e6 * ms * (1 + 1e-3 * unit_from(std::to_string(s) + "/" + std::to_string(i)));
    }
    return fact;
  }

 private:
  static bool has(const Plan& plan, const std::string& in_label) {
    return std::any_of(plan.run.begin(), plan.run.end(), [&](const PlanLaunch& launch) {
      return launch.label.find(in_label) != std::string::npos;
    });
  }

  [[nodiscard]] double time_of(const Plan& plan, bool is_whole) const {
    double ms = 0;
    for (const PlanLaunch& launch : plan.run) {
      const bool convolves = launch.label.find("convolution") == 0;
      if (convolves && launch.label.find("sum of") != std::string::npos)  // this, and what puts its sums together
        return is_whole && beside_in_plan_ms > 0 ? beside_in_plan_ms : beside_statistics_ms;
      ms += convolves ? plain_ms : pass_ms;
    }
    return ms;
  }
};

// For each extent the mean of each channel of a convolution over an image of it, of which nothing else is written.
JobInput channels_input(MemoryBlobs& blobs, const std::vector<std::int64_t>& extents = {18}) {
  graph::Graph g;
  for (const std::int64_t extent : extents) {
    const std::string name = std::to_string(extent);
    const graph::ValueId x = g.add_input("x" + name, {graph::DType::f32, {2, 4, extent, extent}});
    const graph::ValueId w = g.add_constant("w" + name, graph::test::random_floats({8, 4, 3, 3}, 1));
    const graph::Shape one(2, 1), no(2, 0);
    const graph::ValueId y = g.add_node(graph::Convolution{{one, one, no, no}, 1, false, no}, {x, w}, "channels")[0];
    const graph::ValueId active = graph::test::apply(g, graph::ExprOp::tanh, y);
    const graph::ValueId mean = g.add_node(graph::Reduce{graph::Monoid::mean, {2, 3}, true}, {active}, "mean")[0];
    g.outputs.push_back(graph::test::apply(g, graph::ExprOp::tanh, mean));
  }
  JobInput input = job_on(std::move(g), "channels", blobs);
  input.target = "cuda";
  input.policy.seconds = 600;
  return input;
}

struct Ran {
  JobOutcome outcome;
  std::string decisions;
};

// Live, and once more from the record: both must come to the same.
Ran ran(PartsBench& bench) {
  MemoryBlobs blobs;
  const JobInput input = channels_input(blobs);
  MemoryJournal journal;
  Ran out{run(input, bench, blobs, journal), decisions_of(journal)};
  journal.rewind();
  journal.replay = true;
  CHECK(json::canonical(run(input, bench, blobs, journal).trace) == json::canonical(out.outcome.trace));
  return out;
}

const json::object& led(const Ran& job) { return region_of(job.outcome, "convolution"); }

std::string kernels_of(const Ran& job) { return std::string(led(job).at("choice").at("kernels").as_string()); }

std::size_t launches_with(const Plan& plan, const std::string& in_label) {
  return static_cast<std::size_t>(std::count_if(plan.run.begin(), plan.run.end(), [&](const PlanLaunch& launch) {
    return launch.label.find(in_label) != std::string::npos;
  }));
}

}  // namespace

TEST_CASE("statistics that cost a convolution more than a pass are a kernel of their own") {
  PartsBench bench;
  const Ran job = ran(bench);
  CHECK(kernels_of(job) == "parts");
  CHECK(led(job).at("choice").at("reason").as_string().find("of that candidate") != std::string::npos);
  const json::object& parts = led(job).at("in_parts").as_object();
  CHECK(parts.at("measured").as_bool());
  CHECK(parts.at("over_winner").at("ratio").to_number<double>() == doctest::Approx(1.5).epsilon(0.01));
  REQUIRE(parts.at("regions").as_array().size() == 2);
  // The convolution's search began with what was found beside the statistics.
  bool carried = false;
  for (const json::value& part : parts.at("regions").as_array())
    for (const json::value& candidate : part.at("candidates").as_array())
      carried |= candidate.at("why").as_string() == "carried";
  CHECK(carried);
  CHECK(launches_with(job.outcome.tuned, "sum of") == 0);
  CHECK(launches_with(job.outcome.tuned, "sum 16 rows") == 1);
  CHECK(job.outcome.sources.size() == job.outcome.tuned.run.size());
  CHECK(job.outcome.right);
  CHECK(job.outcome.decision.at("comparison") == "faster");
  CHECK(job.decisions.find("\"kernels\":\"parts\"") != std::string::npos);
  bool told = false;
  for (const json::value& row : job.outcome.summary)
    told |= row.at("variant").as_string().find("in parts: ") == 0;
  CHECK(told);
}

TEST_CASE("statistics that cost less than a pass stay where the results are computed") {
  PartsBench bench;
  bench.beside_statistics_ms = 1.5;
  const Ran job = ran(bench);
  CHECK(kernels_of(job) == "winner");
  CHECK(led(job).at("in_parts").at("measured").as_bool());
  CHECK(led(job).at("in_parts").at("over_winner").at("ratio").to_number<double>() < 1);
  CHECK(launches_with(job.outcome.tuned, "sum of") > 0);
  CHECK(bench.in_turns > 0);
}

TEST_CASE("what whole plans take with and without parts has the last word") {
  PartsBench bench;
  bench.beside_in_plan_ms = 1.5;  // alone it takes 3 ms, and the parts 2
  const Ran job = ran(bench);
  CHECK(kernels_of(job) == "winner");
  CHECK(job.outcome.trace.at("composition").at("chosen") == "one kernel");
  CHECK(led(job).at("choice").at("reason").as_string().find("of the whole plans 'one kernel'") != std::string::npos);
  CHECK(launches_with(job.outcome.tuned, "sum of") > 0);
}

TEST_CASE("parts that are wrong together are not taken, however fast they are") {
  PartsBench bench;
  bench.parts_are_wrong = true;
  const Ran job = ran(bench);
  CHECK(kernels_of(job) == "winner");
  CHECK_FALSE(led(job).at("in_parts").at("measured").as_bool());
  CHECK(led(job).at("in_parts").at("reason").as_string().find("in parts it is wrong: ") == 0);
}

TEST_CASE("where one kernel is never right, its parts take the region's place") {
  PartsBench bench;
  bench.wrong_label = "sum of";
  const Ran job = ran(bench);
  CHECK(led(job).at("winner").at("variant").is_null());
  CHECK(kernels_of(job) == "parts");
  CHECK(led(job).at("choice").at("reason").as_string().find("candidates was right; in parts it is 5.0") !=
        std::string::npos);
  CHECK(job.outcome.decision.at("comparison") == "faster");
}

TEST_CASE("parts whose floors together are above what one kernel takes are not tried") {
  PartsBench bench;
  bench.bytes_per_second = 6e6;  // one kernel moves 12 KB, and its parts as much and 16 KB to and fro
  const Ran job = ran(bench);
  CHECK(kernels_of(job) == "winner");
  CHECK(led(job).at("in_parts").at("reason").as_string().find("not tried in parts: by the node's ceilings") == 0);
  CHECK(bench.in_turns == 0);
}

TEST_CASE("after the budget's time parts are tried of a region that is worth a look, of others not, and that is told") {
  PartsBench bench;
  bench.last_in_time = "4x10x10 by 8x3x3 + tanh, sum of";
  MemoryBlobs blobs;
  MemoryJournal journal;
  std::int64_t ticks = 0;
  const JobOutcome outcome =
      run_job(channels_input(blobs, {18, 10}), bench, blobs, journal, [](const std::string&) { return json::array{}; },
              [&] { return (ticks += 1'000'000) + bench.over_ns; });
  CHECK(region_of(outcome, "4x18x18").at("in_parts").at("measured").as_bool());
  const json::object& small = region_of(outcome, "4x10x10");
  CHECK(small.at("in_parts").at("reason") == "not tried in parts: no budget was left");
  CHECK(small.at("choice").at("kernels") == "winner");
  CHECK(small.at("choice").at("reason").as_string().find("; not tried in parts: no budget was left") !=
        std::string::npos);
}

TEST_CASE("what is built ahead holds what the searches of parts begin with") {
  PartsBench there, here;
  MemoryBlobs blobs;
  MemoryJournal of_job, of_build;
  const JobInput input = channels_input(blobs);
  const JobOutcome outcome = run(input, there, blobs, of_job);
  std::int64_t ticks = 0;
  (void)build_ahead(input, {there.probe(Probing::recent), 0}, here, blobs, of_build,
                    [](const std::string&) { return json::array{}; }, [&] { return ticks += 1'000'000; });
  int defaults = 0;
  for (const json::value& part : region_of(outcome, "convolution").at("in_parts").at("regions").as_array())
    for (const json::value& candidate : part.at("candidates").as_array())
      if (candidate.at("why") == "default") {
        ++defaults;
        CHECK(here.asked.contains(blobs.get(std::string(candidate.at("source").as_string()))));
      }
  CHECK(defaults >= 2);
}
