// Which kernels a region runs in the tuned plan: the best candidate, or those of what runs today.
#include <doctest/doctest.h>

#include <algorithm>

#include "agents/graph/serialize.h"
#include "runtime/base/json.h"
#include "tests/conductor/jobs.h"

using namespace kiln;
using namespace kiln::agents;

namespace {

std::size_t launches_of(const Plan& plan, const std::string& in_label) {
  return static_cast<std::size_t>(std::count_if(plan.run.begin(), plan.run.end(), [&](const PlanLaunch& launch) {
    return launch.label.find(in_label) != std::string::npos;
  }));
}

}  // namespace

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
