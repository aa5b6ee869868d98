// What becomes of a round's candidates, without a search around it.
#include "agents/conductor/checking.h"

#include <doctest/doctest.h>

#include "tests/conductor/gpu_bench.h"

using namespace kiln;
using namespace kiln::agents;
using Outcome = Examined::Outcome;

namespace {

constexpr std::int64_t kNever = std::int64_t{1} << 60;

// Of the fake bench a plan takes between 2 and 3 ms for each of its launches.
Subject subject_of(const std::string& name, std::size_t launches, const std::string& label = "right") {
  Subject subject{name, {}};
  subject.plan.run.resize(launches);
  for (PlanLaunch& launch : subject.plan.run) launch.label = label;
  return subject;
}

template <class Bench>
struct Listening : Bench {
  std::vector<CheckRequest> checks;
  CheckFact check(const CheckRequest& request) override {
    checks.push_back(request);
    return Bench::check(request);
  }
};

// A region of `flops` and `bytes`, checked on such a node.
template <class Bench>
struct Case {
  Listening<Bench> bench;
  MemoryBlobs blobs;
  MemoryJournal journal;
  JobInput input = classifier_input(blobs);
  Lab lab{input, bench, blobs, journal, [](const std::string&) { return json::array{}; }, Clock{}};
  CheckingTask task;

  Case() {
    lab.probe();
    bench.wrong_label = "wrong";
    task.graph = {"graph", "constants"};
    task.incumbent = subject_of("incumbent", 2);
    task.incumbent_ns = 5e6;
    task.region = "region";
    task.at_once = 12;
    task.looks_end_ns = task.deadline_ns = kNever;
  }
  std::vector<Examined> round(const std::vector<Subject>& subjects) { return Checking(lab, task).round(subjects); }
};

// Weights of a product, and a bias.
graph::Graph product(std::uint32_t weights) {
  graph::Graph g;
  const graph::ValueId x = g.add_input("x", {graph::DType::f32, {2, 8}});
  const graph::ValueId w = g.add_constant("w", graph::test::random_floats({8, 3}, weights));
  g.outputs = g.add_node(graph::MatMul{}, {x, w}, "product");
  (void)g.add_constant("bias", graph::test::random_floats({3}, 9));
  return g;
}

std::vector<Outcome> outcomes(const std::vector<Examined>& round) {
  std::vector<Outcome> out;
  for (const Examined& one : round) out.push_back(one.outcome);
  return out;
}

}  // namespace

TEST_CASE("on a CPU every candidate of a round is checked, in its order, and a wrong one has its check beside it") {
  Case<FakeBench> c;
  const std::vector<Examined> round =
      c.round({subject_of("a", 9), subject_of("b", 1, "wrong"), subject_of("c", 1), subject_of("d", 1)});
  CHECK(outcomes(round) == std::vector{Outcome::right, Outcome::failed, Outcome::right, Outcome::right});
  for (std::size_t i = 0; i < round.size(); ++i) CHECK(round[i].subject == i);
  CHECK(round[1].judgement.verdict == Verdict::wrong);
  REQUIRE(round[1].check);
  CHECK(round[1].check->errors.size() == c.bench.checks[1].families.size());
  CHECK(!round[0].check);
}

TEST_CASE("after its deadline a region looks for two that are right, and for one where a check is dear") {
  const std::vector<Subject> five = {subject_of("a", 1, "wrong"), subject_of("b", 1), subject_of("c", 1),
                                     subject_of("d", 1), subject_of("e", 1)};
  Case<FakeBench> cpu;
  cpu.task.deadline_ns = 0;
  CHECK(outcomes(cpu.round(five)) ==
        std::vector{Outcome::failed, Outcome::right, Outcome::right, Outcome::untried, Outcome::untried});
  Case<GpuBench> gpu;
  gpu.task.deadline_ns = 0;
  gpu.input.policy.objective = "energy";  // nobody is passed over
  gpu.task.profile.flops = 3e10;
  CHECK(gpu.bench.checks.empty());
  std::size_t right = 0;
  for (const Outcome outcome : outcomes(gpu.round(five))) right += outcome == Outcome::right;
  CHECK(right == 1);
  CHECK(gpu.bench.checks.size() <= 2);
  for (const CheckRequest& check : gpu.bench.checks) CHECK(check.families == fewest_families());
}

TEST_CASE("on a GPU the fastest are checked first, and one much slower than the best right one is passed over") {
  Case<GpuBench> c;
  const std::vector<Examined> round = c.round(
      {subject_of("slow", 8), subject_of("wrong", 1, "wrong"), subject_of("best", 2), subject_of("next", 2, "other")});
  REQUIRE(round.size() == 4);
  CHECK(outcomes(round) == std::vector{Outcome::failed, Outcome::right, Outcome::right, Outcome::passed_over});
  CHECK(round[0].subject == 1);
  CHECK(round[3].subject == 0);
  CHECK(round[3].relative == doctest::Approx(16.5 / 4.5).epsilon(0.2));    // over the incumbent, of two launches
  CHECK(round[3].times_best == doctest::Approx(16.5 / 4.5).epsilon(0.2));  // as the best has
  CHECK(c.bench.checks.size() == 3);
}

TEST_CASE("the best look of one round holds in the next") {
  Case<GpuBench> c;
  Checking checking(c.lab, c.task);
  CHECK(outcomes(checking.round({subject_of("fast", 1), subject_of("too", 1, "fast")})) ==
        std::vector{Outcome::right, Outcome::right});
  const std::vector<Outcome> later =
      outcomes(checking.round({subject_of("a", 5), subject_of("b", 6), subject_of("c", 7)}));
  CHECK(later == std::vector{Outcome::right, Outcome::right, Outcome::passed_over});  // two are always looked for
}

TEST_CASE("what may win is refuted by any round of fresh values, and past the deadline has one round of few") {
  Case<FakeBench> c;
  Checking checking(c.lab, c.task);
  CHECK(!checking.refutation(subject_of("a", 1)));
  CHECK(c.bench.checks.size() == 8);
  std::set<std::uint64_t> seeds;
  for (const CheckRequest& check : c.bench.checks) seeds.insert(check.seed);
  seeds.insert(checking.proof().seed);
  CHECK(seeds.size() == 9);  // none of which was seen before

  const std::optional<Examined> wrong = checking.refutation(subject_of("b", 1, "wrong"));
  REQUIRE(wrong);
  CHECK(wrong->judgement.verdict == Verdict::wrong);
  CHECK(wrong->check);
  CHECK(c.bench.checks.size() == 9);

  Case<FakeBench> late;
  late.task.deadline_ns = 0;
  CHECK(!Checking(late.lab, late.task).refutation(subject_of("a", 1)));
  REQUIRE(late.bench.checks.size() == 1);
  CHECK(late.bench.checks[0].families == fewest_families());
}

TEST_CASE("constants are brought to the store once, however many plans and graphs have them") {
  Case<FakeBench> a;
  const auto brought = [&](const graph::Graph& g) {
    const int before = a.blobs.brought;
    CHECK(a.lab.store_constants(g) == sha256_hex(graph::constant_blob(g, graph::layout_constants(g))));
    return a.blobs.brought - before;
  };
  CHECK(brought(a.input.workload) == 0);  // the import has
  CHECK(brought(product(1)) == 1);
  CHECK(brought(product(1)) == 0);
  CHECK(brought(product(2)) == 1);
  CHECK(a.lab.store_graph(product(2)).constants == a.lab.store_constants(product(2)));
}
