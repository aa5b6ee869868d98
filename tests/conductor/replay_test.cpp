// A job over a record: replayed, resumed where it was killed, and held to what stands there.
#include <doctest/doctest.h>

#include "runtime/base/json.h"
#include "tests/conductor/jobs.h"

using namespace kiln;
using namespace kiln::agents;

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
