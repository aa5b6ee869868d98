#include "agents/conductor/tune_region.h"

#include <fmt/format.h>

#include <algorithm>

#include "agents/conductor/alone.h"
#include "agents/conductor/check_effort.h"
#include "agents/conductor/check_order.h"
#include "agents/conductor/checking.h"
#include "agents/conductor/costs.h"
#include "agents/conductor/first_steps.h"
#include "agents/conductor/race.h"
#include "agents/graph/roundings.h"
#include "agents/writer/constructs.h"
#include "agents/writer/writer.h"
#include "runtime/base/error.h"

namespace kiln::agents {
namespace {

constexpr std::int32_t kRaceSamples = 5;  // of everyone, docs/measuring.md
constexpr std::size_t kFinalists = 6;     // that get the policy's confirm_samples
// The same where a sample is a mean over half a second of calls (Lab::counts_slowly).
constexpr std::int32_t kSlowRaceSamples = 1;
constexpr std::size_t kSlowFinalists = 3;
constexpr std::int32_t kLateSamples = 9;  // of a race after the region's time: seven can show a difference
constexpr std::size_t kCarried = 3;       // of another region's candidates
constexpr double kProposingShare = 0.6;   // of a region's time; the rest confirms and races what was found

// The state of one region's search. Its members are only ever appended to; the verdicts of a round are final.
class RegionSearch {
 public:
  RegionSearch(Lab& lab, const RegionTask& task)
      : lab_(lab),
        task_(task),
        whole_(whole_region(task.standalone, *task.region)),
        kernel_(one_kernel(whole_.regions.front())),
        candidates_(likely_first(candidates_for(lab, whole_.regions.front(), kernel_, Purpose::candidate), task.wins)),
        stored_(lab.store_graph(task.standalone)),
        priors_(lab.priors(task.region->key)),
        at_once_(subjects_at_once(lab.node(), task.profile->bytes)),
        profile_(*task.profile),
        repaired_(carried_over(candidates_.spaces, task.hints, kCarried)) {
    profile_ = profile_again();  // an earlier region may have raised the ceilings
    out_.region = task.region->key;
    out_.label = task.region->label;
    out_.incumbent_label = op_by_op_label(task.incumbent);
  }

  RegionOutcome run(const RegionProgress& progress) {
    std::int32_t round = 0;
    while (stop_reason().empty()) {
      const std::int64_t round_begin_ns = now_ns_;
      const std::vector<Proposal> proposals = next(round);
      if (proposals.empty()) {
        out_.stopped_because = "every configuration was tried";
        break;
      }
      try_all(proposals, round);
      out_.learned = uncontradicted(std::move(out_.learned), trials_);
      progress(out_);
      ++round;
      now_ns_ = lab_.now("round");
      joules_ = lab_.joules();
      out_.candidate_ns = (now_ns_ - round_begin_ns) / static_cast<std::int64_t>(proposals.size());
    }
    race();
    return std::move(out_);
  }

 private:
  struct Built {
    std::size_t record;  // index into out_.candidates
    BuiltKernel kernel;
    BuildFact fact;
    Plan plan;
    Judgement judgement;
  };

  [[nodiscard]] Subject subject_of(const Built& built) const {
    return {digest_of(out_.candidates[built.record].variant), built.plan};
  }

  [[nodiscard]] CheckingTask checking_task() const {
    CheckingTask checking;
    checking.graph = stored_;
    checking.incumbent = {"incumbent", task_.incumbent.plan};
    checking.incumbent_ns = task_.incumbent_ns;
    checking.profile = *task_.profile;
    checking.region = task_.region->key;
    checking.roundings = roundings_;
    checking.at_once = at_once_;
    checking.looks_end_ns = proposing_end_ns_;
    checking.deadline_ns = task_.deadline_ns;
    return checking;
  }

  // Empty while the search should go on.
  const std::string& stop_reason() {
    if (static_cast<std::int32_t>(out_.candidates.size()) >= lab_.input().policy.max_candidates_per_region)
      out_.stopped_because = "the policy's number of candidates was reached";
    else if (near_floor(best_, least_ns(), lab_.input().policy))
      out_.stopped_because = "the best is near its floor";
    else if (!out_.candidates.empty() && joules_ > lab_.input().policy.energy_joules)
      out_.stopped_because = "the policy's budget of energy was spent";
    else if (!out_.candidates.empty() && now_ns_ >= proposing_end_ns_)
      out_.stopped_because = "its share of the budget was spent";
    return out_.stopped_because;
  }

  [[nodiscard]] bool out_of_time(std::string_view at) { return lab_.now(at) >= task_.deadline_ns; }

