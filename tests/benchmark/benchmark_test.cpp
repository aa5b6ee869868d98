#include <doctest/doctest.h>

#include <cmath>

#include "agents/benchmark/benchmark.h"
#include "agents/benchmark/order.h"
#include "runtime/base/random.h"
#include "runtime/base/json.h"

using namespace kiln;
using namespace kiln::agents;

namespace {

// Box and Muller.
double normal(SplitMix64& random) {
  return std::sqrt(-2 * std::log(1 - random.unit())) * std::cos(2 * 3.14159265358979323846 * random.unit());
}

std::vector<double> noisy(SplitMix64& random, double ns, double noise, std::size_t count = 32) {
  std::vector<double> out;
  for (std::size_t i = 0; i < count; ++i) out.push_back(ns * (1 + noise * normal(random)));
  return out;
}

// Skewed, as times are: an exponential tail on a floor.
std::vector<double> skewed(SplitMix64& random, double ns, double noise) {
  std::vector<double> out;
  for (std::size_t i = 0; i < 32; ++i) out.push_back(ns * (1 - noise * std::log(1 - random.unit())));
  return out;
}

const std::vector<double> kSteady(32, 3.0);

}  // namespace

TEST_CASE("order statistics of a known sample") {
  const Summary s = summarize({7, 1, 3, 5, 9}, 0.95);
  CHECK(s.samples == 5);
  CHECK(s.min_ns == 1);
  CHECK(s.q1_ns == 3);
  CHECK(s.median_ns == 5);
  CHECK(s.q3_ns == 7);
  CHECK(summarize({1, 2, 3, 4}, 0.95).median_ns == 2.5);
  CHECK(summarize({}, 0.95).samples == 0);
  CHECK(summarize({4}, 0.95).high_ns == 4);
}

TEST_CASE("the interval of the median is that of the binomial tables") {
  // Conover, Practical Nonparametric Statistics, and any binomial table: positions r and n + 1 - r, counted from 1.
  using Pair = std::pair<std::size_t, std::size_t>;
  CHECK(median_interval(32, 0.95) == Pair{9, 22});  // x(10), x(23): 98.0 %, and x(11), x(22) would be 94.99 %
  CHECK(median_interval(10, 0.95) == Pair{1, 8});   // 97.9 %
  CHECK(median_interval(20, 0.95) == Pair{5, 14});  // 95.9 %
  CHECK(median_interval(100, 0.95) == Pair{39, 60});
  CHECK(median_interval(6, 0.95) == Pair{0, 5});  // 96.9 %
  CHECK(median_interval(5, 0.95) == Pair{0, 4});  // 93.75 % is all that five samples can say
  CHECK(median_interval(1, 0.95) == Pair{0, 0});
  const auto [low, high] = median_interval(5000, 0.95);  // 2^-5000 underflows; the tail must not
  CHECK(low > 2400);
  CHECK(high < 2600);
}

TEST_CASE("the interval holds the median as often as it says") {
  SplitMix64 random(11);
  int held = 0;
  for (int i = 0; i < 2000; ++i) {
    const Summary s = summarize(skewed(random, 100, 0.1), 0.95);
    const double truth = 100 * (1 + 0.1 * std::log(2.0));
    held += s.low_ns <= truth && truth <= s.high_ns ? 1 : 0;
  }
  CHECK(held >= 1900);
}

TEST_CASE("A/A: two samples of one kernel are called faster in at most 1 % of trials, whatever the noise") {
  // Noise of 2 % is a quiet node; at 10 % and 30 % the margin no longer hides an interval that is too narrow.
  for (const double noise : {0.02, 0.1, 0.3}) {
    SplitMix64 random(17);
    int faster = 0, slower = 0;
    const int trials = noise < 0.2 ? 1000 : 400;
    for (int i = 0; i < trials; ++i) {
      const auto a = skewed(random, 1000, noise), b = skewed(random, 1000, noise);
      const Comparison c = compare(a, b, kSteady, 0.01, 0.95).comparison;
      faster += c == Comparison::faster ? 1 : 0;
      slower += c == Comparison::slower ? 1 : 0;
    }
    CHECK(faster * 100 <= trials);
    CHECK(slower * 100 <= trials);
  }
}

TEST_CASE("a true difference of 5 % under 2 % noise is found nine times in ten, in both directions") {
  SplitMix64 random(23);
  int faster = 0, slower = 0;
  for (int i = 0; i < 300; ++i) {
    const auto slow = noisy(random, 1050, 0.02), fast = noisy(random, 1000, 0.02);
    const SpeedUp s = compare(slow, fast, kSteady, 0.01, 0.95);
    faster += s.comparison == Comparison::faster ? 1 : 0;
    slower += compare(fast, slow, kSteady, 0.01, 0.95).comparison == Comparison::slower ? 1 : 0;
    CHECK(s.low <= s.ratio);
    CHECK(s.ratio <= s.high);
  }
  CHECK(faster >= 270);
  CHECK(slower >= 270);
}

