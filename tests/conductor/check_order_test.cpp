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

}  // namespace

TEST_CASE("candidates are checked fastest first, and last those that there was no time to look at") {
  FakeBench bench;
  MemoryBlobs blobs;
  MemoryJournal journal;
  const JobInput input = classifier_input(blobs);
  Lab lab(
      input, bench, blobs, journal, [](const std::string&) { return json::array{}; }, Clock{});
  lab.probe();
  const std::vector<Subject> subjects = with_launches({5, 1, 3, 2, 4});
  const Subject incumbent = with_launches({2}).front();
  constexpr std::int64_t never = std::int64_t{1} << 60;
  const auto order = [&](const std::vector<Subject>& asked, const OrderLimits& limits) {
    std::vector<std::size_t> out;
    for (const Look& look : fastest_first(lab, asked, incumbent, limits)) out.push_back(look.subject);
    return out;
  };
  CHECK(order(subjects, {3, never, 1}) == std::vector<std::size_t>{1, 3, 2, 4, 0});
  CHECK(order(subjects, {3, 0, 1}) == std::vector<std::size_t>{1, 0, 2, 3, 4});
  CHECK(order(with_launches({3}), {3, never, 1}) == std::vector<std::size_t>{0});
  CHECK(order({}, {3, never, 1}).empty());

  const std::vector<Look> looks = fastest_first(lab, subjects, incumbent, {3, 0, 1});
  CHECK(looks[0].relative == doctest::Approx(0.5).epsilon(0.3));
  CHECK(looks[1].relative == doctest::Approx(2.5).epsilon(0.3));
  CHECK(std::isinf(looks[2].relative));  // there was no time for it
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
    return count;
  };
  CHECK(passed_over("latency") > 0);
  CHECK(passed_over("energy") == 0);
}
