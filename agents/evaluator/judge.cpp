// Is it right? Precision `preserve`: the candidate may err at most `error_factor` times as much as a plain evaluation
// in the model's own types, against the same FP64 oracle, in norm and in the worst element, for every family.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "agents/evaluator/evaluator.h"
#include "runtime/base/json.h"

namespace kiln::agents {
namespace {

// One rounding of f32 to nearest has relative error 2^-24, in norm and per element.
constexpr double kOneRounding = 0x1p-24;
// The plain evaluation can be nearly exact by luck, most easily where few elements make up the norm, as they do where
// inputs are all equal; a candidate that rounds in other places is as right. Roundings add up as a random walk does, so
// the plain evaluation is taken to err by the root of their number: of a chain of sixteen at the least. The least
// short-cut that must be refused, TF32, errs a thousand times as much as four roundings.
constexpr double kLeastRoundings = 16;
// max_scaled is over the RMS of the output: one rounding of an element that is several times the RMS counts that much
// more. Sixteen covers the largest element of a normal output with 10^12 elements (8 RMS), twice.
constexpr double kLargestOverRms = 16;

// The largest of many rounding errors is an extreme value: two evaluations that are equally right differ in it by more
// than in their norm. It gets twice the allowance of the norm, so that a candidate is not refused for one element's
// luck.
constexpr double kExtremeValue = 2;

// A family over which the plain evaluation itself errs by this much, such as products of denormal numbers, says nothing
// of how accurate a candidate is.
constexpr double kLost = 0.5;

struct Measure {
  const char* what;
  double error, plain, floor, allowance;
};

// Error over allowance; infinite when the error is not a number.
double ratio_of(const Measure& m, double factor) {
  if (!std::isfinite(m.error)) return HUGE_VAL;
  const double plain = std::isfinite(m.plain) ? m.plain : 0;
  return m.error / (factor * m.allowance * std::max(plain, m.floor));
}

std::string describe(const ErrorFact& e, const Measure& m, double ratio, double factor) {
  return fmt::format(
      "output {} on family '{}': {} error {:.3g} is {:.3g} times what is allowed ({} x {:.3g} of the plain "
      "evaluation); worst at element {}: {:.9g} instead of {:.9g}",
      e.output, e.family, m.what, m.error, ratio, factor * m.allowance, std::max(m.plain, m.floor), e.worst_index,
      e.worst_value, e.worst_expected);
}

Judgement judge_errors(const CheckFact& check, double factor, double roundings) {
  const double least = std::sqrt(std::max(kLeastRoundings, roundings));
  Judgement j;
  std::int64_t mismatched = 0;
  for (const ErrorFact& e : check.errors) {
    if (std::isfinite(e.normwise) && e.normwise_plain < kLost)
      j.normwise_error = std::max(j.normwise_error, e.normwise);
    if (e.mismatched_nonfinite > 0) {
      if (mismatched == 0)
        j.reason = fmt::format(
            "output {} on family '{}': {} elements are Inf or NaN where the oracle's are not, or the "
            "reverse; element {}: {} instead of {}",
            e.output, e.family, e.mismatched_nonfinite, e.worst_index, e.worst_value, e.worst_expected);
      mismatched += e.mismatched_nonfinite;
      j.verdict = Verdict::wrong;
    }
    for (const Measure& m :
         {Measure{"norm-wise", e.normwise, e.normwise_plain, least * kOneRounding, 1},
          Measure{"largest", e.max_scaled, e.max_scaled_plain, kOneRounding * kLargestOverRms, kExtremeValue}}) {
      const double ratio = ratio_of(m, factor);
      if (ratio > 1) {
        if (j.verdict == Verdict::ok || (mismatched == 0 && ratio > j.worst_ratio))
          j.reason = describe(e, m, ratio, factor);
        j.verdict = Verdict::wrong;
      }
      j.worst_ratio = std::max(j.worst_ratio, ratio);
    }
  }
  return j;
}

}  // namespace

Judgement judge(const CheckFact& check, const policies::Policy& policy, double roundings) {
  Judgement j;
  if (check.verdict != Verdict::ok) {
    j.verdict = check.verdict;
    j.reason = check.evidence.empty() ? std::string(name(check.verdict)) : check.evidence;
    return j;
  }
  if (check.errors.empty()) {
    // Nothing was compared: that is no proof of anything, and a no-op kernel must not pass by an empty list.
    j.verdict = Verdict::wrong;
    j.reason = "no output was compared against the oracle";
    return j;
  }
  j = judge_errors(check, policy.error_factor, roundings);
  if (j.verdict == Verdict::ok && !check.input_sensitive) {
    j.verdict = Verdict::wrong;
    j.reason = "the outputs do not follow the inputs as the oracle's do";
  }
  // Whatever the errors are: where the operator is linear, no order of its operations explains this.
  if (j.verdict == Verdict::ok && !check.undoubled.empty()) {
    j.verdict = Verdict::wrong;
    j.reason = check.undoubled;
  }
  // JSON has no infinity; a ratio this large says the same.
  if (!std::isfinite(j.worst_ratio)) j.worst_ratio = 1e300;
  if (j.verdict == Verdict::ok)
    j.reason = fmt::format("{} comparisons against the oracle; largest error {:.3g} of what is allowed",
                           check.errors.size(), j.worst_ratio);
  return j;
}

Judgement judge_timed(const SampleFact::Subject& subject, const policies::Policy& policy, double roundings) {
  Judgement j;
  if (subject.verdict != Verdict::ok) {
    j.verdict = subject.verdict;
    j.reason = subject.evidence;
    return j;
  }
  if (subject.errors.empty()) return j;
  CheckFact check;
  check.errors = subject.errors;
  j = judge(check, policy, roundings);
  if (j.verdict != Verdict::ok) j.reason = "while it was timed: " + j.reason;
  return j;
}

json::object to_json(const Judgement& j) {
  return {{"verdict", name(j.verdict)}, {"reason", j.reason}, {"worst_ratio", j.worst_ratio},
          {"normwise_error", j.normwise_error}};
}

}  // namespace kiln::agents
