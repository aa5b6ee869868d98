#include "agents/conductor/race.h"

#include <algorithm>
#include <limits>

#include "agents/conductor/costs.h"

namespace kiln::agents {

void settle_race(const std::vector<Finalist>& finalists, const SampleFact& samples, const RaceRules& rules,
                 const RegionProfile& profile, RegionOutcome& out) {
  const policies::Policy& policy = rules.policy;
  const SampleFact::Subject& incumbent = samples.subjects.at(0);
  out.incumbent = summary_of(incumbent, policy.confidence);
  double least_cost = std::numeric_limits<double>::infinity();
  for (const Finalist& finalist : finalists) {
    const SampleFact::Subject& subject =
        *std::find_if(samples.subjects.begin(), samples.subjects.end(),
                      [&](const SampleFact::Subject& s) { return s.name == finalist.name; });
    if (judge_timed(subject, policy, rules.roundings).verdict != Verdict::ok) continue;
    const double cost = costs_of(subject).objective;
    if (cost >= least_cost) continue;
    least_cost = cost;
    out.winner = finalist.kernel;
    out.winner_time = summary_of(subject, policy.confidence);
    out.judgement = finalist.judgement;
    out.speed_up = compare(incumbent.cost(), subject.cost(), samples.cycles_per_ns, policy.margin, policy.confidence);
    out.bottleneck = bottleneck(profile, out.winner_time.median_ns);
  }
}

}  // namespace kiln::agents
