#include "agents/conductor/whole_plans.h"

#include <algorithm>
#include <map>
#include <utility>

#include "agents/conductor/costs.h"
#include "agents/conductor/first_steps.h"
#include "agents/planner/memory.h"
#include "runtime/base/json.h"

namespace kiln::agents {
namespace {

constexpr std::int32_t kSamples = 16;     // of each plan: nine of them can show a difference, by the sign test
constexpr std::size_t kKinds = 3;         // of kernels that are taken back in turns
constexpr std::int64_t kMemoryShare = 4;  // one part in so many of the device's memory may hold plans that take turns
constexpr int kMostSpared = 8;            // regions that are given a kernel of less memory

bool of_incumbent(const Kernels& kernels) {
  return std::none_of(kernels.begin(), kernels.end(), [](const Chosen& chosen) { return chosen.own(); });
}

struct Candidate {
  std::string name;
  Kernels kernels;
  std::optional<Composed> composed{};
};

class WholePlans {
 public:
  WholePlans(Lab& lab, const graph::Graph& workload, const Prepared& prepared, const Plan& today, Trace& trace)
      : lab_(lab), policy_(lab.input().policy), workload_(workload), prepared_(prepared), today_(today), trace_(trace) {
    for (const RegionOutcome& region : trace.regions) {
      alone_.push_back(chosen_of(region));
      // Whoever is not known to be slower may be faster in the plan.
      const bool lost = !region.winner || region.speed_up.comparison == Comparison::slower;
      winners_.push_back(lost ? Chosen{} : Chosen{&*region.winner, nullptr});
      if (region.choice.in_parts) winners_.back() = alone_.back();
    }
  }

  std::optional<Composed> run(std::int64_t deadline_ns) {
    if (of_incumbent(winners_)) return std::nullopt;
    const bool in_place = measure_in_place();
    add("alone", alone_);
    if (in_place) add("in place", overruled_in_place());
    add("sure", only_faster());
    add("one kernel", with_parts(false));
    add("in parts", with_parts(true));
    if (candidates_.empty()) return std::nullopt;
    const bool can_choose = candidates_.size() > 1 || !kinds_of(candidates_[0].kernels).empty();
    if (can_choose) compare_all();
    while (can_choose && descend(deadline_ns)) {}
    spare_memory();
    settle();
    return std::move(candidates_[best_].composed);
  }

 private:
  [[nodiscard]] Composed composed(const Kernels& kernels) {
    return compose(lab_, workload_, prepared_, trace_, kernels);
  }

  // False where launches cannot be told apart, or a plan did not run: what they took alone decides then.
  bool measure_in_place() {
    if (lab_.node().gpu || policy_.objective != "latency") return false;
    const Composed incumbent = composed(Kernels(winners_.size())), winners = composed(winners_);
    if (!fit({&incumbent.plan, &winners.plan})) return false;
    const SampleFact samples = lab_.measure_launches({{"incumbent", incumbent.plan}, {"winners", winners.plan}},
                                                     std::min(kSamples, policy_.confirm_samples), seed("in place"));
    const auto before = times_by_region(samples.subjects.at(0), incumbent, winners_.size());
    const auto after = times_by_region(samples.subjects.at(1), winners, winners_.size());
    const auto is_empty = [](const std::vector<double>& times) { return times.empty(); };
    if (std::all_of(before.begin(), before.end(), is_empty) || std::all_of(after.begin(), after.end(), is_empty))
      return false;
    for (std::size_t r = 0; r < winners_.size(); ++r) {
      if (!winners_[r].own() || before[r].empty() || after[r].empty()) continue;
      trace_.regions[r].in_place =
          InPlace{summarize(before[r], policy_.confidence).median_ns, summarize(after[r], policy_.confidence).median_ns,
                  compare(before[r], after[r], samples.cycles_per_ns, policy_.margin, policy_.confidence)};
    }
    return true;
  }

  [[nodiscard]] Kernels overruled_in_place() const {
    Kernels kernels = alone_;
    for (std::size_t r = 0; r < kernels.size(); ++r)
      if (const auto& in_place = trace_.regions[r].in_place)
        kernels[r] = choose_in_place(in_place->speed_up, policy_).split ? Chosen{} : winners_[r];
    return kernels;
  }

  [[nodiscard]] Kernels only_faster() const {
    Kernels kernels = winners_;
    for (std::size_t r = 0; r < kernels.size(); ++r)
      if (known(r).comparison != Comparison::faster) kernels[r] = {};
    return kernels;
  }
  // Of the region's kernel, or of its parts where these were chosen alone: in place where that was measured.
  [[nodiscard]] const SpeedUp& known(std::size_t r) const {
    const RegionOutcome& region = trace_.regions[r];
    if (region.in_place) return region.in_place->speed_up;
    return winners_[r].parts ? region.in_parts->speed_up : region.speed_up;
  }

