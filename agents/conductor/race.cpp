#include "agents/conductor/race.h"

#include <algorithm>
#include <utility>

#include "agents/conductor/costs.h"

namespace kiln::agents {

void settle_race(const std::vector<Finalist>& finalists, const SampleFact& samples, const RaceRules& rules,
                 const RegionProfile& profile, RegionOutcome& out) {
  const policies::Policy& policy = rules.policy;
  const SampleFact::Subject& incumbent = samples.subjects.at(0);
  out.incumbent = summary_of(incumbent, policy.confidence);
  const SampleFact::Subject* fastest = nullptr;
  std::vector<std::pair<const Finalist*, const SampleFact::Subject*>> right;
  for (const Finalist& finalist : finalists) {
    const SampleFact::Subject& subject =
        *std::find_if(samples.subjects.begin(), samples.subjects.end(),
                      [&](const SampleFact::Subject& s) { return s.name == finalist.name; });
    if (judge_timed(subject, policy, rules.roundings).verdict == Verdict::ok) right.emplace_back(&finalist, &subject);
  }
  std::stable_sort(right.begin(), right.end(), [](const auto& a, const auto& b) {
    return costs_of(*a.second).objective < costs_of(*b.second).objective;
  });
  const auto over = [&](const SampleFact::Subject& before, const SampleFact::Subject& after) {
    return compare(before.cost(), after.cost(), samples.cycles_per_ns, policy.margin, policy.confidence);
  };
  for (const auto& [finalist, subject] : right) {
    const Summary time = summary_of(*subject, policy.confidence);
    const SpeedUp speed_up = over(incumbent, *subject);
    if (fastest) {
      out.alternatives.push_back({finalist->kernel, time, speed_up, over(*fastest, *subject), finalist->judgement});
      continue;
    }
    fastest = subject;
    out.winner = finalist->kernel;
    out.winner_time = time;
    out.judgement = finalist->judgement;
    out.speed_up = speed_up;
    out.bottleneck = bottleneck(profile, out.winner_time.median_ns);
  }
}

}  // namespace kiln::agents
