// What a job does with its time, and what it leaves out when there is too little.
#include <doctest/doctest.h>

#include "agents/conductor/check_effort.h"
#include "runtime/base/json.h"
#include "tests/conductor/jobs.h"

using namespace kiln;
using namespace kiln::agents;

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
