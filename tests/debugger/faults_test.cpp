// Seeded faults, met by real workers: does the debugger name the cause, and does what it proposes work?
#include <doctest/doctest.h>

#include <algorithm>
#include <chrono>
#include <filesystem>

#include "agents/debugger/debugger.h"
#include "agents/evaluator/evaluator.h"
#include "agents/graph/serialize.h"
#include "agents/workbench.h"
#include "runtime/base/json.h"
#include "tests/debugger/faults/faults.h"
#include "tests/worker/object_folder.h"

using namespace kiln;
using namespace kiln::agents;

namespace {

constexpr std::int64_t kSecond = 1'000'000'000;
constexpr int kMostRepairs = 8;  // that one fault may take

Variant at(std::int64_t width, std::int64_t unroll, std::int64_t path) {
  return {"r", "site", "doubled", "d", {{"width", width}, {"unroll", unroll}, {"path", path}}};
}

class Site {
 public:
  Site() : build_ns_(600 * kSecond), check_ns_(600 * kSecond) {
    bench_ = worker::make_workbench(testing::bench_options(objects_), objects_);
    graph::Graph g;
    const graph::ValueId x = g.add_input("x", {graph::DType::f32, {1000}});
    graph::Expr twice;
    twice.results = {
        twice.apply(graph::ExprOp::mul, twice.operand(0, graph::DType::f32), twice.constant(2, graph::DType::f32))};
    g.outputs = g.add_node(graph::Pointwise{twice}, {x}, "twice");
    graph_ = objects_.put(json::canonical(graph::to_json(g)));
    limit_by_this_machine();
  }

  // Built and checked as a job does; the verdict is ok when it is right.
  Failure outcome(const testing::Fault& fault, const Variant& variant) {
    const RenderedKernel kernel = testing::rendered(fault, variant);
    Failure out;
    out.variant = variant;
    out.source = kernel.source;
    out.tasks = kernel.run.front().tasks;
    const BuildFact built = bench_->build(std::vector<BuildRequest>{{kernel, build_ns_}}).front();
    out.verdict = built.verdict;
    out.build = built;
    if (built.verdict != Verdict::ok) return out;
    CheckRequest request;
    request.graph = graph_;
    request.subject = {"site", plan(kernel, built.object)};
    request.families = {"normal", "integers", "zeros"};
    request.seed = 3;
    request.timeout_ns = check_ns_;
    out.check = bench_->check(request);
    const Judgement judgement = judge(*out.check, {});
    out.verdict = judgement.verdict;
    out.evidence = judgement.reason;
    return out;
  }

 private:
  // Some faults are found by a limit of time: many times what a kernel without a fault takes here.
  void limit_by_this_machine() {
    const testing::Fault none = {"none", "", "for (int i = 0; i < n; ++i) y[i] = 2 * x[i];", nullptr, false};
    const auto begin = std::chrono::steady_clock::now();
    REQUIRE(outcome(none, at(16, 4, 1)).verdict == Verdict::ok);
    const std::int64_t took_ns = std::chrono::nanoseconds(std::chrono::steady_clock::now() - begin).count();
    build_ns_ = std::max(3 * kSecond, 6 * took_ns);
    check_ns_ = std::max(kSecond, 3 * took_ns);
  }

  static Plan plan(const RenderedKernel& kernel, const std::string& object) {
    Plan plan;
    plan.name = "site";
    plan.buffers = {{PlanBuffer::Kind::input, 4000, 0, 0}, {PlanBuffer::Kind::output, 4000, 0, 0}};
    plan.inputs = {{"x", {graph::DType::f32, {1000}}, 0}};
    plan.outputs = {{"y", {graph::DType::f32, {1000}}, 1}};
    plan.objects = {object};
    PlanLaunch launch;
    launch.symbol = kernel.run.front().symbol;
    launch.scratch_bytes = kernel.run.front().scratch_bytes;
    launch.args = {0, 1};
    plan.run = {launch};
    return plan;
  }

  testing::ObjectFolder objects_;
  std::unique_ptr<Workbench> bench_;
  std::string graph_;
  std::int64_t build_ns_, check_ns_;
};

struct Story {
  Diagnosis first;
  std::optional<Variant> works;  // a repair that does
  int repairs = 0;
  std::vector<LearnedConstraint> learned;
  std::vector<Trial> trials;
};

// The boldest and the plainest variant first; then what the debugger proposes, until one works.
Story story_of(Site& site, const testing::Fault& fault) {
  Story story;
  const std::vector<Space> spaces = {testing::fault_space()};
  const auto run = [&](const Variant& v) {
    const Failure f = site.outcome(fault, v);
    story.trials.push_back({v, f.verdict, f.verdict == Verdict::ok ? 100.0 : 0.0});
    return f;
  };
  Failure failure = run(at(16, 4, 1));
  INFO(std::string(fault.name));
  REQUIRE(failure.verdict != Verdict::ok);
  (void)run(at(1, 1, 0));
  for (Diagnosis d = story.first = diagnose(failure, spaces, story.trials);;
       d = diagnose(failure, spaces, story.trials)) {
    if (d.learned) story.learned.push_back(*d.learned);
    if (!d.repaired || story.repairs == kMostRepairs) break;
    ++story.repairs;
    const Failure next = run(*d.repaired);
    if (next.verdict != Verdict::ok) continue;
    story.works = d.repaired;
    break;
  }
  story.learned = uncontradicted(std::move(story.learned), story.trials);
  return story;
}

}  // namespace

TEST_CASE("seeded faults: the cause is named, and a repair that is proposed works") {
  Site site;
  int named = 0, repaired = 0;
  for (const testing::Fault& fault : testing::faults()) {
    const Story story = story_of(site, fault);
    INFO(std::string(fault.name) << ": " << story.first.cause << "; " << story.first.proof
                                 << "; repairs tried: " << story.repairs);
    if (fault.cause) {
      CHECK(story.first.cause == std::string(fault.cause));
      named += story.first.cause == fault.cause ? 1 : 0;
    }
    CHECK(story.works.has_value() == fault.repairable);
    repaired += story.works ? 1 : 0;
    // What is learned holds for everything that was tried.
    for (const LearnedConstraint& c : story.learned)
      for (const Trial& t : story.trials) CHECK_FALSE((t.verdict == Verdict::ok && excludes(c, t.variant)));
  }
  MESSAGE("faults: " << testing::faults().size() << ", named: " << named << ", repaired: " << repaired);
  CHECK(testing::faults().size() >= 20);
  CHECK(named * 10 >= static_cast<int>(testing::faults().size()) * 9);
  CHECK(repaired * 10 >= static_cast<int>(testing::faults().size()) * 6);
}
