// Is it worth releasing? The search's own measurement chose the winner and is biased towards it; only a fresh process
// that confirms it counts, and the smaller of the two speed-ups is the one that is claimed.
#include <fmt/format.h>

#include "agents/evaluator/evaluator.h"
#include "runtime/base/json.h"

namespace kiln::agents {
namespace {

// "1.300x [1.200, 1.400] at 95 % confidence", in time unless it says otherwise.
std::string text(const SpeedUp& s, const policies::Policy& policy) {
  return fmt::format("{:.3f}x [{:.3f}, {:.3f}]{} at {:.0f} % confidence", s.ratio, s.low, s.high,
                     policy.objective == "latency" ? "" : " in " + policy.objective, policy.confidence * 100);
}

}  // namespace

bool loses(const SpeedUp& candidate, const policies::Policy& policy) {
  return candidate.comparison == Comparison::slower ||
         (candidate.comparison == Comparison::ambiguous && candidate.ratio * (1 + policy.margin) < 1);
}

RegionChoice choose(bool any_right, std::size_t tried, const SpeedUp& winner, const policies::Policy& policy) {
  if (tried == 0) return {true, "it was not searched: no budget was left"};
  if (!any_right) return {true, fmt::format("none of its {} candidates was right", tried)};
  return {loses(winner, policy),
          fmt::format("its best candidate is {} of the incumbent's kernels", text(winner, policy))};
}

RegionChoice choose_in_place(const SpeedUp& in_place, const policies::Policy& policy) {
  return {loses(in_place, policy),
          fmt::format("in the whole plan its best candidate is {} of the incumbent's kernels", text(in_place, policy))};
}

RegionChoice choose_parts(const RegionChoice& one, const SpeedUp& over_incumbent, const SpeedUp& over_winner,
                          const policies::Policy& policy) {
  RegionChoice choice = one;
  const std::string parts = "; in parts it is " + text(over_incumbent, policy) + " of the incumbent's kernels";
  if (one.split) {
    choice.in_parts = !loses(over_incumbent, policy);
    choice.split = !choice.in_parts;
    choice.reason += parts;
    return choice;
  }
  choice.in_parts = !loses(over_incumbent, policy) && over_winner.ratio > 1;
  choice.reason += parts + " and " + text(over_winner, policy) + " of that candidate";
  return choice;
}

json::object to_json(const RegionChoice& c) {
  return {{"kernels", c.in_parts ? "parts" : c.split ? "incumbent" : "winner"}, {"reason", c.reason}};
}

Decision decide(const Judgement& check, const SpeedUp& search_process, const SpeedUp& fresh_process,
                const policies::Policy& policy) {
  Decision d;
  d.speed_up = search_process.ratio < fresh_process.ratio ? search_process : fresh_process;
  if (check.verdict != Verdict::ok) {
    d.reason = fmt::format("kept the incumbent: the tuned plan is {}: {}", name(check.verdict), check.reason);
    return d;
  }
  if (search_process.comparison != fresh_process.comparison) {
    d.reason = fmt::format(
        "kept the incumbent: the two processes disagree: {} ({}) while searching, {} ({}) in a fresh process",
        name(search_process.comparison), text(search_process, policy), name(fresh_process.comparison),
        text(fresh_process, policy));
    return d;
  }
  d.comparison = fresh_process.comparison;
  if (d.comparison != Comparison::faster) {
    d.reason = fmt::format("kept the incumbent: the tuned plan is {}: {}, least gain {:.3g} %", name(d.comparison),
                           text(d.speed_up, policy), policy.margin * 100);
    return d;
  }
  d.promote = policy.automatic;
  d.reason = fmt::format("{} in both processes, and as right as the incumbent; {}", text(d.speed_up, policy),
                         d.promote ? "the policy promotes it" : "the policy leaves promotion to an operator");
  return d;
}

json::object to_json(const Decision& d) {
  return {{"comparison", name(d.comparison)},
          {"promote", d.promote},
          {"speed_up", to_json(d.speed_up)},
          {"reason", d.reason}};
}

}  // namespace kiln::agents
