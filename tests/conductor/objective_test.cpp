// What a policy's objective and its budget of energy make of a job.
#include <doctest/doctest.h>

#include <algorithm>
#include <optional>

#include "agents/benchmark/benchmark.h"
#include "tests/conductor/jobs.h"

using namespace kiln;
using namespace kiln::agents;

namespace {

std::string failure_of(const JobInput& input, FakeBench& bench, MemoryBlobs& blobs) {
  MemoryJournal journal;
  try {
    (void)run(input, bench, blobs, journal);
  } catch (const Error& error) {
    return error.what();
  }
  return "none";
}

std::size_t candidates(const JobOutcome& outcome) {
  std::size_t count = 0;
  for (const json::value& row : outcome.summary) count += row.at("candidates").to_number<std::size_t>();
  return count;
}

// The fewest nanojoules of a candidate in the race of a region; nothing when the entry is no race.
std::optional<double> least_of_race(const Entry& entry, const policies::Policy& policy) {
  if (entry.kind != "measure") return std::nullopt;
  const SampleFact fact = sample_fact_from_json(json::parse(entry.content, "fact", {.bytes = 64u << 20, .depth = 32}));
  if (fact.subjects.size() < 2 || fact.subjects.at(1).name == "tuned") return std::nullopt;
  if (fact.subjects.at(1).nj.size() != static_cast<std::size_t>(policy.confirm_samples)) return std::nullopt;
  double least = 1e300;
  for (std::size_t i = 1; i < fact.subjects.size(); ++i)
    least = std::min(least, summarize(fact.subjects[i].nj, 0.95).median_ns);
  return least;
}

}  // namespace

TEST_CASE("a policy that counts energy is refused where nothing counts it, with the cause, and nothing is built") {
  MemoryBlobs blobs;
  JobInput input = classifier_input(blobs);
  for (const bool as_budget : {false, true}) {
    input.policy.objective = as_budget ? "latency" : "energy";
    input.policy.energy_joules = as_budget ? 10 : 0;
    FakeBench bench;
    CHECK(failure_of(input, bench, blobs).find("this node has no energy counter: nobody counts") != std::string::npos);
    CHECK(bench.calls == 1);  // the probe
  }
}

TEST_CASE("by objective energy the winner of each region takes the fewest joules, and the decision says so") {
  MemoryBlobs blobs;
  JobInput input = classifier_input(blobs);
  input.policy.objective = "energy";
  input.policy.seconds = 120;  // so that no race is late, and all take the policy's samples
  FakeBench bench;
  bench.energy_counter = "a counter";
  MemoryJournal journal;
  const JobOutcome outcome = run(input, bench, blobs, journal);
  CHECK(bench.objectives == std::set<Objective>{Objective::energy});
  std::vector<double> won, least;
  for (const json::value& region : outcome.trace.at("regions").as_array())
    won.push_back(region.at("winner").at("summary").at("median_nj").to_number<double>());
  for (const Entry& entry : journal.entries)
    if (const std::optional<double> nj = least_of_race(entry, input.policy)) least.push_back(*nj);
  CHECK(won == least);
  CHECK(json::canonical(outcome.decision).find(" in energy at ") != std::string::npos);
  CHECK(outcome.priors.empty());
  journal.rewind();
  journal.replay = true;
  CHECK(json::canonical(run(input, bench, blobs, journal).trace) == json::canonical(outcome.trace));
}

TEST_CASE("by objective throughput plans have one thread, and all cores serve") {
  MemoryBlobs blobs;
  JobInput input = classifier_input(blobs);
  input.policy.objective = "throughput";
  FakeBench bench;
  MemoryJournal journal;
  const JobOutcome outcome = run(input, bench, blobs, journal);
  CHECK(bench.objectives == std::set<Objective>{Objective::throughput});
  CHECK(bench.instances == std::set<std::int32_t>{2});
  CHECK(outcome.tuned.threads == 1);
  CHECK(outcome.baseline.threads == 1);
}

TEST_CASE("a search ends when the node took the policy's joules, and every region still has a kernel") {
  MemoryBlobs blobs;
  JobInput input = classifier_input(blobs);
  input.policy.max_candidates_per_region = 60;
  input.policy.seconds = 120;  // so that time ends nothing
  FakeBench bench;
  bench.energy_counter = "a counter";
  bench.joules_each = 30;
  const auto tried = [&](double joules, std::string& why) {
    input.policy.energy_joules = joules;
    MemoryJournal journal;
    const JobOutcome outcome = run(input, bench, blobs, journal);
    why.clear();
    for (const json::value& region : outcome.trace.at("regions").as_array()) {
      CHECK(!region.at("winner").at("variant").is_null());
      why += std::string(region.at("stopped_because").as_string()) + ";";
    }
    return candidates(outcome);
  };
  std::string why;
  const std::size_t frugal = tried(20, why);
  CHECK(why == "the policy's budget of energy was spent;the policy's budget of energy was spent;");
  CHECK(frugal < tried(1e9, why));
  CHECK(why.find("energy") == std::string::npos);
}
