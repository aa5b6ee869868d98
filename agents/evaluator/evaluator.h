// The evaluator: is it right, and is it worth releasing.
#pragma once

#include <string>
#include <vector>

#include "agents/artifacts/facts.h"
#include "agents/benchmark/benchmark.h"
#include "policies/policy.h"
#include "runtime/base/json_fwd.h"

namespace kiln::agents {

struct Judgement {
  Verdict verdict = Verdict::ok;
  std::string reason;        // for a person: which family, element, error, budget
  double worst_ratio = 0;    // largest candidate error / allowed error; <= 1 when ok
  double normwise_error = 0; // largest over the families that the model's types can represent, against the oracle
};
// Precision `preserve`: norm-wise and worst-element error at most policy.error_factor times that of the plain
// evaluation, which is taken to err like a chain of sixteen roundings in norm at the least, or of `roundings` when they
// are more (graph/roundings.h); every element, every family; non-finite values exactly as the oracle's.
[[nodiscard]] Judgement judge(const CheckFact& check, const policies::Policy& policy, double roundings = 0);
// The same of the outputs that one timed call left; ok when no proof was asked for.
[[nodiscard]] Judgement judge_timed(const SampleFact::Subject& subject, const policies::Policy& policy,
                                    double roundings = 0);
[[nodiscard]] json::object to_json(const Judgement& j);

// What a region's part of the tuned plan runs.
struct RegionChoice {
  bool split = false;  // the incumbent's kernels, op by op; else its winner
  std::string reason;  // for a person, with the measurement that decided
  bool in_parts = false;  // instead, the winners of the parts that the planner knows
};
// Slower than what it is compared with by more than the margin, in its median where its interval leaves it open.
[[nodiscard]] bool loses(const SpeedUp& candidate, const policies::Policy& policy);
// Measurement overrules the planner: a region is split where no candidate was right, or where the best of them is
// slower than the incumbent by more than the policy's margin, in the median where its interval leaves it open.
[[nodiscard]] RegionChoice choose(bool any_right, std::size_t tried, const SpeedUp& winner,
                                  const policies::Policy& policy);
// What was measured in the whole plan overrules what was measured alone: `in_place` is of all launches of the region.
[[nodiscard]] RegionChoice choose_in_place(const SpeedUp& in_place, const policies::Policy& policy);
// A region as one kernel, as `one` has it, and in parts: the faster by its median, where the parts do not lose to the
// incumbent's kernels. `over_winner` counts where `one` is not split.
[[nodiscard]] RegionChoice choose_parts(const RegionChoice& one, const SpeedUp& over_incumbent,
                                        const SpeedUp& over_winner, const policies::Policy& policy);
[[nodiscard]] json::object to_json(const RegionChoice& c);

struct Decision {
  Comparison comparison = Comparison::ambiguous;
  bool promote = false;  // faster, right, and the policy allows it
  SpeedUp speed_up;
  std::string reason;
};
// The final word on a job: whole-workload check and interleaved A/B in a fresh process.
[[nodiscard]] Decision decide(const Judgement& check, const SpeedUp& search_process, const SpeedUp& fresh_process,
                              const policies::Policy& policy);
[[nodiscard]] json::object to_json(const Decision& d);

}  // namespace kiln::agents
