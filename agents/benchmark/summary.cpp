#include <algorithm>
#include <cmath>

#include "agents/benchmark/benchmark.h"
#include "agents/benchmark/order.h"
#include "runtime/base/json.h"

namespace kiln::agents {

double quantile(const std::vector<double>& sorted, double q) {
  if (sorted.empty()) return 0;
  const double at = q * static_cast<double>(sorted.size() - 1);
  const auto below = static_cast<std::size_t>(at);
  if (below + 1 >= sorted.size()) return sorted.back();
  return sorted[below] + (at - static_cast<double>(below)) * (sorted[below + 1] - sorted[below]);
}

std::pair<std::size_t, std::size_t> median_interval(std::size_t count, double confidence) {
  if (count == 0) return {0, 0};
  // With l samples cut from each side the interval misses the median when at most l samples fall on one side of it: the
  // lower tail of a Binomial(n, 1/2), twice. In logarithms, since 2^-n underflows for long runs.
  const auto n = static_cast<double>(count);
  double log_term = -n * std::log(2.0), tail = 0;
  std::size_t cut = 0;
  for (std::size_t l = 0; 2 * l + 1 <= count; ++l) {
    tail += std::exp(log_term);
    if (2 * tail > 1 - confidence) break;
    cut = l;
    log_term += std::log((n - static_cast<double>(l)) / static_cast<double>(l + 1));
  }
  return {cut, count - 1 - cut};
}

Summary summarize(const std::vector<double>& ns, double confidence) {
  Summary s;
  if (ns.empty()) return s;
  std::vector<double> sorted = ns;
  std::sort(sorted.begin(), sorted.end());
  s.samples = static_cast<std::int32_t>(sorted.size());
  s.min_ns = sorted.front();
  s.q1_ns = quantile(sorted, 0.25);
  s.median_ns = quantile(sorted, 0.5);
  s.q3_ns = quantile(sorted, 0.75);
  const auto [low, high] = median_interval(sorted.size(), confidence);
  s.low_ns = sorted[low];
  s.high_ns = sorted[high];
  return s;
}

Summary summary_of(const SampleFact::Subject& subject, double confidence) {
  Summary s = summarize(subject.ns, confidence);
  s.median_nj = summarize(subject.nj, confidence).median_ns;
  return s;
}

json::object to_json(const Summary& s) {
  json::object out{{"samples", s.samples}, {"median_ns", s.median_ns}, {"min_ns", s.min_ns},  {"q1_ns", s.q1_ns},
                   {"q3_ns", s.q3_ns},     {"low_ns", s.low_ns},       {"high_ns", s.high_ns}};
  if (s.median_nj > 0) out["median_nj"] = s.median_nj;
  return out;
}

}  // namespace kiln::agents