  std::vector<Proposal> next(std::int32_t round) {
    std::vector<Proposal> proposals = std::move(repaired_);
    repaired_.clear();
    const std::int64_t each_ns = out_.candidate_ns > 0 ? out_.candidate_ns : task_.candidate_ns;
    const policies::Policy& policy = lab_.input().policy;
    const auto allowed = policy.max_candidates_per_region - static_cast<std::int32_t>(out_.candidates.size());
    const std::int32_t batch = round_size(std::min(allowed, first_round_size(lab_.node(), policy)),
                                          task_.each_template ? candidates_.specs.size() : 1, each_ns,
                                          proposing_end_ns_ - now_ns_) -
                               static_cast<std::int32_t>(proposals.size());
    const std::uint64_t seed = seed_for(lab_.input(), out_.region, "round " + std::to_string(round));
    for (Proposal& p : propose(candidates_.spaces, trials_, priors_, out_.learned, seed, std::max(1, batch))) {
      const bool waiting =
          std::any_of(proposals.begin(), proposals.end(), [&](const Proposal& q) { return q.variant == p.variant; });
      if (!waiting) proposals.push_back(std::move(p));
    }
    return proposals;
  }

  void try_all(const std::vector<Proposal>& proposals, std::int32_t round) {
    std::vector<RenderedKernel> rendered;
    std::vector<std::size_t> records;
    for (const Proposal& proposal : proposals) {
      CandidateRecord record;
      record.variant = proposal.variant;
      record.why = proposal.why;
      try {
        RenderedKernel kernel = render(candidates_.spec_of(proposal.variant), whole_.regions.front(), kernel_,
                                       proposal.variant, candidates_.figures, candidates_.node);
        record.source = lab_.blobs().put(kernel.source);
        if (const auto place = forbidden_construct(kernel, lab_.input().policy.forbidden)) {
          fail(record, failure(kernel, Verdict::forbidden, "the policy forbids " + *place, std::nullopt, std::nullopt));
        } else {
          rendered.push_back(std::move(kernel));
          records.push_back(out_.candidates.size());
        }
      } catch (const Error& error) {
        record.reason = error.what();
        trials_.push_back({proposal.variant, Verdict::invalid, 0});
      }
      out_.candidates.push_back(std::move(record));
    }
    std::vector<Built> right = build_and_check(rendered, records);
    measure(right, round);
    diagnose_failures();
  }

  std::vector<Built> build_and_check(const std::vector<RenderedKernel>& rendered,
                                     const std::vector<std::size_t>& records) {
    std::vector<Built> built = build(rendered, records);
    std::vector<Subject> subjects;
    for (const Built& b : built) subjects.push_back(subject_of(b));
    std::vector<Built> right;
    std::vector<std::size_t> untried;
    for (Examined& one : checking_.round(subjects)) {
      Built& candidate = built[one.subject];
      switch (one.outcome) {
        case Examined::Outcome::right:
          candidate.judgement = std::move(one.judgement);
          right.push_back(std::move(candidate));
          break;
        case Examined::Outcome::failed: fail(candidate, one, candidate.fact); break;
        case Examined::Outcome::passed_over: pass_over(candidate.record, one); break;
        case Examined::Outcome::untried: untried.push_back(candidate.record); break;
      }
    }
    forget(std::move(untried), right);
    return right;
  }

  // Those that compiled.
  std::vector<Built> build(const std::vector<RenderedKernel>& rendered, const std::vector<std::size_t>& records) {
    std::vector<Built> out;
    const std::vector<BuildOutcome> outcomes = lab_.build(rendered);
    for (std::size_t i = 0; i < outcomes.size(); ++i) {
      CandidateRecord& record = out_.candidates[records[i]];
      record.build_ns = outcomes[i].fact.build_ns;
      if (!outcomes[i].ok()) {
        const std::vector<Diagnostic>& said = outcomes[i].fact.diagnostics;
        fail(record, failure(rendered[i], outcomes[i].fact.verdict, said.empty() ? "" : said.front().message,
                             outcomes[i].fact, std::nullopt));
        continue;
      }
      out.push_back({records[i], {outcomes[i].kernel, outcomes[i].fact.object}, outcomes[i].fact, {}, {}});
      out.back().plan = assemble(task_.standalone, whole_, {out.back().kernel}, stored_.constants, lab_.threads());
    }
    return out;
  }

  void pass_over(std::size_t record, const Examined& one) {
    out_.candidates[record].verdict = Verdict::slower;
    out_.candidates[record].reason =
        fmt::format("not checked: a look at it took {:.1f} times as long as at the best", one.times_best);
    passed_.push_back({record, one.relative});
  }

