#include "agents/conductor/check_order.h"

#include <algorithm>
#include <limits>
#include <numeric>
#include <span>

#include "agents/benchmark/benchmark.h"

namespace kiln::agents {
namespace {

constexpr std::int32_t kFirstSamples = 1;  // some candidates take seconds
constexpr std::int32_t kMoreSamples = 5;

}  // namespace

std::vector<std::size_t> fastest_first(Lab& lab, const std::vector<Subject>& subjects, const OrderLimits& limits) {
  std::vector<double> ns(subjects.size(), std::numeric_limits<double>::infinity());
  const auto look_at = [&](std::span<const std::size_t> some, std::int32_t samples) {
    std::vector<Subject> asked;
    for (const std::size_t i : some) asked.push_back(subjects[i]);
    const SampleFact fact = lab.measure(asked, Lab::Extent::region, samples, false, limits.seed);
    for (std::size_t i = 0; i < some.size(); ++i) {
      const SampleFact::Subject& subject = fact.subjects.at(i);
      if (subject.verdict == Verdict::ok && !subject.ns.empty()) ns[some[i]] = summarize(subject.ns, 0.95).median_ns;
    }
  };
  std::vector<std::size_t> order(subjects.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  const auto sort = [&](std::span<std::size_t> some) {
    std::stable_sort(some.begin(), some.end(), [&](std::size_t a, std::size_t b) { return ns[a] < ns[b]; });
  };
  const std::span<std::size_t> all(order);
  for (std::size_t begin = 0; begin < all.size(); begin += limits.at_once) {
    if (begin > 0 && lab.now("order") >= limits.deadline_ns) break;
    look_at(all.subspan(begin, std::min(limits.at_once, all.size() - begin)), kFirstSamples);
  }
  sort(all);
  const std::span<std::size_t> fastest = all.first(std::min(limits.at_once, all.size()));
  if (fastest.size() < 2) return order;
  look_at(fastest, kMoreSamples);
  sort(fastest);
  return order;
}

}  // namespace kiln::agents
