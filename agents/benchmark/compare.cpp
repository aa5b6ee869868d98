// The four-way verdict on two timings (docs/measuring.md): an exact sign test over the ratios of rounds. What disturbs
// a node lasts longer than a round, so it falls on both samples of it and leaves their ratio; medians of the two
// subjects taken apart keep it. The test holds its level whatever the distribution of the noise.
#include <algorithm>
#include <cmath>

#include "agents/benchmark/benchmark.h"
#include "agents/benchmark/order.h"
#include "runtime/base/json.h"

namespace kiln::agents {
namespace {

// The sign test's level is this part of 1 - confidence: at 95 % confidence a false `faster` is below 1 %.
constexpr double kSignLevel = 0.2;
// A round whose clock is below this part of the median clock was throttled; both of its samples go.
constexpr double kLeastClock = 0.75;

// Incumbent over candidate, one for each round that counts, ascending. A round's clock is common to both of its
// samples: the ratio is the same in time and in cycles.
std::vector<double> sorted_ratios(const std::vector<double>& incumbent, const std::vector<double>& candidate,
                                  const std::vector<double>& clock) {
  const std::size_t count = std::min(incumbent.size(), candidate.size());
  const bool clocked = clock.size() >= count && count > 0;
  double typical = 0;
  if (clocked) {
    std::vector<double> sorted(clock.begin(), clock.begin() + static_cast<std::ptrdiff_t>(count));
    std::sort(sorted.begin(), sorted.end());
    typical = quantile(sorted, 0.5);
  }
  std::vector<double> ratios;
  for (std::size_t i = 0; i < count; ++i) {
    if (!(incumbent[i] > 0) || !(candidate[i] > 0)) continue;
    if (clocked && clock[i] < kLeastClock * typical) continue;
    ratios.push_back(incumbent[i] / candidate[i]);
  }
  std::sort(ratios.begin(), ratios.end());
  return ratios;
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

// Whether significantly more than half of the ratios are above `bound`.
bool mostly_above(const std::vector<double>& sorted, double bound, double level) {
  const auto above = sorted.end() - std::upper_bound(sorted.begin(), sorted.end(), bound);
  return sign_tail(static_cast<std::size_t>(above), sorted.size()) <= level;
}

bool mostly_below(const std::vector<double>& sorted, double bound, double level) {
  const auto below = std::lower_bound(sorted.begin(), sorted.end(), bound) - sorted.begin();
  return sign_tail(static_cast<std::size_t>(below), sorted.size()) <= level;
}

}  // namespace

SpeedUp compare(const std::vector<double>& incumbent_ns, const std::vector<double>& candidate_ns,
                const std::vector<double>& cycles_per_ns, double margin, double confidence) {
  SpeedUp s;
  const std::vector<double> ratios = sorted_ratios(incumbent_ns, candidate_ns, cycles_per_ns);
  if (ratios.empty()) return s;
  s.ratio = quantile(ratios, 0.5);
  const auto [low, high] = median_interval(ratios.size(), confidence);
  s.low = ratios[low];
  s.high = ratios[high];
  const double level = kSignLevel * (1 - confidence);
  const bool enough = sign_tail(ratios.size(), ratios.size()) <= level;  // that a difference could have shown
  if (mostly_above(ratios, 1 + margin, level)) {
    s.comparison = Comparison::faster;
  } else if (mostly_below(ratios, 1 / (1 + margin), level)) {
    s.comparison = Comparison::slower;
  } else if (enough && s.low >= 1 - margin && s.high <= 1 + margin) {
    s.comparison = Comparison::same;
  }
  return s;
}

json::object to_json(const SpeedUp& s) {
  return {{"ratio", s.ratio}, {"low", s.low}, {"high", s.high}, {"comparison", name(s.comparison)}};
}

}  // namespace kiln::agents
