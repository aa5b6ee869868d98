#include "agents/conductor/in_parts.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>

#include "agents/conductor/alone.h"
#include "agents/conductor/checking.h"
#include "agents/conductor/compose.h"
#include "agents/conductor/first_steps.h"
#include "agents/graph/roundings.h"
#include "runtime/base/error.h"
#include "runtime/base/json.h"

namespace kiln::agents {
namespace {

// Of a region's share of the search, for its parts: they begin with what was found for it.
constexpr double kPartsShare = 0.35;

const RegionOutcome* find(const std::vector<RegionOutcome>& outcomes, const std::string& key) {
  for (const RegionOutcome& outcome : outcomes)
    if (outcome.region == key) return &outcome;
  return nullptr;
}

// What was found for this region wherever it occurs, as one of the plan's or as a part; null where nobody searched it.
const RegionOutcome* searched(const Trace& trace, const std::string& key) {
  const RegionOutcome* found = find(trace.regions, key);
  for (std::size_t r = 0; !found && r < trace.regions.size(); ++r)
    if (trace.regions[r].in_parts) found = find(trace.regions[r].in_parts->regions, key);
  return found && !found->candidates.empty() ? found : nullptr;
}

Carried carried_from(const RegionOutcome& whole) {
  Carried out{{}, whole.candidate_ns};
  for (const CandidateRecord& record : whole.candidates)
    out.trials.push_back({record.variant, record.verdict, record.cost});
  return out;
}

const RegionProfile& profile_of(const Trace& trace, const std::string& key) {
  const auto found = std::find_if(trace.profile.regions.begin(), trace.profile.regions.end(),
                                  [&](const RegionProfile& p) { return p.region == key; });
  if (found == trace.profile.regions.end())
    throw Error(ErrorCode::internal, "cannot try region " + key + " in parts: it has no profile");
  return *found;
}

// One region that has parts.
class InPartsTrial {
 public:
  InPartsTrial(Lab& lab, Phases& phases, const Prepared& prepared, const PartsTask& task, const Trace& trace)
      : lab_(lab),
        phases_(phases),
        prepared_(prepared),
        task_(task),
        trace_(trace),
        region_(prepared.partition.regions[task.region]),
        whole_(*find(trace.regions, region_.key)) {}

  InParts run(const SearchTime& time) {
    const std::int64_t now = phases_.begin("parts/" + region_.key, time.from, region_.label);
    const ProfileReport floors = profile(lab_.node(), task_.parts.partition);
    out_.profiles = floors.regions;
    if (whole_.winner && floors.floor_ns >= whole_.winner_time.median_ns) {
      out_.reason = fmt::format("not tried in parts: by the node's ceilings these take at least {:.0f} ns, one kernel "
                                "takes {:.0f} ns", floors.floor_ns, whole_.winner_time.median_ns);
    } else if (now >= time.end_ns && !task_.worth_looking) {
      out_.reason = "not tried in parts: no budget was left";
    } else {
      search(floors, time);
      if (out_.reason.empty()) measure();
    }
    return std::move(out_);
  }

  [[nodiscard]] RegionChoice choice(const InParts& in_parts) const {
    RegionChoice one = whole_.choice;
    if (in_parts.measured)
      return choose_parts(one, in_parts.speed_up, in_parts.over_winner, lab_.input().policy);
    one.reason += "; " + in_parts.reason;
    return one;
  }

 private:
  void search(const ProfileReport& floors, const SearchTime& time) {
    parts_ = measure_incumbents_alone(lab_, task_.parts.partition, [&](double, const std::string& label) {
      lab_.journal().progress({"parts/" + region_.key, time.from, json::object{{"detail", label}}});
    });
    Trace found;
    found.profile = floors;
    found.plan = plan(parts_.partition, floors, parts_.incumbent_ns, lab_.input().corpus, lab_.input().policy);
    for (RegionPlan& part : found.plan.regions) part.worth_looking = task_.worth_looking;
    lab_.journal().decision("parts_plan/" + region_.key, to_json(found.plan));
    std::vector<RegionOutcome> known;
    std::erase_if(found.plan.regions, [&](const RegionPlan& part) {
      const RegionOutcome* outcome = searched(trace_, part.region);
      if (outcome) known.push_back(*outcome);
      return outcome != nullptr;
    });
    search_regions(lab_, phases_, parts_, found, time, carried_from(whole_));
    out_.regions = std::move(found.regions);
    std::move(known.begin(), known.end(), std::back_inserter(out_.regions));
    for (const RegionOutcome& part : out_.regions)
      if (part.candidates.empty())
        out_.reason = "not tried in parts: no budget was left for its part '" + part.label + "'";
  }

