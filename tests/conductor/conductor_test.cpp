#include "agents/conductor/conductor.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <filesystem>
#include <functional>
#include <map>

#include "agents/conductor/check_effort.h"
#include "agents/graph/onnx/import.h"
#include "agents/graph/serialize.h"
#include "runtime/base/files.h"
#include "runtime/base/json.h"
#include "tests/conductor/jobs.h"
#include "tests/graph/build.h"

using namespace kiln;
using namespace kiln::agents;

namespace {

std::string decisions_of(const MemoryJournal& journal) {
  std::string out;
  for (const Entry& entry : journal.entries)
    if (entry.decision) out += entry.kind + "=" + entry.content + "\n";
  return out;
}

const json::object& region_of(const JobOutcome& outcome, const std::string& in_label) {
  for (const json::value& item : outcome.trace.at("regions").as_array())
    if (item.at("label").as_string().find(in_label) != std::string::npos) return item.as_object();
  throw Error(ErrorCode::internal, "cannot find a region of this label: " + in_label);
}

std::size_t launches_of(const Plan& plan, const std::string& in_label) {
  return static_cast<std::size_t>(std::count_if(plan.run.begin(), plan.run.end(), [&](const PlanLaunch& launch) {
    return launch.label.find(in_label) != std::string::npos;
  }));
}

}  // namespace