  // As chosen alone, but every region that may be one kernel or several so, or so: those where neither loses.
  [[nodiscard]] Kernels with_parts(bool in_parts) const {
    Kernels kernels = alone_;
    for (std::size_t r = 0; r < kernels.size(); ++r) {
      const RegionOutcome& region = trace_.regions[r];
      if (!region.in_parts || !region.in_parts->measured) continue;
      const Chosen one{region.winner ? &*region.winner : nullptr, nullptr};
      if (in_parts && !loses(region.in_parts->speed_up, policy_)) kernels[r] = {nullptr, &region.in_parts->assembled};
      if (!in_parts && one.own() && !loses(region.speed_up, policy_)) kernels[r] = one;
    }
    return kernels;
  }

  [[nodiscard]] std::uint64_t seed(const std::string& purpose) const {
    return seed_for(lab_.input(), "whole plans", purpose);
  }

  [[nodiscard]] bool fit(const std::vector<const Plan*>& plans) const {
    const NodeFacts& node = lab_.node();
    const std::int64_t memory = node.gpu ? node.gpu->memory_bytes : node.memory_bytes;
    std::int64_t bytes = 0;
    for (const Plan* plan : plans) {
      const PlanMemory needs = memory_of(*plan);
      bytes += needs.weights + needs.prepared + needs.working;
    }
    return memory <= 0 || bytes <= memory / kMemoryShare;
  }

  // Where no other candidate is the same plan, and memory allows one more.
  bool add(std::string name, Kernels kernels) {
    if (of_incumbent(kernels)) return false;
    for (const Candidate& known : candidates_)
      if (known.kernels == kernels) return false;
    Candidate candidate{std::move(name), std::move(kernels), std::nullopt};
    candidate.composed = composed(candidate.kernels);
    std::vector<const Plan*> plans = {&today_, &candidate.composed->plan};
    for (const Candidate& known : candidates_)
      if (known.composed) plans.push_back(&known.composed->plan);
    if (!candidates_.empty() && !fit(plans)) return false;
    candidates_.push_back(std::move(candidate));
    return true;
  }

  // The first candidates in turns with what runs today. No verdict is drawn from them: the whole workload's last
  // comparison has samples of its own, so that the best of several is not believed for being the best.
  void compare_all() {
    std::vector<Subject> subjects = {{"today", today_}};
    for (const Candidate& candidate : candidates_) subjects.push_back({candidate.name, candidate.composed->plan});
    const SampleFact samples = lab_.measure(subjects, Lab::Extent::workload, samples_of_each(), false, seed("turns"));
    for (std::size_t i = 0; i < candidates_.size(); ++i) {
      record(candidates_[i], speed_up(samples, 0, i + 1, 1));
      if (trace_.composition.trials[i].speed_up.ratio > trace_.composition.trials[best_].speed_up.ratio) best_ = i;
    }
  }

  // A greedy step: all regions of one kind of kernel back to the incumbent's, where that is faster than the best plan
  // so far. What a kernel does to its neighbours, its own launches do not show. Each of `n` questions has an n-th part
  // of the doubt.
  bool descend(std::int64_t deadline_ns) {
    if (trace_.composition.trials[best_].speed_up.comparison == Comparison::faster) return false;
    if (lab_.now("whole plans") >= deadline_ns) return false;
    const std::size_t first = candidates_.size();
    for (const std::string& kind : kinds_of(candidates_[best_].kernels))
      add("without " + kind, without(kind, candidates_[best_].kernels));
    if (candidates_.size() == first) return false;
    std::vector<Subject> subjects = {{"today", today_}, {"best", candidates_[best_].composed->plan}};
    for (std::size_t i = first; i < candidates_.size(); ++i)
      subjects.push_back({candidates_[i].name, candidates_[i].composed->plan});
    const std::string turns = "turns " + std::to_string(first);
    const SampleFact samples = lab_.measure(subjects, Lab::Extent::workload, samples_of_each(), false, seed(turns));
    std::size_t better = best_;
    double most = 1;
    for (std::size_t i = first; i < candidates_.size(); ++i) {
      record(candidates_[i], speed_up(samples, 0, 2 + i - first, 1));
      const SpeedUp over_best = speed_up(samples, 1, 2 + i - first, candidates_.size() - first);
      if (over_best.comparison != Comparison::faster || over_best.ratio <= most) continue;
      most = over_best.ratio;
      better = i;
    }
    for (std::size_t i = 0; i < candidates_.size(); ++i)
      if (i != better) candidates_[i].composed.reset();
    return std::exchange(best_, better) != better;
  }

