#include "agents/conductor/conductor.h"

#include <algorithm>

#include "agents/conductor/check_effort.h"
#include "agents/conductor/first_steps.h"
#include "agents/conductor/whole_plans.h"
#include "agents/graph/roundings.h"
#include "agents/planner/memory.h"
#include "runtime/base/digest.h"
#include "runtime/base/json.h"

namespace kiln::agents {
namespace {

constexpr double kSearchShare = 0.85;      // of what is left after profiling; the rest decides
constexpr double kLeastSearchShare = 0.75;  // of the budget, however long the building of what runs today took
constexpr double kLooksShare = 0.5;        // of a search's time at most, kept for one look at each region to come

// Times phases on the recorded clock and tells the operator where the job is.
class Phases {
 public:
  Phases(Lab& lab, Trace& trace) : lab_(lab), trace_(trace) {}

  void begin(const std::string& phase, double fraction, const std::string& detail = {}) {
    const std::int64_t now = lab_.now(phase);
    if (!trace_.timeline.empty()) trace_.timeline.back().end_ns = now;
    trace_.timeline.push_back({phase, now, now, detail});
    lab_.journal().progress({phase, fraction, json::object{{"detail", detail}}});
  }
  void end() { trace_.timeline.back().end_ns = lab_.now("end"); }

