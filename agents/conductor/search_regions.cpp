#include "agents/conductor/search_regions.h"

#include <algorithm>

#include "agents/conductor/first_steps.h"
#include "runtime/base/error.h"
#include "runtime/base/json.h"

namespace kiln::agents {
namespace {

constexpr double kLooksShare = 0.5;  // of a search's time at most, kept for one look at each region to come

json::object region_progress(const RegionOutcome& region, std::size_t index, std::size_t count) {
  std::size_t failed = 0;
  double best_ns = 0;
  for (const CandidateRecord& record : region.candidates) {
    if (record.verdict != Verdict::ok && record.verdict != Verdict::slower) ++failed;
    if (record.median_ns > 0 && (best_ns == 0 || record.median_ns < best_ns)) best_ns = record.median_ns;
  }
  return {{"region", region.label}, {"index", index},    {"regions", count}, {"tried", region.candidates.size()},
          {"failed", failed},       {"best_ns", best_ns}};
}

// A region that no time was left for, as what it runs on today.
RegionOutcome unsearched(const Prepared& prepared, std::size_t index) {
  RegionOutcome out;
  out.region = prepared.partition.regions[index].key;
  out.label = prepared.partition.regions[index].label;
  out.incumbent_label = op_by_op_label(prepared.incumbents[index]);
  out.incumbent = prepared.incumbent_time[index];
  out.stopped_because = "no budget was left for it";
  return out;
}

void decide_region(Lab& lab, RegionOutcome& outcome) {
  outcome.choice =
      choose(outcome.winner.has_value(), outcome.candidates.size(), outcome.speed_up, lab.input().policy);
  json::array tried;
  for (const CandidateRecord& record : outcome.candidates)
    tried.emplace_back(json::object{{"variant", digest_of(record.variant)}, {"verdict", name(record.verdict)}});
  lab.journal().decision(
      "region/" + outcome.region,
      json::object{{"candidates", tried},
                   {"speed_up", to_json(outcome.speed_up)},
                   {"winner", outcome.winner ? digest_of(outcome.winner->kernel.variant) : "none"},
                   {"choice", to_json(outcome.choice)}});
}

// Builds what the searches of the next regions begin with, together, so that every core has something to compile: alone
// a region of little time has one kernel. Returns the region after them.
std::size_t build_together(Lab& lab, const Prepared& prepared, const TuningPlan& plan, std::size_t from,
                           const std::map<std::string, std::int32_t>& wins) {
  const std::size_t end = std::min(plan.regions.size(), from + 2 * static_cast<std::size_t>(lab.node().cores));
  std::vector<RenderedKernel> first;
  for (std::size_t i = from; i < end; ++i) {
    const Region& region = prepared.partition.regions[prepared.index(plan.regions[i].region)];
    const std::size_t most = plan.regions[i].worth_looking ? lab.input().corpus.size() : 1;
    for (RenderedKernel& kernel : first_kernels(lab, region, wins, most)) first.push_back(std::move(kernel));
  }
  (void)lab.build(first);
  return end;
}

}  // namespace

void search_regions(Lab& lab, Phases& phases, const Prepared& prepared, Trace& trace, const SearchTime& time,
                    const Carried& carried) {
  double shares_left = 0;
  for (const RegionPlan& region : trace.plan.regions) shares_left += region.budget_share;
  const std::size_t count = trace.plan.regions.size();
  std::int64_t candidate_ns = carried.candidate_ns;
  std::map<std::string, std::int32_t> wins;
  std::size_t built = 0;
  std::int64_t least_look_ns = 0;  // that a region took
  for (std::size_t i = 0; i < count; ++i) {
    const RegionPlan& region_plan = trace.plan.regions[i];
    const std::size_t index = prepared.index(region_plan.region);
    const Region& region = prepared.partition.regions[index];
    const double fraction = time.from + (time.to - time.from) * static_cast<double>(i) / static_cast<double>(count);
    std::int64_t now = phases.begin("search/" + region.key, fraction, region.label);
    const double share = shares_left > 0 ? region_plan.budget_share / shares_left : 1;
    shares_left -= region_plan.budget_share;
    if (now >= time.end_ns && !region_plan.worth_looking) {
      trace.regions.push_back(unsearched(prepared, index));
      decide_region(lab, trace.regions.back());
      continue;
    }
    if (i >= built) {
      built = build_together(lab, prepared, trace.plan, i, wins);
      now = lab.now("built ahead");
    }

    RegionTask task;
    task.region = &region;
    const auto profile = std::find_if(trace.profile.regions.begin(), trace.profile.regions.end(),
                                      [&](const RegionProfile& p) { return p.region == region.key; });
    if (profile == trace.profile.regions.end())
      throw Error(ErrorCode::internal, "cannot tune region " + region.key + ": it has no profile");
    task.profile = &*profile;
    task.standalone = prepared.standalone[index];
    task.incumbent = prepared.incumbents[index];
    task.incumbent_ns = prepared.incumbent_ns.at(region.key);
    task.begin_ns = now;
    task.candidate_ns = candidate_ns;
    task.each_template = region_plan.worth_looking && carried.trials.empty();
    task.wins = wins;
    task.hints = carried.trials;
    const auto left_ns = static_cast<double>(std::max<std::int64_t>(0, time.end_ns - now));
    const double looks_ns = static_cast<double>(least_look_ns) * static_cast<double>(count - i - 1);
    task.deadline_ns = now + static_cast<std::int64_t>(share * (left_ns - std::min(looks_ns, kLooksShare * left_ns)));
    RegionOutcome outcome = tune_region(lab, task, [&](const RegionOutcome& so_far) {
      lab.journal().progress({"search/" + region.key, fraction, region_progress(so_far, i, count)});
    });
    if (outcome.candidate_ns > 0) candidate_ns = outcome.candidate_ns;
    const std::int64_t took_ns = lab.now("searched") - now;  // less than nothing after a restart of the node
    if (took_ns > 0 && (least_look_ns == 0 || took_ns < least_look_ns)) least_look_ns = took_ns;
    decide_region(lab, outcome);
    if (outcome.winner && !outcome.choice.split) ++wins[template_of(outcome.winner->kernel.variant)];
    trace.regions.push_back(std::move(outcome));
  }
}

}  // namespace kiln::agents