  // Templates of the winners in a plan, those first that take most of it, while more than one is left.
  [[nodiscard]] std::vector<std::string> kinds_of(const Kernels& kernels) const {
    std::map<std::string, double> taken;
    for (std::size_t r = 0; r < kernels.size(); ++r) {
      const RegionOutcome& region = trace_.regions[r];
      if (kernels[r].kernel)
        taken[template_of(kernels[r].kernel->kernel.variant)] +=
            region.in_place ? region.in_place->winner_ns : region.winner_time.median_ns;
    }
    std::vector<std::string> kinds;
    for (const auto& [kind, unused] : taken) kinds.push_back(kind);
    std::stable_sort(kinds.begin(), kinds.end(),
                     [&](const std::string& a, const std::string& b) { return taken[a] > taken[b]; });
    if (kinds.size() < 2) kinds.clear();
    if (kinds.size() > kKinds) kinds.resize(kKinds);
    return kinds;
  }

  [[nodiscard]] static Kernels without(const std::string& kind, Kernels kernels) {
    for (Chosen& chosen : kernels)
      if (chosen.kernel && template_of(chosen.kernel->kernel.variant) == kind) chosen = {};
    return kernels;
  }

  // Memory counts where it costs no time that shows. While the plan's intermediate results and scratch take more than
  // those of a framework that runs op by op, the region whose scratch reaches highest in the arena, or beside it where
  // a library allocates by itself, is given the fastest kernel that is not slower, by its race, and makes the plan
  // smaller.
  void spare_memory() {
    const std::int64_t goal = eager_working_bytes(lab_.input().workload);
    Candidate lean{"less memory", candidates_[best_].kernels, std::nullopt};
    const Composed* now = &*candidates_[best_].composed;
    for (int spared = 0; spared < kMostSpared && memory_of(now->plan).working > goal; ++spared) {
      std::optional<std::pair<Kernels, Composed>> smaller = one_smaller(lean.kernels, *now);
      if (!smaller) break;
      lean.kernels = std::move(smaller->first);
      lean.composed = std::move(smaller->second);
      now = &*lean.composed;
    }
    if (!lean.composed || of_incumbent(lean.kernels)) return;
    const SampleFact samples = lab_.measure({{"today", today_},
                                             {"best", candidates_[best_].composed->plan},
                                             {lean.name, lean.composed->plan}},
                                            Lab::Extent::workload, samples_of_each(), false, seed(lean.name));
    record(lean, speed_up(samples, 0, 2, 1));
    candidates_.push_back(std::move(lean));
    if (!loses(speed_up(samples, 1, 2, 1), policy_)) best_ = candidates_.size() - 1;
  }

  std::optional<std::pair<Kernels, Composed>> one_smaller(const Kernels& kernels, const Composed& now) {
    for (const std::size_t r : by_scratch(now)) {
      for (const BuiltKernel* other : as_fast(r, kernels[r])) {
        Kernels changed = kernels;
        changed[r] = {other, nullptr};
        Composed plan = composed(changed);
        if (memory_of(plan.plan).working < memory_of(now.plan).working) return std::pair{changed, std::move(plan)};
      }
    }
    return std::nullopt;
  }

  // Regions with scratch in the arena, or memory that a library takes beside it: whose reaches highest is first.
  static std::vector<std::size_t> by_scratch(const Composed& plan) {
    std::map<std::size_t, std::int64_t> end;
    for (std::size_t i = 0; i < plan.regions.size(); ++i) {
      const PlanLaunch& launch = plan.plan.run[i];
      if (launch.scratch_offset && launch.scratch_bytes > 0)
        end[plan.regions[i]] = std::max(end[plan.regions[i]],
                                        *launch.scratch_offset + launch.scratch_bytes * plan.plan.threads);
      if (const std::int64_t library = library_bytes(launch, plan.plan.threads); library > 0)
        end[plan.regions[i]] = std::max(end[plan.regions[i]], plan.plan.temporary_bytes + library);
    }
    std::vector<std::size_t> regions;
    for (const auto& [region, unused] : end) regions.push_back(region);
    std::stable_sort(regions.begin(), regions.end(), [&](std::size_t a, std::size_t b) { return end[a] > end[b]; });
    return regions;
  }