 private:
  Lab& lab_;
  Trace& trace_;
};


// The gain of the rewrites apart from that of the kernels: the same kind of plan for both graphs, in turns.
void measure_algebra(Lab& lab, const Plan& baseline, const graph::Graph& workload, AlgebraOutcome& algebra) {
  if (algebra.rewrites.empty()) return;
  const Assembled after = incumbent_of(lab, workload);
  const SampleFact samples = lab.measure({{"as written", baseline}, {"rewritten", after.plan}}, Lab::Extent::workload,
                                         lab.input().policy.confirm_samples, false, lab.input().seed);
  for (const SampleFact::Subject& subject : samples.subjects)
    if (subject.verdict != Verdict::ok)
      throw Error(ErrorCode::unavailable, "cannot time the baseline '" + subject.name +
                                              "': " + std::string(name(subject.verdict)) + ": " + subject.evidence);
  algebra.speed_up = compare(samples.subjects.at(0).cost(), samples.subjects.at(1).cost(), samples.cycles_per_ns,
                             lab.input().policy.margin, lab.input().policy.confidence);
}

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

// In the plan's order, each of the time that a look at each of those after it leaves; what a region leaves of its share
// goes to them. When the time is over, those not worth looking at run what the incumbent does.
void search_regions(Lab& lab, Phases& phases, const Prepared& prepared, Trace& trace, std::int64_t search_end_ns) {
  double shares_left = 0;
  for (const RegionPlan& region : trace.plan.regions) shares_left += region.budget_share;
  const std::size_t count = trace.plan.regions.size();
  std::int64_t candidate_ns = 0;
  std::map<std::string, std::int32_t> wins;
  std::size_t built = 0;
  std::int64_t least_look_ns = 0;  // that a region took
  for (std::size_t i = 0; i < count; ++i) {
    const RegionPlan& region_plan = trace.plan.regions[i];
    const std::size_t index = prepared.index(region_plan.region);
    const Region& region = prepared.partition.regions[index];
    const double fraction = 0.1 + 0.8 * static_cast<double>(i) / static_cast<double>(count);
    phases.begin("search/" + region.key, fraction, region.label);
    std::int64_t now = trace.timeline.back().begin_ns;
    const double share = shares_left > 0 ? region_plan.budget_share / shares_left : 1;
    shares_left -= region_plan.budget_share;
    if (now >= search_end_ns && !region_plan.worth_looking) {
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
    task.each_template = region_plan.worth_looking;
    task.wins = wins;
    const auto left_ns = static_cast<double>(std::max<std::int64_t>(0, search_end_ns - now));
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

// Nothing was found that the incumbent does not run already; what was learned is still reported.
Decision keep_incumbent(std::size_t regions) {
  Decision d;
  d.reason = "kept the incumbent: its own kernels are the fastest right ones of all " + std::to_string(regions) +
             " regions";
  return d;
}

// The last word: the whole workload against the oracle, then against what runs today, here and in a fresh process.
WholeOutcome judge_whole(Lab& lab, const graph::Graph& workload, const Plan& incumbent, const Plan& tuned,
                         const ProfileReport& profile) {
  const policies::Policy& policy = lab.input().policy;
  policies::Policy release_policy = policy;  // a release as a whole is held to the quality bar
  release_policy.error_factor = policy.quality_bar;
  double flops = 0, bytes = 0;
  for (const RegionProfile& region : profile.regions) {
    flops += region.flops * region.occurrences;
    bytes += region.bytes * region.occurrences;
  }
  std::vector<std::string> families = check_families(flops, bytes);
  if (flops > 1e9) families.resize(1);
  const Lab::StoredGraph stored{lab.input().graph_blob, lab.input().constants_blob};
  const double roundings = graph::longest_chain_of_roundings(workload);
  WholeOutcome out;
  const auto begin = [&lab](double fraction, const char* what) {
    lab.journal().progress({"decide", fraction, json::object{{"detail", what}}});
  };
  begin(0.91, "what runs today, against the oracle");
  out.incumbent_judgement =
      judge(lab.check(stored, {"incumbent", incumbent}, families, lab.input().seed), policy, roundings);
  // A release that was right under the policy of its day may miss today's; the baseline of a first job has no such
  // excuse.
  if (!lab.input().incumbent && out.incumbent_judgement.verdict != Verdict::ok)
    throw Error(ErrorCode::internal, "cannot compare with the baseline: it is " +
                                         std::string(name(out.incumbent_judgement.verdict)) + ": " +
                                         out.incumbent_judgement.reason);
  begin(0.92, "the tuned plan, against the oracle");
  out.judgement =
      judge(lab.check(stored, {"tuned", tuned}, families, lab.input().seed), release_policy, roundings);
  const std::vector<Subject> both = {{"incumbent", incumbent}, {"tuned", tuned}};
  const auto compared = [&](const SampleFact& samples) {
    for (const SampleFact::Subject& subject : samples.subjects)
      if (subject.verdict != Verdict::ok)
        throw Error(ErrorCode::unavailable, "cannot time plan '" + subject.name +
                                                "': " + std::string(name(subject.verdict)) + ": " + subject.evidence);
    const Judgement timed = judge_timed(samples.subjects.at(1), release_policy, roundings);
    if (timed.verdict != Verdict::ok) out.judgement = timed;
    return compare(samples.subjects.at(0).cost(), samples.subjects.at(1).cost(), samples.cycles_per_ns, policy.margin,
                   policy.confidence);
  };
  const Proof proof{stored.graph, stored.constants, families.front(), lab.input().seed};
  begin(0.93, "both plans in turns");
  out.search_process =
      compared(lab.measure(both, Lab::Extent::workload, policy.confirm_samples, false, lab.input().seed, proof));
  begin(0.95, "both plans in turns, in a fresh process");
  const SampleFact fresh =
      lab.measure(both, Lab::Extent::workload, policy.confirm_samples, true, lab.input().seed + 1, proof);
  out.fresh_process = compared(fresh);
  out.incumbent = summary_of(fresh.subjects.at(0), policy.confidence);
  out.tuned = summary_of(fresh.subjects.at(1), policy.confidence);
  out.decision = decide(out.judgement, out.search_process, out.fresh_process, policy);
  return out;
}

json::object memory_of_both(const JobOutcome& outcome, const graph::Graph& workload) {
  const auto of = [](const Plan& plan) {
    const PlanMemory memory = memory_of(plan);
    return json::object{{"weights", memory.weights}, {"prepared", memory.prepared}, {"working", memory.working}};
  };
  return {{"baseline", of(outcome.baseline)}, {"tuned", of(outcome.tuned)}, {"eager", eager_working_bytes(workload)}};
}

// Later jobs start from times of calls alone, whatever they minimize.
json::array priors_of(const Trace& trace, const policies::Policy& policy) {
  json::array out;
  if (policy.objective != "latency") return out;
  for (const RegionOutcome& region : trace.regions)
    for (const CandidateRecord& record : region.candidates)
      out.emplace_back(json::object{{"region", region.region}, {"variant", to_json(record.variant)},
                                    {"verdict", name(record.verdict)}, {"median_ns", record.median_ns}});
  return out;
}

}  // namespace

JobOutcome run_job(const JobInput& input, Workbench& bench, BlobStore& blobs, Journal& journal,
                   const std::function<json::array(const std::string& region)>& priors,
                   const std::function<std::int64_t()>& clock_ns) {
  Lab lab(input, bench, blobs, journal, priors, clock_ns);
  require_computable(lab);
  Trace trace;
  Phases phases(lab, trace);

  phases.begin("profile", 0.0, "measuring the node");
  const std::int64_t begin_ns = trace.timeline.front().begin_ns;
  lab.probe();

  phases.begin("baseline", 0.03, "building what runs today");
  const Assembled base = incumbent_of(lab, input.workload);
  const graph::Graph workload = rewritten(lab, trace.algebra);
  measure_algebra(lab, base.plan, workload, trace.algebra);
  const Prepared prepared = measure_incumbents(
      lab, workload, partition_fused(workload, buildable(lab, Purpose::candidate)), trace.algebra);

  phases.begin("plan", 0.09);
  trace.profile = profile(lab.node(), prepared.partition);
  journal.decision("profile_report", to_json(trace.profile));
  trace.plan = plan(prepared.partition, trace.profile, prepared.incumbent_ns, input.corpus, input.policy);
  journal.decision("tuning_plan", to_json(trace.plan));

  const std::int64_t now = trace.timeline.back().begin_ns;
  const auto budget_ns = static_cast<double>(input.policy.seconds) * 1e9;
  const double left_ns = budget_ns - static_cast<double>(now - begin_ns);
  search_regions(lab, phases, prepared, trace,
                 now + static_cast<std::int64_t>(std::max(kSearchShare * left_ns, kLeastSearchShare * budget_ns)));

  phases.begin("decide", 0.9, "whole workload against the oracle and what runs today");
  JobOutcome out;
  out.baseline = base.plan;
  const Plan today = input.incumbent.value_or(base.plan);
  std::optional<Composed> composed =
      best_plan(lab, workload, prepared, today, begin_ns + static_cast<std::int64_t>(budget_ns), trace);
  if (!composed) {
    trace.whole.decision = keep_incumbent(trace.regions.size());
  } else {
    out.tuned = std::move(composed->plan);
    out.sources = std::move(composed->sources);
    trace.whole = judge_whole(lab, workload, today, out.tuned, trace.profile);
    out.right = trace.whole.judgement.verdict == Verdict::ok;
  }
  journal.decision("decision", to_json(trace.whole.decision));
  phases.end();
  trace.objects = lab.objects();

  out.promote = trace.whole.decision.promote && input.policy.automatic;
  out.decision = to_json(trace.whole.decision);
  out.summary = summary_rows(trace);
  out.speed_up = to_json(trace.whole.fresh_process);
  out.algebraic = to_json(trace.algebra);
  out.memory = memory_of_both(out, input.workload);
  out.objects = to_json(trace.objects);
  out.trace = to_json(trace, input);
  out.artifacts = artifacts(trace);
  out.priors = priors_of(trace, input.policy);
  journal.progress({"decide", 0.97, json::object{}});
  return out;
}

}  // namespace kiln::agents
