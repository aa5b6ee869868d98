#include "agents/conductor/conductor.h"

#include <doctest/doctest.h>

#include <algorithm>

#include "runtime/base/json.h"
#include "tests/conductor/jobs.h"
#include "tests/graph/build.h"

using namespace kiln;
using namespace kiln::agents;

TEST_CASE("a job competes with the plan that runs today: the baseline at first, then the release that is current") {
  MemoryBlobs blobs;
  JobInput input = classifier_input(blobs);
  FakeBench bench;
  MemoryJournal first_journal, second_journal;
  const JobOutcome first = run(input, bench, blobs, first_journal);
  CHECK(bench.opponents == std::set<std::string>{json::canonical(to_json(first.baseline))});
  bench.opponents.clear();
  input.incumbent = first.tuned;
  (void)run(input, bench, blobs, second_journal);
  CHECK(bench.opponents == std::set<std::string>{json::canonical(to_json(first.tuned))});
}

TEST_CASE("operators that no template computes end the job before anything is measured, each named") {
  MemoryBlobs blobs;
  JobInput input = block_input(blobs);
  graph::Graph g;
  const graph::ValueId x = g.add_input("x", {graph::DType::f32, {1, 2, 6, 6}});
  const graph::ValueId w = g.add_constant("w", graph::Tensor::zeros({graph::DType::f32, {3, 2, 3, 3}}));
  const graph::Convolution op{{{1, 1}, {1, 1}, {0, 0}, {0, 0}}, 1, false, {0, 0}};
  const graph::ValueId y = g.add_node(op, {x, w}, "/stem/Conv (Conv)")[0];
  g.outputs = g.add_node(graph::Softmax{3, false}, {y}, "/head (Softmax)");
  input.workload = g;
  input.workload_name = "unknown";
  std::erase_if(input.corpus, [](const store::TemplateSpec& spec) { return spec.anchor == "convolution"; });
  FakeBench bench;
  MemoryJournal journal;
  std::string text;
  try {
    (void)run(input, bench, blobs, journal);
  } catch (const Error& error) {
    CHECK(error.code() == ErrorCode::unsupported);
    text = error.what();
  }
  INFO(text);
  CHECK(text.find("cannot tune 'unknown'") == 0);
  CHECK(text.find("1 of its operators: convolution /stem/Conv (Conv)") != std::string::npos);
  CHECK(text.find("Softmax") == std::string::npos);
  CHECK(bench.calls == 0);
  CHECK(journal.entries.empty());
}

TEST_CASE("a GPU's job is held to the GPU's templates, before anything is measured") {
  FakeBench bench;
  MemoryBlobs blobs;
  MemoryJournal journal;
  JobInput input = classifier_input(blobs);
  input.target = "cuda";
  std::erase_if(input.corpus, [](const store::TemplateSpec& spec) { return spec.target == "cuda"; });
  CHECK_THROWS_WITH_AS((void)run(input, bench, blobs, journal), doctest::Contains("no template of the corpus computes"),
                       Error);
  CHECK(bench.calls == 0);
}

TEST_CASE("templates are tried in the order of their cost models: channels of a depthwise convolution fill no vector") {
  const auto first = [](std::int64_t groups) {
    MemoryBlobs blobs;
    graph::Graph g;
    const graph::ValueId x = g.add_input("x", {graph::DType::f32, {1, 64, 28, 28}});
    const graph::ValueId w = g.add_constant("w", graph::test::random_floats({64, 64 / groups, 3, 3}, 1));
    const graph::Convolution op{{{1, 1}, {1, 1}, {1, 1}, {1, 1}}, groups, false, {0, 0}};
    g.outputs = {graph::test::apply(g, graph::ExprOp::sigmoid, g.add_node(op, {x, w}, "y")[0])};
    const JobInput input = job_on(std::move(g), "convolution", blobs);
    FakeBench bench;
    MemoryJournal journal;
    std::vector<std::string> out;
    const JobOutcome outcome = run(input, bench, blobs, journal);
    for (const json::value& c : region_of(outcome, "sigmoid").at("candidates").as_array())
      out.emplace_back(c.at("variant").at("template").as_string());
    return out;
  };
  const std::vector<std::string> dense = first(1), depthwise = first(64);
  REQUIRE(dense.size() > 2);
  REQUIRE(depthwise.size() > 2);
  CHECK(dense.front() == "channels");  // as in the corpus
  CHECK(depthwise.front() == "direct");
}

TEST_CASE("ceilings that were measured beside other load are measured again before a kernel is called implausible") {
  const auto verdicts = [](const std::vector<double>& load, int& probes) {
    MemoryBlobs blobs;
    const JobInput input = classifier_input(blobs);
    FakeBench bench;
    bench.load = load;
    MemoryJournal journal;
    const std::string trace = json::canonical(run(input, bench, blobs, journal).trace);
    probes = bench.probes;
    journal.rewind();
    journal.replay = true;
    CHECK(json::canonical(run(input, bench, blobs, journal).trace) == trace);
    return trace;
  };
  // A node of a millionth of its speed would need longer than any kernel of this bench takes.
  int probes = 0;
  CHECK(verdicts({1e-6, 1}, probes).find("implausible") == std::string::npos);
  CHECK(probes == 2);
  CHECK(verdicts({1e-6, 2e-6, 1}, probes).find("implausible") == std::string::npos);
  CHECK(probes == 3);
  // What stays faster than the node is found to be, whenever it is measured, is implausible, and costs no more probes.
  CHECK(verdicts({1e-6, 1e-6, 1e-6, 1e-6, 1e-6}, probes).find("implausible") != std::string::npos);
  CHECK(probes <= 4);
}
