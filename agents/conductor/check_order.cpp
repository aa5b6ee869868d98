#include "agents/conductor/check_order.h"

#include <algorithm>
#include <limits>
#include <span>

#include "agents/benchmark/benchmark.h"

namespace kiln::agents {
namespace {

constexpr std::int32_t kFirstSamples = 1;  // some candidates take seconds
constexpr std::int32_t kMoreSamples = 5;
constexpr double kSureNs = 5e6;  // of a call this long, one sample is as good as several
constexpr double kNever = std::numeric_limits<double>::infinity();

}  // namespace

bool may_be_of_others(Verdict verdict) { return verdict == Verdict::launch_failed || verdict == Verdict::crashed; }

std::vector<Look> without_looks(std::size_t count) {
  std::vector<Look> looks;
  for (std::size_t i = 0; i < count; ++i) looks.push_back({i, Verdict::ok, {}, 0, 0});
  return looks;
}

std::vector<Look> fastest_first(Lab& lab, const std::vector<Subject>& subjects, const Subject& incumbent,
                                const OrderLimits& limits) {
  std::vector<Look> looks;
  for (std::size_t i = 0; i < subjects.size(); ++i) looks.push_back({i, Verdict::ok, {}, kNever, kNever});
  const std::size_t at_once = std::max<std::size_t>(2, limits.at_once) - 1;
  std::vector<double> usual_ns;  // of the incumbent, in all measurements: one of its samples alone would scale a group
  const auto look_together = [&](std::span<Look> some, std::int32_t samples) {
    std::vector<Subject> asked = {incumbent};
    for (const Look& look : some) asked.push_back(subjects[look.subject]);
    const SampleFact fact = lab.look(asked, samples, limits.seed, limits.usual);
    const std::vector<double>& usual = fact.subjects.at(0).ns;
    usual_ns.insert(usual_ns.end(), usual.begin(), usual.end());
    for (std::size_t i = 0; i < some.size(); ++i) {
      const SampleFact::Subject& subject = fact.subjects.at(1 + i);
      some[i].verdict = subject.verdict;
      some[i].evidence = subject.evidence;
      const bool timed = subject.verdict == Verdict::ok && !subject.ns.empty();
      some[i].ns = timed ? summarize(subject.ns, 0.95).median_ns : kNever;
    }
  };
  const auto look_at = [&](std::span<Look> some, std::int32_t samples) {
    look_together(some, samples);
    for (std::size_t i = 0; i < some.size() && some.size() > 1; ++i) {
      if (!may_be_of_others(some[i].verdict)) continue;
      if (lab.now("order") < limits.deadline_ns)
        look_together(some.subspan(i, 1), samples);
      else
        some[i] = {some[i].subject, Verdict::ok, {}, kNever, kNever};
    }
  };
  const auto sort = [](std::span<Look> some) {
    std::stable_sort(some.begin(), some.end(), [](const Look& a, const Look& b) {
      const bool fails_a = a.verdict != Verdict::ok, fails_b = b.verdict != Verdict::ok;
      return fails_a != fails_b ? fails_b : a.ns < b.ns;
    });
  };
  const std::span<Look> all(looks);
  for (std::size_t begin = 0; begin < all.size(); begin += at_once) {
    if (begin > 0 && lab.now("order") >= limits.deadline_ns) break;
    look_at(all.subspan(begin, std::min(at_once, all.size() - begin)), kFirstSamples);
  }
  sort(all);
  const std::span<Look> fastest = all.first(std::min(at_once, all.size()));
  if (fastest.size() > 1 && fastest.front().ns < kSureNs) {
    look_at(fastest, kMoreSamples);
    sort(fastest);
  }
  const double usual = usual_ns.empty() ? 0 : summarize(usual_ns, 0.95).median_ns;
  for (Look& look : looks) look.relative = usual > 0 ? look.ns / usual : kNever;
  return looks;
}

}  // namespace kiln::agents
