// The order in which candidates are checked where checks are dear.
#include "agents/conductor/check_order.h"

#include <doctest/doctest.h>

#include <cmath>

#include "tests/conductor/jobs.h"

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
