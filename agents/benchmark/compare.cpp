// The four-way verdict on two timings (docs/measuring.md). Two conditions must agree before anything is called faster:
// a bootstrap interval of the ratio of medians, in time and in cycles, and an exact sign test over rounds. The interval
// alone is too hopeful when noise is large against the margin; the sign test holds its level whatever the distribution.
#include <algorithm>
#include <cmath>

#include "agents/benchmark/benchmark.h"
#include "agents/benchmark/order.h"
#include "agents/search/random.h"

namespace kiln::agents {
namespace {

constexpr std::size_t kResamples = 1000;
// The sign test's level is this part of 1 - confidence: at 95 % confidence a false `faster` is below 1 %.
constexpr double kSignLevel = 0.2;
// A round whose clock is below this part of the median clock was throttled; both of its samples go.
constexpr double kLeastClock = 0.75;

struct Rounds {
  std::vector<double> incumbent, candidate, clock;  // ns, ns, cycles per ns
};

Rounds usable(const std::vector<double>& incumbent, const std::vector<double>& candidate,
              const std::vector<double>& clock) {
  const std::size_t count = std::min(incumbent.size(), candidate.size());
  const bool clocked = clock.size() >= count && count > 0;
  double typical = 1;
  if (clocked) {
    std::vector<double> sorted(clock.begin(), clock.begin() + static_cast<std::ptrdiff_t>(count));
    std::sort(sorted.begin(), sorted.end());
    typical = quantile(sorted, 0.5);
  }
  Rounds rounds;
  for (std::size_t i = 0; i < count; ++i) {
    if (!(incumbent[i] > 0) || !(candidate[i] > 0)) continue;
    if (clocked && clock[i] < kLeastClock * typical) continue;
    rounds.incumbent.push_back(incumbent[i]);
    rounds.candidate.push_back(candidate[i]);
    rounds.clock.push_back(clocked && typical > 0 ? clock[i] : 1.0);
  }
  return rounds;
}

double median_in_place(std::vector<double>& values) {
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  if (values.size() % 2 == 1) return *middle;
  return (*std::max_element(values.begin(), middle) + *middle) / 2;
}

double median_ratio(std::vector<double> incumbent, std::vector<double> candidate) {
  return median_in_place(incumbent) / median_in_place(candidate);
}

struct Interval { double low = 0, high = 0; };

// Percentile bootstrap; a round is drawn with both of its samples, so that a disturbance common to both cancels.
Interval bootstrap(const std::vector<double>& incumbent, const std::vector<double>& candidate, double confidence,
                   std::uint64_t seed) {
  const std::size_t n = incumbent.size();
  Random random(seed);
  std::vector<double> ratios, a(n), b(n);
  ratios.reserve(kResamples);
  for (std::size_t r = 0; r < kResamples; ++r) {
    for (std::size_t i = 0; i < n; ++i) {
      const std::size_t pick = random.below(n);
      a[i] = incumbent[pick];
      b[i] = candidate[pick];
    }
    ratios.push_back(median_in_place(a) / median_in_place(b));
  }
  std::sort(ratios.begin(), ratios.end());
  return {quantile(ratios, (1 - confidence) / 2), quantile(ratios, (1 + confidence) / 2)};
}

// P(at least `wins` of n fair coins).
double sign_tail(std::size_t wins, std::size_t n) {
  double log_term = -static_cast<double>(n) * std::log(2.0), tail = 0;
  for (std::size_t k = n; k + 1 > wins; --k) {
    tail += std::exp(log_term);
    if (k == 0) break;
    log_term += std::log(static_cast<double>(k) / static_cast<double>(n - k + 1));
  }
  return tail;
}

// Whether `ahead` beats `behind` by the margin in significantly more than half of the rounds.
bool wins_rounds(const std::vector<double>& behind, const std::vector<double>& ahead, double margin, double level) {
  std::size_t wins = 0;
  for (std::size_t i = 0; i < ahead.size(); ++i) wins += behind[i] > (1 + margin) * ahead[i] ? 1 : 0;
  return sign_tail(wins, ahead.size()) <= level;
}

std::vector<double> scaled(std::vector<double> ns, const std::vector<double>& factor) {
  for (std::size_t i = 0; i < ns.size(); ++i) ns[i] *= factor[i];
  return ns;
}

}  // namespace

SpeedUp compare(const std::vector<double>& incumbent_ns, const std::vector<double>& candidate_ns,
                const std::vector<double>& cycles_per_ns, double margin, double confidence, std::uint64_t seed) {
  SpeedUp s;
  const Rounds rounds = usable(incumbent_ns, candidate_ns, cycles_per_ns);
  if (rounds.incumbent.empty()) return s;
  s.ratio = median_ratio(rounds.incumbent, rounds.candidate);
  const Interval time = bootstrap(rounds.incumbent, rounds.candidate, confidence, seed);
  const bool same_clock = std::all_of(rounds.clock.begin(), rounds.clock.end(),
                                      [&](double clock) { return clock == rounds.clock.front(); });
  const Interval cycles = same_clock ? time
                                     : bootstrap(scaled(rounds.incumbent, rounds.clock),
                                                 scaled(rounds.candidate, rounds.clock), confidence, seed);
  s.low = time.low;
  s.high = time.high;
  const double level = kSignLevel * (1 - confidence);
  const double low = std::min(time.low, cycles.low), high = std::max(time.high, cycles.high);
  if (low > 1 + margin && wins_rounds(rounds.incumbent, rounds.candidate, margin, level)) {
    s.comparison = Comparison::faster;
  } else if (high < 1 / (1 + margin) && wins_rounds(rounds.candidate, rounds.incumbent, margin, level)) {
    s.comparison = Comparison::slower;
  } else if (low >= 1 - margin && high <= 1 + margin &&
             sign_tail(rounds.incumbent.size(), rounds.incumbent.size()) <= level) {
    s.comparison = Comparison::same;  // and only with enough rounds that a difference could have shown
  }
  return s;
}

json::object to_json(const SpeedUp& s) {
  return {{"ratio", s.ratio}, {"low", s.low}, {"high", s.high}, {"comparison", name(s.comparison)}};
}

}  // namespace kiln::agents