  // The search learns from the times of those that were not worth a check; nothing else does.
  void settle_passed() {
    for (const auto& [record, relative] : passed_) {
      CandidateRecord& passed = out_.candidates[record];
      passed.median_ns = passed.cost = relative * first_incumbent_.ns;
      trials_.push_back({passed.variant, passed.verdict, passed.cost});
    }
    passed_.clear();
  }

  // Candidates that there was no time to check were not tried: nothing is known of them.
  void forget(std::vector<std::size_t> untried, std::vector<Built>& kept) {
    std::sort(untried.rbegin(), untried.rend());
    for (const std::size_t record : untried) {
      out_.candidates.erase(out_.candidates.begin() + static_cast<std::ptrdiff_t>(record));
      for (Built& built : kept) built.record -= built.record > record ? 1 : 0;
      for (auto& [passed, relative] : passed_) passed -= passed > record ? 1 : 0;
    }
  }

  void measure(std::vector<Built>& right, std::int32_t round) {
    for (std::size_t begin = 0; begin < right.size(); begin += at_once_ - 1) {
      const std::size_t end = std::min(right.size(), begin + at_once_ - 1);
      std::vector<Subject> subjects = {{"incumbent", task_.incumbent.plan}};
      for (std::size_t i = begin; i < end; ++i) subjects.push_back(subject_of(right[i]));
      const bool only = round == 0 && right.size() < at_once_ && out_of_time("measure");  // then this is the race
      const SampleFact samples =
          lab_.measure(subjects, Lab::Extent::region, only ? late_samples_ : race_samples_, false,
                       seed_for(lab_.input(), out_.region, "measure " + std::to_string(round)), checking_.proof());
      only_ = only ? std::optional(samples) : std::nullopt;  // a node that restarted has more time again
      const Costs incumbent = costs_of(samples.subjects.at(0));
      if (first_incumbent_.ns == 0) first_incumbent_ = incumbent;
      for (std::size_t i = begin; i < end; ++i) {
        const SampleFact::Subject& subject = samples.subjects.at(1 + i - begin);
        if (end - begin > 1 && may_be_of_others(subject.verdict))
          measure_alone(right[i], round);
        else
          settle(right[i], subject, incumbent);
      }
    }
    settle_passed();
    for (Built& built : right) {
      const Verdict verdict = out_.candidates[built.record].verdict;
      if (verdict == Verdict::ok || verdict == Verdict::slower) good_.push_back(std::move(built));
    }
  }

  // Beside the incumbent.
  void measure_alone(const Built& built, std::int32_t round) {
    const SampleFact samples = lab_.measure(
        {{"incumbent", task_.incumbent.plan}, subject_of(built)}, Lab::Extent::region, race_samples_, false,
        seed_for(lab_.input(), out_.region, "measure " + std::to_string(round)), checking_.proof());
    settle(built, samples.subjects.at(1), costs_of(samples.subjects.at(0)));
  }

  // Medians of different rounds are compared over the incumbent's, which is in every round: the clock drifts.
  void settle(const Built& built, const SampleFact::Subject& subject, const Costs& incumbent) {
    CandidateRecord& record = out_.candidates[built.record];
    const Judgement timed = judge_timed(subject, lab_.input().policy, roundings_);
    if (timed.verdict != Verdict::ok)
      return fail(record, failure(built.kernel.kernel, timed.verdict, timed.reason, std::nullopt, std::nullopt));
    const Costs raw = costs_of(subject);
    record.median_ns = raw.ns * first_incumbent_.ns / incumbent.ns;
    record.cost = raw.objective * first_incumbent_.objective / incumbent.objective;
    // Ceilings that were measured beside other load make right kernels look too fast.
    while (implausible(raw.ns, least_ns()) && lab_.raise_ceilings()) profile_ = profile_again();
    if (implausible(raw.ns, least_ns()))
      return fail(record, failure(built.kernel.kernel, Verdict::implausible, "faster than the measured roofline allows",
                                  std::nullopt, std::nullopt));
    record.verdict = raw.objective > incumbent.objective ? Verdict::slower : Verdict::ok;
    record.reason = record.verdict == Verdict::ok ? "right and measured" : "right, but behind the incumbent";
    trials_.push_back({record.variant, record.verdict, record.cost});
    if (best_ == 0 || record.cost < best_) best_ = record.cost;
  }

  [[nodiscard]] double least_ns() const { return floor_ns(profile_, lab_.input().policy, lab_.node()); }

  // Over the ceilings as they are known now.
  [[nodiscard]] RegionProfile profile_again() const {
    RegionProfile again = profile(lab_.node(), {{*task_.region}, {}}).regions.front();
    again.occurrences = profile_.occurrences;
    return again;
  }

