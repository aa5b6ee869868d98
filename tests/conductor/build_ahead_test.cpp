// Building for a device that is elsewhere: the same kernels as a job there asks for first.
#include "agents/conductor/build_ahead.h"

#include <doctest/doctest.h>

#include "runtime/base/error.h"
#include "tests/conductor/gpu_bench.h"

using namespace kiln;
using namespace kiln::agents;

namespace {

AheadOutcome ahead(const JobInput& input, const AheadRequest& request, Workbench& bench, MemoryBlobs& blobs,
                   MemoryJournal& journal) {
  Clock clock;
  return build_ahead(input, request, bench, blobs, journal, [](const std::string&) { return json::array{}; },
                     std::ref(clock));
}

}  // namespace

TEST_CASE("what is built ahead is what a job on the device begins with: its baseline and each region's first round") {
  MemoryBlobs blobs;
  JobInput input = gpu_input(blobs);
  GpuBench there, here;
  const NodeFacts node = there.probe(Probing::recent);
  input.policy.max_candidates_per_region = 4 * node.cores;  // a first round, and no other
  input.policy.seconds = 10'000;  // in which all of it is tried
  MemoryJournal of_job, of_build;
  (void)run(input, there, blobs, of_job);
  const AheadOutcome outcome = ahead(input, {node, 0}, here, blobs, of_build);
  REQUIRE(there.asked.size() > 8);
  for (const std::string& source : there.asked) CHECK(here.asked.contains(source));

  // A description that is right of the device alone, and measured otherwise, draws them as well.
  GpuBench elsewhere;
  NodeFacts described = node;
  for (auto& [unused, rate] : described.bandwidth) rate *= 1.3;
  described.cpu_model = "another";
  MemoryJournal third;
  (void)ahead(input, {described, 0}, elsewhere, blobs, third);
  for (const std::string& source : there.asked) CHECK(elsewhere.asked.contains(source));

  std::set<std::string> recipes;
  for (const BuildFact& fact : outcome.objects) {
    CHECK(fact.verdict == Verdict::ok);
    CHECK(recipes.insert(fact.recipe).second);
  }
  CHECK(json::get_int(outcome.summary, "kernels", "summary") == static_cast<std::int64_t>(here.asked.size()));
  CHECK(json::get_int(outcome.summary, "kernels", "summary") ==
        static_cast<std::int64_t>(recipes.size()) + json::get_int(outcome.summary, "failed", "summary"));
}

TEST_CASE("the number of candidates bounds what is drawn of each region, and more of them hold the fewer") {
  MemoryBlobs blobs;
  const JobInput input = gpu_input(blobs);
  GpuBench few, many;
  MemoryJournal of_few, of_many;
  const NodeFacts node = few.probe(Probing::recent);
  (void)ahead(input, {node, 2}, few, blobs, of_few);
  (void)ahead(input, {node, 20}, many, blobs, of_many);
  CHECK(few.asked.size() < many.asked.size());
  for (const std::string& source : few.asked) CHECK(many.asked.contains(source));
}

TEST_CASE("nothing is probed, checked or measured, and a build that dies at any step resumes and replays") {
  MemoryBlobs blobs;
  const JobInput input = gpu_input(blobs);
  GpuBench bench;
  const AheadRequest request{bench.probe(Probing::recent), 4};
  bench.probes = 0;
  MemoryJournal whole;
  const AheadOutcome outcome = ahead(input, request, bench, blobs, whole);
  CHECK(bench.probes == 0);
  CHECK(bench.spent_ns == 0);
  for (const Entry& entry : whole.entries) CHECK(entry.kind != "node");  // which would be a fact of this machine

  whole.rewind();
  whole.replay = true;
  GpuBench unused;
  CHECK(ahead(input, request, unused, blobs, whole).summary == outcome.summary);
  CHECK(unused.asked.empty());

  for (std::size_t cut = 0; cut < whole.entries.size(); ++cut) {
    GpuBench again;
    MemoryJournal journal;
    journal.fail_at = cut;
    CHECK_THROWS_AS((void)ahead(input, request, again, blobs, journal), Error);
    journal.fail_at = std::size_t(-1);
    journal.rewind();
    CHECK(ahead(input, request, again, blobs, journal).summary == outcome.summary);
  }
}

TEST_CASE("a node without a GPU is no description to build ahead for") {
  MemoryBlobs blobs;
  const JobInput input = gpu_input(blobs);
  FakeBench bench;
  MemoryJournal journal;
  try {
    (void)ahead(input, {bench.probe(Probing::recent), 0}, bench, blobs, journal);
    FAIL("it was taken");
  } catch (const Error& error) {
    CHECK(error.code() == ErrorCode::invalid_input);
  }
  CHECK(journal.entries.empty());
}
