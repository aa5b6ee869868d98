#include "agents/conductor/checking.h"

#include <algorithm>
#include <cmath>

#include "agents/conductor/first_steps.h"

namespace kiln::agents {
namespace {

using Outcome = Examined::Outcome;

constexpr std::size_t kLeastRight = 2;
constexpr double kWorthChecking = 1.3;  // some looks are one sample

std::size_t least_right(const NodeFacts& node, const std::vector<std::string>& families) {
  const bool checks_are_dear = node.gpu && families.size() < check_families(0, 0).size();
  return checks_are_dear ? 1 : kLeastRight;
}

// A slower one may take less energy.
double worth_checking(const policies::Policy& policy) {
  return policy.objective == name(Objective::energy) ? HUGE_VAL : kWorthChecking;
}

}  // namespace

Checking::Checking(Lab& lab, CheckingTask task)
    : lab_(lab),
      task_(std::move(task)),
      usual_{task_.incumbent_ns, task_.profile.bytes},
      families_(check_families(task_.profile.flops, task_.profile.bytes)),
      enough_(least_right(lab.node(), families_)),
      worth_checking_(worth_checking(lab.input().policy)) {}

std::vector<Examined> Checking::round(const std::vector<Subject>& subjects) {
  std::vector<Examined> out;
  std::size_t right = 0;
  bool time_is_over = false;
  for (const Look& look : looks_at(subjects)) {
    const bool enough = right >= enough_;
    Examined one{look.subject, Outcome::untried, {}, {}, 0, 0};
    if (look.verdict != Verdict::ok) {
      one.outcome = Outcome::failed;
      one.judgement = {look.verdict, look.evidence, 0, 0};
    } else if (enough && std::isfinite(look.relative) && look.relative > worth_checking_ * least_look_) {
      one.outcome = Outcome::passed_over;
      one.relative = look.relative;
      one.times_best = look.relative / least_look_;
    } else if (enough && (time_is_over || std::isinf(look.relative) || out_of_time("check"))) {
      time_is_over = true;
    } else {
      one = checked(look.subject, subjects[look.subject]);
      if (one.outcome == Outcome::right) {
        least_look_ = std::min(least_look_, look.relative);
        ++right;
      }
    }
    out.push_back(std::move(one));
  }
  return out;
}

std::optional<Examined> Checking::refutation(const Subject& subject) {
  const std::int32_t rounds = confirming_rounds(task_.profile.flops, task_.profile.bytes);
  for (std::int32_t round = 0; round < rounds; ++round) {
    const bool late = out_of_time("confirm");
    if (late && round > 0) break;
    // The values of each family are new to the oracle, which is what costs; all of them were checked once.
    CheckFact check = lab_.check(task_.graph, subject, late ? fewest_families() : families_,
                                 seed("confirm " + std::to_string(round)));
    const Judgement judgement = judge(check, lab_.input().policy, task_.roundings);
    if (judgement.verdict != Verdict::ok) return Examined{0, Outcome::failed, judgement, std::move(check), 0, 0};
  }
  return {};
}

Proof Checking::proof() const {
  return {task_.graph.graph, task_.graph.constants, families_.front(), seed("check")};
}

std::vector<Look> Checking::looks_at(const std::vector<Subject>& subjects) {
  if (!lab_.node().gpu) return without_looks(subjects.size());
  return fastest_first(lab_, subjects, task_.incumbent, {task_.at_once, task_.looks_end_ns, seed("order"), usual_});
}

Examined Checking::checked(std::size_t index, const Subject& subject) {
  CheckFact check = lab_.check(task_.graph, subject, families_, seed("check"), usual_);
  Judgement judgement = judge(check, lab_.input().policy, task_.roundings);
  const bool right = judgement.verdict == Verdict::ok;
  Examined one{index, right ? Outcome::right : Outcome::failed, std::move(judgement), {}, 0, 0};
  if (!right) one.check = std::move(check);
  return one;
}

std::uint64_t Checking::seed(const std::string& purpose) const {
  return seed_for(lab_.input(), task_.region, purpose);
}

}  // namespace kiln::agents
