#include "agents/conductor/conductor.h"

#include <algorithm>

#include "agents/conductor/check_effort.h"
#include "agents/conductor/first_steps.h"
#include "agents/conductor/in_parts.h"
#include "agents/conductor/search_regions.h"
#include "agents/conductor/whole_plans.h"
#include "agents/graph/roundings.h"
#include "agents/planner/memory.h"
#include "runtime/base/digest.h"
#include "runtime/base/json.h"

namespace kiln::agents {
namespace {

constexpr double kSearchShare = 0.85;      // of what is left after profiling; the rest decides
constexpr double kLeastSearchShare = 0.75;  // of the budget, however long the building of what runs today took

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
  Phases phases(lab, trace.timeline);

  const std::int64_t begin_ns = phases.begin("profile", 0.0, "measuring the node");
  lab.probe();

  (void)phases.begin("baseline", 0.03, "building what runs today");
  const Assembled base = incumbent_of(lab, input.workload);
  const graph::Graph workload = rewritten(lab, trace.algebra);
  measure_algebra(lab, base.plan, workload, trace.algebra);
  const Prepared prepared = measure_incumbents(
      lab, workload, partition_fused(workload, buildable(lab, Purpose::candidate)), trace.algebra);

  const std::int64_t now = phases.begin("plan", 0.09);
  trace.profile = profile(lab.node(), prepared.partition);
  journal.decision("profile_report", to_json(trace.profile));
  trace.plan = plan(prepared.partition, trace.profile, prepared.incumbent_ns, input.corpus, input.policy);
  journal.decision("tuning_plan", to_json(trace.plan));

  const auto budget_ns = static_cast<double>(input.policy.seconds) * 1e9;
  const double left_ns = budget_ns - static_cast<double>(now - begin_ns);
  const double search_ns = std::max(kSearchShare * left_ns, kLeastSearchShare * budget_ns);
  const std::vector<PartsTask> in_parts = parts_of(lab, prepared, trace.plan);
  const double whole_ns = search_ns * (1 - share_of(in_parts));
  search_regions(lab, phases, prepared, trace, {now + static_cast<std::int64_t>(whole_ns), 0.1, 0.85});
  try_in_parts(lab, phases, prepared, in_parts, trace, {now + static_cast<std::int64_t>(search_ns), 0.85, 0.9});

  (void)phases.begin("decide", 0.9, "whole workload against the oracle and what runs today");
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