  // Against the oracle like any candidate, then in turns with the incumbent's kernels and the winner.
  void measure() {
    const graph::Graph& alone = prepared_.standalone[task_.region];
    const Assembled& incumbent = prepared_.incumbents[task_.region];
    out_.assembled = compose_parts(lab_, alone, parts_, out_.regions);
    CheckingTask checking;
    checking.graph = out_.assembled.stored;
    checking.incumbent = {"incumbent", incumbent.plan};
    checking.incumbent_ns = prepared_.incumbent_ns.at(region_.key);
    checking.profile = profile_of(trace_, region_.key);
    checking.region = region_.key;
    checking.roundings = graph::longest_chain_of_roundings(alone);
    checking.looks_end_ns = checking.deadline_ns = lab_.now("parts");
    Checking check(lab_, checking);
    const Subject parts{"in parts", out_.assembled.plan};
    const Examined examined = check.round({parts}).front();
    out_.judgement = examined.judgement;
    if (examined.outcome != Examined::Outcome::right) {
      out_.reason = fmt::format("in parts it is {}: {}", name(out_.judgement.verdict), out_.judgement.reason);
      return;
    }
    std::vector<Subject> subjects = {{"incumbent", incumbent.plan}, parts};
    if (whole_.winner)
      subjects.push_back({"one kernel", assemble(alone, whole_region(alone, region_), {*whole_.winner},
                                                 out_.assembled.stored.constants, lab_.threads())});
    const policies::Policy& policy = lab_.input().policy;
    const SampleFact samples =
        lab_.measure(subjects, Lab::Extent::region, policy.confirm_samples, false,
                     seed_for(lab_.input(), region_.key, "in parts"), check.proof());
    const Judgement timed = judge_timed(samples.subjects.at(1), policy, checking.roundings);
    if (timed.verdict != Verdict::ok) {
      out_.judgement = timed;
      out_.reason = fmt::format("in parts it is {}: {}", name(timed.verdict), timed.reason);
      return;
    }
    const auto over = [&](std::size_t before) {
      return compare(samples.subjects.at(before).cost(), samples.subjects.at(1).cost(), samples.cycles_per_ns,
                     policy.margin, policy.confidence);
    };
    out_.time = summary_of(samples.subjects.at(1), policy.confidence);
    out_.speed_up = over(0);
    if (whole_.winner && samples.subjects.at(2).verdict == Verdict::ok) out_.over_winner = over(2);
    out_.measured = true;
  }

  Lab& lab_;
  Phases& phases_;
  const Prepared& prepared_;
  const PartsTask& task_;
  const Trace& trace_;
  const Region& region_;
  const RegionOutcome& whole_;  // as one kernel
  Prepared parts_;
  InParts out_;
};

void record(Lab& lab, const RegionOutcome& region) {
  const InParts& parts = *region.in_parts;
  lab.journal().decision("parts/" + region.region, json::object{{"measured", parts.measured},
                                                                {"speed_up", to_json(parts.speed_up)},
                                                                {"over_winner", to_json(parts.over_winner)},
                                                                {"reason", parts.reason},
                                                                {"choice", to_json(region.choice)}});
}

}  // namespace

std::vector<PartsTask> parts_of(const Lab& lab, const Prepared& prepared, const TuningPlan& plan) {
  const Buildable accepted = buildable(lab, Purpose::candidate);
  std::vector<PartsTask> out;
  for (const RegionPlan& region : plan.regions) {
    const std::size_t index = prepared.index(region.region);
    std::optional<Baseline> parts =
        in_parts(prepared.partition.regions[index], prepared.standalone[index], accepted);
    if (parts) out.push_back({index, std::move(*parts), region.budget_share, region.worth_looking});
  }
  return out;
}

double share_of(const std::vector<PartsTask>& tasks) {
  double shares = 0;
  for (const PartsTask& task : tasks) shares += task.share;
  return kPartsShare * std::min(1.0, shares);
}

void try_in_parts(Lab& lab, Phases& phases, const Prepared& prepared, const std::vector<PartsTask>& tasks, Trace& trace,
                  const SearchTime& time) {
  double shares_left = 0;
  for (const PartsTask& task : tasks) shares_left += task.share;
  for (const PartsTask& task : tasks) {
    const std::string& key = prepared.partition.regions[task.region].key;
    const auto region = std::find_if(trace.regions.begin(), trace.regions.end(),
                                     [&](const RegionOutcome& outcome) { return outcome.region == key; });
    const double share = shares_left > 0 ? task.share / shares_left : 1;
    shares_left -= task.share;
    if (region == trace.regions.end() || region->candidates.empty()) continue;
    const std::int64_t now = lab.now("in parts");
    SearchTime own = time;
    if (now < time.end_ns)
      own.end_ns = now + static_cast<std::int64_t>(share * static_cast<double>(time.end_ns - now));
    InPartsTrial trial(lab, phases, prepared, task, trace);
    const auto tried = std::make_shared<const InParts>(trial.run(own));
    region->choice = trial.choice(*tried);
    region->in_parts = tried;
    record(lab, *region);
  }
}

}  // namespace kiln::agents