TEST_CASE("equal and quiet is the same; equal and noisy is ambiguous") {
  SplitMix64 random(5);
  CHECK(compare(noisy(random, 1000, 0.001), noisy(random, 1000, 0.001), kSteady, 0.01, 0.95).comparison ==
        Comparison::same);
  CHECK(compare(noisy(random, 1000, 0.2), noisy(random, 1000, 0.2), kSteady, 0.01, 0.95).comparison ==
        Comparison::ambiguous);
}

TEST_CASE("a gain below the margin is not faster") {
  const std::vector<double> a(32, 1005), b(32, 1000);
  CHECK(compare(a, b, kSteady, 0.01, 0.95).comparison == Comparison::same);
  CHECK(compare(std::vector<double>(32, 1020), b, kSteady, 0.01, 0.95).comparison == Comparison::faster);
}

TEST_CASE("a speed-up in time that cycles deny is not faster") {
  // Rounds alternate between two clocks. Cycles: 1500 for both in most rounds; time says otherwise only by the clock.
  std::vector<double> incumbent, candidate, clock;
  for (int i = 0; i < 32; ++i) {
    const bool fast_clock = i % 2 == 0;
    clock.push_back(fast_clock ? 4.0 : 3.2);
    incumbent.push_back(i < 20 ? 1500 / clock.back() : 1490 / clock.back());
    candidate.push_back(1500 / clock.back());
  }
  CHECK(compare(incumbent, candidate, clock, 0.01, 0.95).comparison != Comparison::faster);
}

TEST_CASE("a throttled round counts for neither") {
  std::vector<double> incumbent(33, 1100), candidate(33, 1000), clock(33, 3.0);
  clock[7] = 1.5;
  candidate[7] = 1e6;
  const SpeedUp s = compare(incumbent, candidate, clock, 0.01, 0.95);
  CHECK(s.ratio == doctest::Approx(1.1));
  CHECK(s.high == doctest::Approx(1.1));
}

TEST_CASE("few samples decide nothing") {
  CHECK(compare({1100, 1100, 1100, 1100, 1100}, {1000, 1000, 1000, 1000, 1000}, {}, 0.01, 0.95).comparison ==
        Comparison::ambiguous);
  CHECK(compare(std::vector<double>(7, 1100), std::vector<double>(7, 1000), {}, 0.01, 0.95).comparison ==
        Comparison::faster);
  CHECK(compare({}, {}, {}, 0.01, 0.95).comparison == Comparison::ambiguous);
  CHECK(compare({1}, {}, {}, 0.01, 0.95).ratio == 1);
}

TEST_CASE("a comparison depends on nothing but its arguments") {
  SplitMix64 random(3);
  const auto a = noisy(random, 1000, 0.05), b = noisy(random, 990, 0.05);
  CHECK(json::canonical(to_json(compare(a, b, kSteady, 0.01, 0.95))) ==
        json::canonical(to_json(compare(a, b, kSteady, 0.01, 0.95))));
}

TEST_CASE("finalists: the fastest by their minimum, and those to keep") {
  std::vector<SampleFact::Subject> subjects(6);
  const double minimum[] = {50, 10, 40, 30, 20, 5};
  for (std::size_t i = 0; i < 6; ++i) subjects[i].ns = {minimum[i] + 100, minimum[i], minimum[i] + 7};
  subjects[5].verdict = Verdict::crashed;
  CHECK(finalists(subjects, {0}, 2) == std::vector<std::size_t>{0, 1, 4});
  CHECK(finalists(subjects, {1, 1, 99}, 1) == std::vector<std::size_t>{1});
  CHECK(finalists(subjects, {}, 99) == std::vector<std::size_t>{0, 1, 2, 3, 4});
  CHECK(finalists({}, {0}, 3).empty());
}

TEST_CASE("faster than a measured ceiling by more than its uncertainty is implausible") {
  CHECK(implausible(70, 100));
  CHECK_FALSE(implausible(90, 100));
  CHECK_FALSE(implausible(200, 100));
  CHECK_FALSE(implausible(10, 0));
}

TEST_CASE("CSV fields are quoted as RFC 4180 asks") {
  const std::string csv = to_csv({{"r1", "say \"hi\", twice", "ok", summarize({1, 2, 3}, 0.95), 0.5}});
  CHECK(csv.find("r1,\"say \"\"hi\"\", twice\",ok,3,2,1,") != std::string::npos);
  CHECK(csv.substr(0, 22) == "region,variant,verdict");
  CHECK(csv.substr(csv.size() - 2) == "\r\n");
}
