// The order in which candidates are checked where checks are dear.
#include "agents/conductor/check_order.h"

#include <doctest/doctest.h>

#include <cmath>

#include "tests/conductor/gpu_bench.h"

using namespace kiln;
using namespace kiln::agents;

namespace {

// Of the fake bench a plan takes between 2 and 3 ms for each of its launches.
std::vector<Subject> with_launches(const std::vector<std::size_t>& counts) {
  std::vector<Subject> out;
  for (const std::size_t count : counts) {
    Subject subject{"s" + std::to_string(out.size()), {}};
    subject.plan.run.resize(count);
    out.push_back(std::move(subject));
  }
  return out;
}

// A GPU that has memory for so many subjects, and refuses those that come after; one of a label crashes at any time.
struct CrowdedBench : GpuBench {
  std::size_t most = 3;  // the incumbent among them
  std::vector<MeasureRequest> asked;

  SampleFact measure(const MeasureRequest& request) override {
    asked.push_back(request);
    SampleFact fact = GpuBench::measure(request);
    for (std::size_t i = 1; i < request.subjects.size(); ++i) {
      const Plan& plan = request.subjects[i].plan;
      if (!plan.run.empty() && plan.run.front().label == "crashes")
        fail(fact.subjects[i], Verdict::crashed);
      else if (i >= most)
        fail(fact.subjects[i], Verdict::launch_failed);
    }
    return fact;
  }

 private:
  static void fail(SampleFact::Subject& subject, Verdict verdict) {
    subject.verdict = verdict;
    subject.evidence = "of a test";
    subject.ns.clear();
  }
};

// A lab over a bench that was probed.
template <class Bench>
struct Looking {
  Bench bench;
  MemoryBlobs blobs;
  MemoryJournal journal;
  const JobInput input = gpu_input(blobs);
  Lab lab{input, bench, blobs, journal, [](const std::string&) { return json::array{}; }, Clock{}};
  Looking() { lab.probe(); }
};

constexpr std::int64_t kNever = std::int64_t{1} << 60;

}  // namespace

TEST_CASE("candidates are checked fastest first, and last those that there was no time to look at") {
  Looking<FakeBench> at;
  const std::vector<Subject> subjects = with_launches({5, 1, 3, 2, 4});
  const Subject incumbent = with_launches({2}).front();
  const auto order = [&](const std::vector<Subject>& asked, const OrderLimits& limits) {
    std::vector<std::size_t> out;
    for (const Look& look : fastest_first(at.lab, asked, incumbent, limits)) out.push_back(look.subject);
    return out;
  };
  CHECK(order(subjects, {3, kNever, 1}) == std::vector<std::size_t>{1, 3, 2, 4, 0});
  CHECK(order(subjects, {3, 0, 1}) == std::vector<std::size_t>{1, 0, 2, 3, 4});
  CHECK(order(with_launches({3}), {3, kNever, 1}) == std::vector<std::size_t>{0});
  CHECK(order({}, {3, kNever, 1}).empty());

  const std::vector<Look> looks = fastest_first(at.lab, subjects, incumbent, {3, 0, 1});
  CHECK(looks[0].relative == doctest::Approx(0.5).epsilon(0.3));
  CHECK(looks[1].relative == doctest::Approx(2.5).epsilon(0.3));
  CHECK(std::isinf(looks[2].relative));  // there was no time for it
}

TEST_CASE("who is refused among others is looked at again alone, and is not looked at where there is no time for it") {
  Looking<CrowdedBench> at;
  std::vector<Subject> subjects = with_launches({3, 4, 5, 1, 2});
  subjects[1].plan.run.front().label = "crashes";
  const Subject incumbent = with_launches({2}).front();

  const std::vector<Look> looks = fastest_first(at.lab, subjects, incumbent, {12, kNever, 1});
  std::vector<std::size_t> order;
  for (const Look& look : looks) order.push_back(look.subject);
  CHECK(order == std::vector<std::size_t>{3, 4, 0, 2, 1});
  for (std::size_t i = 0; i < 4; ++i) CHECK(looks[i].verdict == Verdict::ok);
  CHECK(looks[4].verdict == Verdict::crashed);
  std::size_t alone = 0;
  for (const MeasureRequest& request : at.bench.asked) alone += request.subjects.size() == 2;
  CHECK(alone >= 4);

  const std::vector<Look> hasty = fastest_first(at.lab, subjects, incumbent, {12, 0, 1});
  for (const Look& look : hasty) CHECK(look.verdict == Verdict::ok);
  CHECK(std::isinf(hasty.back().relative));
}

TEST_CASE("a look counts as hung after seconds of one subject, not after the policy's minute") {
  Looking<CrowdedBench> at;
  const Subject incumbent = with_launches({2}).front();
  (void)fastest_first(at.lab, with_launches({1, 2}), incumbent, {12, kNever, 1, {2e3, 1e6}});
  REQUIRE(!at.bench.asked.empty());
  // 3 s for a new worker; of one of the three, a thousand calls of 2 us and four copies of 1 MB at 1 GB/s.
  CHECK(at.bench.asked.front().timeout_ns + at.bench.asked.front().limit_ns == 3'006'000'000);
}

TEST_CASE("on a GPU without memory for a whole round no candidate of a job fails for want of it") {
  CrowdedBench bench;
  MemoryBlobs blobs;
  MemoryJournal journal;
  JobInput input = gpu_input(blobs);
  input.policy.seconds = 10'000;
  const JobOutcome outcome = run(input, bench, blobs, journal);
  std::size_t most = 0, candidates = 0;
  for (const MeasureRequest& request : bench.asked) most = std::max(most, request.subjects.size());
  CHECK(most > bench.most);
  for (const json::value& region : outcome.trace.at("regions").as_array())
    for (const json::value& candidate : region.at("candidates").as_array()) {
      CHECK(candidate.at("verdict") != "launch_failed");
      ++candidates;
    }
  CHECK(candidates > 20);
}

TEST_CASE("on a GPU what a look shows slow is recorded and not checked, unless energy is what is minimized") {
  const auto passed_over = [](const std::string& objective) {
    MemoryBlobs blobs;
    JobInput input = gpu_input(blobs);
    input.policy.objective = objective;
    input.policy.max_candidates_per_region = 24;
    input.policy.seconds = 10'000;  // in which all of it is tried
    GpuBench bench;
    bench.energy_counter = "a counter";
    MemoryJournal journal;
    const JobOutcome outcome = run(input, bench, blobs, journal);
    std::size_t count = 0;
    for (const json::value& region : outcome.trace.at("regions").as_array())
      for (const json::value& candidate : region.at("candidates").as_array()) {
        if (candidate.at("reason").as_string().find("not checked") == std::string::npos) continue;
        CHECK(candidate.at("verdict") == "slower");
        CHECK(candidate.at("median_ns").to_number<double>() > 0);
        ++count;
      }
    // Looks are of times, whatever is minimized.
    CHECK(bench.objectives.contains(Objective::latency));
    CHECK(bench.objectives.contains(objective_from_name(objective)));
    return count;
  };
  CHECK(passed_over("latency") > 0);
  CHECK(passed_over("energy") == 0);
}