  // Besides what the region runs: finalists that did not lose to the winner, fastest first, then the incumbent's
  // kernels (null) where the winner is not faster than they are. In the place of the incumbent's, the winner where it
  // does not lose to them.
  [[nodiscard]] std::vector<const BuiltKernel*> as_fast(std::size_t r, const Chosen& chosen) const {
    std::vector<const BuiltKernel*> out;
    const BuiltKernel* kernel = chosen.kernel;
    if (!kernel) {
      if (!chosen.parts && winners_[r].kernel && !loses(known(r), policy_)) out.push_back(winners_[r].kernel);
      return out;
    }
    for (const Alternative& other : trace_.regions[r].alternatives)
      if (&other.kernel != kernel && !loses(other.over_winner, policy_)) out.push_back(&other.kernel);
    if (known(r).comparison != Comparison::faster) out.push_back(nullptr);
    return out;
  }

  [[nodiscard]] std::int32_t samples_of_each() const { return std::min(kSamples, policy_.confirm_samples); }

  // A plan that did not run is slower than any other.
  [[nodiscard]] SpeedUp speed_up(const SampleFact& samples, std::size_t incumbent, std::size_t candidate,
                                 std::size_t questions) const {
    const SampleFact::Subject& before = samples.subjects.at(incumbent);
    const SampleFact::Subject& after = samples.subjects.at(candidate);
    if (after.verdict != Verdict::ok || before.verdict != Verdict::ok) return {0, 0, 0, Comparison::slower};
    const double confidence = 1 - (1 - policy_.confidence) / static_cast<double>(questions);
    return compare(before.cost(), after.cost(), samples.cycles_per_ns, policy_.margin, confidence);
  }

  void record(const Candidate& candidate, const SpeedUp& over_today) {
    const auto own = [](const Chosen& chosen) { return chosen.own(); };
    trace_.composition.trials.push_back(
        {candidate.name,
         static_cast<std::size_t>(std::count_if(candidate.kernels.begin(), candidate.kernels.end(), own)), over_today,
         memory_of(candidate.composed->plan).working});
  }

  // The regions' choices as the plan has them, with what decided.
  void settle() {
    const Candidate& best = candidates_[best_];
    trace_.composition.chosen = best.name;
    json::array regions;
    for (std::size_t r = 0; r < best.kernels.size(); ++r) {
      RegionOutcome& region = trace_.regions[r];
      const Chosen& chosen = best.kernels[r];
      const bool split = !chosen.own(), in_parts = chosen.parts != nullptr;
      bool by_plan = region.choice.split != split || region.choice.in_parts != in_parts;
      const bool noted = by_plan || region.in_place;
      if (region.in_place) {
        const RegionChoice in_place = choose_in_place(region.in_place->speed_up, policy_);
        region.choice.reason = in_place.reason;
        by_plan = in_place.split != split || in_parts != (winners_[r].parts != nullptr && !split);
      }
      region.choice.split = split;
      region.choice.in_parts = in_parts;
      if (by_plan) region.choice.reason += "; of the whole plans '" + best.name + "' is taken";
      if (chosen.kernel && chosen.kernel != &*region.winner) take(region, *chosen.kernel);
      if (noted || by_plan)
        regions.emplace_back(json::object{{"region", region.region}, {"choice", to_json(region.choice)}});
    }
    json::object decision = to_json(trace_.composition);
    decision["regions"] = std::move(regions);
    lab_.journal().decision("composition", decision);
  }

  // Another finalist in the winner's place, for less memory.
  void take(RegionOutcome& region, const BuiltKernel& kernel) {
    const auto at = std::find_if(region.alternatives.begin(), region.alternatives.end(),
                                 [&](const Alternative& other) { return &other.kernel == &kernel; });
    region.choice.reason += "; " + to_string(at->kernel.kernel.variant) + " needs less memory than " +
                            to_string(region.winner->kernel.variant) + " and is as fast";
    region.winner_time = at->time;
    region.speed_up = at->speed_up;
    region.judgement = at->judgement;
    region.in_place.reset();  // it is the other's
    for (const RegionProfile& profile : trace_.profile.regions)
      if (profile.region == region.region) region.bottleneck = bottleneck(profile, at->time.median_ns);
    region.winner = at->kernel;
  }

  Lab& lab_;
  const policies::Policy& policy_;
  const graph::Graph& workload_;
  const Prepared& prepared_;
  const Plan& today_;
  Trace& trace_;
  Kernels alone_;    // as the regions' own races chose
  Kernels winners_;  // but those that lost: no plan tries them
  std::vector<Candidate> candidates_;
  std::size_t best_ = 0;
};

}  // namespace

std::optional<Composed> best_plan(Lab& lab, const graph::Graph& workload, const Prepared& prepared, const Plan& today,
                                  std::int64_t deadline_ns, Trace& trace) {
  return WholePlans(lab, workload, prepared, today, trace).run(deadline_ns);
}

}  // namespace kiln::agents