  static Failure failure(const RenderedKernel& kernel, Verdict verdict, const std::string& reason,
                         const std::optional<BuildFact>& build, const std::optional<CheckFact>& check) {
    return {kernel.variant, verdict, build, check, reason, kernel.source, kernel.run.back().tasks};
  }

  void fail(CandidateRecord& record, const Failure& failed) {
    record.verdict = failed.verdict;
    record.reason = failed.evidence;
    trials_.push_back({record.variant, failed.verdict, 0});
    failures_.push_back(failed);
  }

  void fail(const Built& built, const Examined& one, const std::optional<BuildFact>& build) {
    fail(out_.candidates[built.record],
         failure(built.kernel.kernel, one.judgement.verdict, one.judgement.reason, build, one.check));
  }

  // At the end of a round, so that what worked in it bounds the causes of what failed.
  void diagnose_failures() {
    for (const Failure& failed : failures_) {
      Diagnosis diagnosis = diagnose(failed, candidates_.spaces, trials_);
      if (diagnosis.learned) out_.learned.push_back(*diagnosis.learned);
      const auto waits = [&](const Proposal& p) { return p.variant == *diagnosis.repaired; };
      if (diagnosis.repaired && std::none_of(repaired_.begin(), repaired_.end(), waits))
        repaired_.push_back({*diagnosis.repaired, "repaired"});
      out_.diagnoses.push_back(std::move(diagnosis));
    }
    failures_.clear();
  }

  // The fastest, as many as are finalists, of those that further rounds of fresh values confirm.
  void choose_finalists() {
    std::stable_sort(good_.begin(), good_.end(), [&](const Built& a, const Built& b) {
      return out_.candidates[a.record].cost < out_.candidates[b.record].cost;
    });
    std::vector<Built> chosen;
    for (Built& built : good_) {
      if (chosen.size() == finalists_ || (!chosen.empty() && out_of_time("finalist"))) break;
      if (const std::optional<Examined> wrong = checking_.refutation(subject_of(built)))
        fail(built, *wrong, std::nullopt);
      else
        chosen.push_back(std::move(built));
    }
    good_ = std::move(chosen);
    diagnose_failures();
  }

  void race() {
    choose_finalists();
    if (good_.empty()) return;
    std::vector<Subject> subjects = {{"incumbent", task_.incumbent.plan}};
    std::vector<Finalist> finalists;
    for (const Built& built : good_) {
      subjects.push_back(subject_of(built));
      finalists.push_back({subjects.back().name, built.kernel, built.judgement});
    }
    const policies::Policy& policy = lab_.input().policy;
    const SampleFact samples = only_ ? *only_
                                     : lab_.measure(subjects, Lab::Extent::region,
                                                    out_of_time("race") ? late_samples_ : policy.confirm_samples, false,
                                                    seed_for(lab_.input(), out_.region, "race"),
                                                    checking_.proof());
    settle_race(finalists, samples, {policy, roundings_}, profile_, out_);
  }

  Lab& lab_;
  const RegionTask& task_;
  const Partition whole_;
  const Kernel kernel_;
  const Candidates candidates_;
  const Lab::StoredGraph stored_;
  const std::vector<Trial> priors_;
  const std::int32_t race_samples_ = lab_.counts_slowly() ? kSlowRaceSamples : kRaceSamples;
  const std::size_t finalists_ = lab_.counts_slowly() ? kSlowFinalists : kFinalists;
  const std::int32_t late_samples_ = std::min(kLateSamples, lab_.input().policy.confirm_samples);
  const std::size_t at_once_;  // subjects of one interleaved measurement, the incumbent among them

  const std::int64_t proposing_end_ns_ =
      task_.begin_ns +
      static_cast<std::int64_t>(kProposingShare * static_cast<double>(task_.deadline_ns - task_.begin_ns));
  std::int64_t now_ns_ = task_.begin_ns;  // at the beginning of the round at work

  const double roundings_ = graph::longest_chain_of_roundings(task_.standalone);
  RegionProfile profile_;
  Checking checking_{lab_, checking_task()};
  std::vector<Trial> trials_;
  std::vector<Failure> failures_;  // of the round at work
  std::vector<Proposal> repaired_;  // or carried over: what a round begins with
  std::vector<Built> good_;  // right and measured, slower ones too: the plan needs a kernel for every region
  double best_ = 0, joules_ = 0;  // by the objective; of the job so far
  std::vector<std::pair<std::size_t, double>> passed_;  // of the round at work: record, and its look's relative time
  Costs first_incumbent_;
  std::optional<SampleFact> only_;  // of the only round of a region whose time is over
  RegionOutcome out_;
};

}  // namespace

RegionOutcome tune_region(Lab& lab, const RegionTask& task, const RegionProgress& progress) {
  return RegionSearch(lab, task).run(progress);
}

}  // namespace kiln::agents