TEST_CASE("a replay touches no bench and reaches the same decisions bit for bit") {
  MemoryBlobs blobs;
  const JobInput input = block_input(blobs);
  FakeBench bench;
  MemoryJournal journal;
  const JobOutcome live = run(input, bench, blobs, journal);
  const int calls = bench.calls;
  const std::size_t length = journal.entries.size();
  CHECK(calls > 10);

  journal.rewind();
  journal.replay = true;
  const JobOutcome again = run(input, bench, blobs, journal, 999'000'000'000);
  CHECK(bench.calls == calls);
  CHECK(journal.entries.size() == length);
  CHECK(json::canonical(live.decision) == json::canonical(again.decision));
  CHECK(json::canonical(live.trace) == json::canonical(again.trace));
  CHECK(json::canonical(to_json(live.tuned)) == json::canonical(to_json(again.tuned)));
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

TEST_CASE("on a slow node a job ends within its budget, but for one candidate of every template and region") {
  MemoryBlobs blobs;
  JobInput input = block_input(blobs);
  input.policy.seconds = 300;
  input.policy.max_candidates_per_region = 400;
  FakeBench bench;
  bench.build_ns = 1'000'000'000;
  bench.check_ns = 4'000'000'000;
  bench.measure_ns = 2'000'000'000;
  MemoryJournal journal;
  const JobOutcome outcome = run_job(input, bench, blobs, journal, [](const std::string&) { return json::array{}; },
                                     [&] { return bench.spent_ns; });
  CHECK(outcome.right);
  // What no job can do without: the baseline, and in each region a build per template, two checks, a confirmation,
  // a measurement and a race; then two checks and two measurements of the whole.
  const auto regions = static_cast<std::int64_t>(outcome.summary.size());
  const std::int64_t least = regions * (4 * bench.build_ns + 3 * bench.check_ns + 2 * bench.measure_ns);
  CHECK(bench.spent_ns < input.policy.seconds * 1'000'000'000 + least + 2 * (bench.check_ns + bench.measure_ns));
}

TEST_CASE("where there are more kinds of regions than time, those of least head-room run what the incumbent does") {
  MemoryBlobs blobs;
  JobInput input = layers_input(40, blobs);  // each has a fortieth of the head-room: less than what is always looked at
  input.policy.seconds = 60;
  FakeBench bench;
  bench.build_ns = 1'000'000'000;
  bench.check_ns = 500'000'000;
  bench.measure_ns = 100'000'000;
  std::int64_t built_ns = 0;  // when the search began
  MemoryJournal journal;
  const JobOutcome outcome = run_job(input, bench, blobs, journal, [](const std::string&) { return json::array{}; },
                                     [&] { return bench.spent_ns; });
  for (const json::value& span : outcome.trace.at("timeline").as_array())
    if (span.at("phase") == "plan") built_ns = span.at("end_ns").to_number<std::int64_t>();
  CHECK(built_ns > 60'000'000'000);  // nothing of the budget was left but what is the search's in any case
  const std::int64_t decide_ns = 2 * (bench.check_ns + bench.measure_ns);
  const std::int64_t one_region_ns = 8 * bench.build_ns + 10 * bench.check_ns + 4 * bench.measure_ns;
  CHECK(bench.spent_ns - built_ns <= 45'000'000'000 + one_region_ns + decide_ns);
  CHECK(outcome.right);
  bool over = false;
  std::size_t searched = 0;
  for (const json::value& region : outcome.trace.at("regions").as_array()) {
    if (region.at("candidates").as_array().empty()) {
      over = true;
      CHECK(region.at("choice").at("kernels") == "incumbent");
      CHECK(region.at("choice").at("reason") == "it was not searched: no budget was left");
      CHECK(region.at("stopped_because") == "no budget was left for it");
      CHECK(region.at("incumbent").at("summary").at("median_ns").to_number<double>() > 0);
    } else {
      CHECK_FALSE(over);  // they are in the order of their head-room
      ++searched;
    }
  }
  CHECK(over);
  CHECK(searched > 4);
  journal.rewind();
  journal.replay = true;
  CHECK(json::canonical(run_job(input, bench, blobs, journal, [](const std::string&) { return json::array{}; },
                                [&] { return bench.spent_ns; }).trace) == json::canonical(outcome.trace));
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

TEST_CASE("a job that dies at any recorded step resumes, keeps what was recorded, and replays") {
  MemoryBlobs blobs;
  const JobInput input = classifier_input(blobs);
  FakeBench whole_bench;
  MemoryJournal whole;
  (void)run(input, whole_bench, blobs, whole);
  const std::size_t length = whole.entries.size();
  for (std::size_t n = 0; n < length; n += KILN_SANITIZED ? 4 : 1) {
    CAPTURE(n);
    FakeBench bench;
    MemoryJournal journal;
    journal.fail_at = n;
    CHECK_THROWS_WITH_AS((void)run(input, bench, blobs, journal), "killed", Error);
    REQUIRE(journal.entries.size() == n);
    const std::vector<Entry> before = journal.entries;
    journal.fail_at = std::size_t(-1);
    journal.rewind();
    (void)run(input, bench, blobs, journal, 7'000'000);
    for (std::size_t i = 0; i < n; ++i) REQUIRE(journal.entries[i].content == before[i].content);
    const std::string resumed = decisions_of(journal);
    journal.rewind();
    journal.replay = true;
    FakeBench untouched;
    (void)run(input, untouched, blobs, journal);
    CHECK(untouched.calls == 0);
    CHECK(decisions_of(journal) == resumed);
  }
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

TEST_CASE("a changed fact or decision on record is found by the replay") {
  MemoryBlobs blobs;
  const JobInput input = block_input(blobs);
  FakeBench bench;
  MemoryJournal journal;
  (void)run(input, bench, blobs, journal);
  for (std::size_t i = 0; i < journal.entries.size(); ++i) {
    if (!journal.entries[i].decision) continue;
    MemoryJournal tampered;
    tampered.entries = journal.entries;
    tampered.entries[i].content += " ";
    tampered.replay = true;
    CHECK_THROWS_AS((void)run(input, bench, blobs, tampered), Error);
  }
}

TEST_CASE("a template that computes wrong values never wins, and its failures are diagnosed") {
  MemoryBlobs blobs;
  const JobInput input = block_input(blobs);
  FakeBench bench;
  bench.wrong_template = "matmul/packed";
  MemoryJournal journal;
  const JobOutcome outcome = run(input, bench, blobs, journal);
  bool diagnosed = false;
  for (const json::value& item : outcome.trace.at("regions").as_array()) {
    const json::object& region = item.as_object();
    const json::value& winner = region.at("winner").at("variant");
    CHECK_FALSE((winner.at("family") == "matmul" && winner.at("template") == "packed"));
    for (const json::value& candidate : region.at("candidates").as_array())
      if (candidate.at("variant").at("template") == "packed") CHECK(candidate.at("verdict") != "ok");
    diagnosed |= !region.at("diagnoses").as_array().empty();
  }
  CHECK(diagnosed);
}

TEST_CASE("a region whose best kernel is slower than the incumbent's kernels runs those, on record and in the report") {
  MemoryBlobs blobs;
  const JobInput input = classifier_input(blobs);
  const auto job = [&](const std::string& slow) {
    FakeBench bench;
    bench.slow_label = slow;
    MemoryJournal journal;
    JobOutcome live = run(input, bench, blobs, journal);
    const std::string decisions = decisions_of(journal);
    CHECK((decisions.find("\"kernels\":\"incumbent\"") != std::string::npos) == !slow.empty());
    journal.rewind();
    journal.replay = true;
    CHECK(json::canonical(run(input, bench, blobs, journal).trace) == json::canonical(live.trace));
    return live;
  };
  const JobOutcome fused = job("");
  CHECK(region_of(fused, "tanh").at("choice").at("kernels") == "winner");
  CHECK(launches_of(fused.tuned, "tanh") == 1);

  const JobOutcome split = job("+ tanh");  // not "tanh", which the incumbent runs too
  const json::object& region = region_of(split, "+ tanh");
  CHECK(region.at("choice").at("kernels") == "incumbent");
  CHECK(region.at("choice").at("reason").as_string().find("its best candidate is 0.") == 0);
  CHECK(region.at("winner").at("speed_up").at("comparison") == "slower");
  CHECK(split.right);
  CHECK(launches_of(split.tuned, "+ tanh") == 0);
  CHECK(launches_of(split.tuned, "") == launches_of(split.baseline, ""));  // the product, the activation, the softmax
  // The other region keeps its winner, and every kernel of the plan has its source.
  CHECK(region_of(split, "softmax").at("choice").at("kernels") == "winner");
  CHECK(split.sources.size() == split.tuned.run.size());
  bool told = false;
  for (const json::value& row : split.summary)
    told |= row.at("variant").as_string().find("op by op") != std::string::npos;
  CHECK(told);
}

TEST_CASE("a region without a right kernel costs no other region its gain; where all are so, the incumbent stays") {
  MemoryBlobs blobs;
  JobInput input = classifier_input(blobs);
  FakeBench bench;
  bench.wrong_label = "+ tanh";
  MemoryJournal journal, alone;
  const JobOutcome outcome = run(input, bench, blobs, journal);
  CHECK(outcome.right);
  const json::object& choice = region_of(outcome, "+ tanh").at("choice").as_object();
  CHECK(choice.at("kernels") == "incumbent");
  CHECK(choice.at("reason").as_string().find(" candidates was right") != std::string::npos);
  CHECK(region_of(outcome, "softmax").at("choice").at("kernels") == "winner");

  input.workload.outputs = {input.workload.nodes.back().inputs[0]};  // without the softmax
  input.workload.nodes.pop_back();
  input.workload.values.pop_back();
  input.workload.constants.pop_back();
  input.graph_blob = blobs.put(json::canonical(graph::to_json(input.workload)));
  const JobOutcome kept = run(input, bench, blobs, alone);
  CHECK_FALSE(kept.right);
  CHECK(kept.tuned.run.empty());
  CHECK(json::get_string(kept.decision, "reason", "decision").find("kept the incumbent: ") == 0);
}

TEST_CASE("as many subjects are measured at once as half of a GPU's memory has arenas for") {
  NodeFacts node;
  CHECK(subjects_at_once(node, 1e12) == 12);  // of a CPU's memory a subject takes no more than it needs while it runs
  node.gpu = GpuFacts{};
  node.gpu->memory_bytes = std::int64_t{150} << 30;
  CHECK(subjects_at_once(node, 1e6) == 12);
  CHECK(subjects_at_once(node, 12.9e9) == 6);
  CHECK(subjects_at_once(node, 1e12) == 2);  // the incumbent and another
  CHECK(subjects_at_once(node, 0) == 12);
}

namespace {

// Every variant that the job tried, as "matmul/packed mr=6", and what became of it.
std::map<std::string, std::string> tried_in(const JobOutcome& outcome) {
  std::map<std::string, std::string> out;
  for (const json::value& region : outcome.trace.at("regions").as_array())
    for (const json::value& candidate : region.at("candidates").as_array())
      out[to_string(variant_from_json(candidate.at("variant")))] =
          std::string(candidate.at("verdict").as_string()) + ": " + std::string(candidate.at("reason").as_string());
  return out;
}

std::map<std::string, std::string> tried_under(const std::function<void(JobInput&)>& change) {
  MemoryBlobs blobs;
  JobInput input = classifier_input(blobs);
  change(input);
  FakeBench bench;
  MemoryJournal journal;
  return tried_in(run(input, bench, blobs, journal));
}

bool any_begins(const std::map<std::string, std::string>& tried, const std::string& with) {
  return std::any_of(tried.begin(), tried.end(), [&](const auto& one) { return one.first.starts_with(with); });
}

}  // namespace

TEST_CASE("search.vendor and search.families decide what is tried; where they leave nothing, what runs today stays") {
  const auto all = tried_under([](JobInput&) {});
  CHECK(any_begins(all, "matmul/onednn"));
  CHECK(any_begins(all, "matmul/packed"));
  CHECK(any_begins(all, "row/fused"));
  const auto own = tried_under([](JobInput& input) { input.policy.vendor = false; });
  CHECK_FALSE(any_begins(own, "matmul/onednn"));
  CHECK_FALSE(any_begins(own, "row/onednn"));
  CHECK(any_begins(own, "matmul/packed"));
  const auto rows = tried_under([](JobInput& input) { input.policy.families = {"row/fused"}; });
  CHECK(any_begins(rows, "row/fused"));
  CHECK_FALSE(any_begins(rows, "row/onednn"));
  CHECK_FALSE(any_begins(rows, "matmul/packed"));
  CHECK(any_begins(rows, "matmul/onednn"));  // what runs today
}

TEST_CASE("search.forbidden: instruction sets are not even proposed, and a construct is refused by its line") {
  const auto narrow = tried_under([](JobInput& input) { input.policy.forbidden = {"avx512"}; });
  CHECK(any_begins(narrow, "row/fused"));
  for (const auto& one : narrow) CHECK_MESSAGE(one.first.find("isa=512") == std::string::npos, one.first);

  const auto refused = tried_under([](JobInput& input) {
    input.policy.forbidden = {"inline-assembly"};
    for (store::TemplateSpec& spec : input.corpus)
      if (spec.family == "row" && spec.name == "fused")
        spec.files.at(spec.source)
            .insert(0, "// asm in a comment is none\ninline void fence() { asm(\"mfence\"); }\n");
  });
  int found = 0;
  for (const auto& one : refused)
    if (one.first.starts_with("row/fused")) {
      CHECK(one.second.find("forbidden: the policy forbids inline-assembly: line ") == 0);
      CHECK(one.second.find("inline void fence() { asm(") != std::string::npos);
      ++found;
    } else {
      CHECK(one.second.find("forbidden") == std::string::npos);
    }
  CHECK(found > 0);
}

TEST_CASE("precision.quality_bar holds the release as a whole tighter than its kernels") {
  const auto right = [](double bar, double error) {
    MemoryBlobs blobs;
    JobInput input = classifier_input(blobs);
    input.policy.error_factor = 2.0;
    input.policy.quality_bar = bar;
    FakeBench bench;
    bench.error = error;
    MemoryJournal journal;
    return run(input, bench, blobs, journal).right;
  };
  CHECK(right(2.0, 1.8));
  CHECK_FALSE(right(1.5, 1.8));
  CHECK(right(1.5, 1.4));
}
