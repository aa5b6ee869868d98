#include <doctest/doctest.h>

#include <cmath>
#include <limits>

#include "agents/evaluator/evaluator.h"
#include "runtime/base/json.h"

using namespace kiln;
using namespace kiln::agents;

namespace {

// An f32 sum of some thousand terms: about 1e-6 in norm, 2e-5 in the worst element.
ErrorFact plain_error(double factor, const char* family = "normal") {
  ErrorFact e;
  e.family = family;
  e.normwise_plain = 1e-6;
  e.max_scaled_plain = 2e-5;
  e.normwise = factor * e.normwise_plain;
  e.max_scaled = factor * e.max_scaled_plain;
  e.worst_index = 42;
  e.worst_value = 1.5;
  e.worst_expected = 1.25;
  return e;
}

CheckFact check_of(std::vector<ErrorFact> errors) {
  CheckFact c;
  c.errors = std::move(errors);
  return c;
}

const policies::Policy kPolicy;  // preserve, factor 2

SpeedUp speed_up(Comparison c, double ratio) { return {ratio, ratio - 0.02, ratio + 0.02, c}; }

}  // namespace

TEST_CASE("an error up to the policy's factor is right, beyond it wrong") {
  CHECK(judge(check_of({plain_error(1.0)}), kPolicy).verdict == Verdict::ok);
  CHECK(judge(check_of({plain_error(1.99)}), kPolicy).verdict == Verdict::ok);
  const Judgement j = judge(check_of({plain_error(1.0), plain_error(2.5, "heavy_tail")}), kPolicy);
  CHECK(j.verdict == Verdict::wrong);
  CHECK(j.worst_ratio == doctest::Approx(1.25));
  CHECK(j.normwise_error == doctest::Approx(2.5e-6));
  for (const char* part : {"heavy_tail", "element 42", "1.5", "1.25", "output 0"})
    CHECK(j.reason.find(part) != std::string::npos);
  policies::Policy generous;
  generous.error_factor = 3;
  CHECK(judge(check_of({plain_error(2.5)}), generous).verdict == Verdict::ok);
}

TEST_CASE("the reported error is of families that the model's types can represent") {
  ErrorFact underflow = plain_error(1.0, "denormals");
  underflow.normwise = underflow.normwise_plain = 1;  // all outputs are rounded to zero
  const Judgement j = judge(check_of({plain_error(1.5), underflow}), kPolicy);
  CHECK(j.verdict == Verdict::ok);
  CHECK(j.normwise_error == doctest::Approx(1.5e-6));
}

TEST_CASE("one wrong element is wrong although the norm hides it") {
  ErrorFact e = plain_error(1.0);
  e.max_scaled = 1e-3;
  CHECK(judge(check_of({e}), kPolicy).verdict == Verdict::wrong);
}

TEST_CASE("a plain evaluation that is exact by luck allows the roundings of a short computation, and not TF32") {
  ErrorFact e;
  e.family = "integers";
  e.normwise = 0x1p-24;
  e.max_scaled = 0x1p-23;
  CHECK(judge(check_of({e}), kPolicy).verdict == Verdict::ok);
  e.normwise = 0x1p-21;  // four roundings, times the policy's factor
  CHECK(judge(check_of({e}), kPolicy).verdict == Verdict::ok);
  e.normwise = 0x1.1p-21;
  CHECK(judge(check_of({e}), kPolicy).verdict == Verdict::wrong);
}

TEST_CASE("a plain evaluation that is exact by luck allows the root of the roundings of a long computation") {
  ErrorFact e;
  e.family = "zeros";
  e.normwise = 0x1p-20;  // eight roundings, times the policy's factor
  CHECK(judge(check_of({e}), kPolicy).verdict == Verdict::wrong);
  CHECK(judge(check_of({e}), kPolicy, 64).verdict == Verdict::ok);
  CHECK(judge(check_of({e}), kPolicy, 63).verdict == Verdict::wrong);
}

TEST_CASE("half-precision arithmetic does not pass for single") {
  ErrorFact tf32 = plain_error(1.0);
  tf32.normwise = 0x1p-12;  // one rounding to 11 bits
  CHECK(judge(check_of({tf32}), kPolicy).verdict == Verdict::wrong);
  CHECK(judge(check_of({tf32}), kPolicy, 10'000).verdict == Verdict::wrong);
}

TEST_CASE("non-finite values must be the oracle's, and errors must be numbers") {
  ErrorFact e = plain_error(1.0);
  e.mismatched_nonfinite = 1;
  CHECK(judge(check_of({e}), kPolicy).verdict == Verdict::wrong);
  for (const double bad : {std::numeric_limits<double>::quiet_NaN(), std::numeric_limits<double>::infinity()}) {
    e = plain_error(1.0);
    e.normwise = bad;
    const Judgement j = judge(check_of({e}), kPolicy);
    CHECK(j.verdict == Verdict::wrong);
    CHECK(std::isfinite(j.worst_ratio));  // it goes into JSON
    e = plain_error(6.0);
    e.normwise_plain = bad;  // a plain evaluation that overflows is no licence
    CHECK(judge(check_of({e}), kPolicy).verdict == Verdict::wrong);
  }
}

TEST_CASE("a candidate that ignores its inputs, or that was not compared, is wrong") {
  CheckFact c = check_of({plain_error(0.5)});
  c.input_sensitive = false;
  CHECK(judge(c, kPolicy).verdict == Verdict::wrong);
  CHECK(judge(check_of({}), kPolicy).verdict == Verdict::wrong);
}

TEST_CASE("near enough, but not doubled where the operator is: wrong, and errors come first") {
  CheckFact c = check_of({plain_error(0.5)});
  c.undoubled = "element 7 of output 0 does not double";
  CHECK(judge(c, kPolicy).verdict == Verdict::wrong);
  CHECK(judge(c, kPolicy).reason == c.undoubled);
  c.errors = {plain_error(9)};
  CHECK(judge(c, kPolicy).reason.find("norm-wise") != std::string::npos);
}

TEST_CASE("what happened before the comparison passes through") {
  for (const Verdict v :
       {Verdict::launch_failed, Verdict::crashed, Verdict::hung, Verdict::out_of_bounds, Verdict::nondeterministic}) {
    CheckFact c = check_of({plain_error(0.5)});
    c.verdict = v;
    c.evidence = "signal 11 in family 'normal'";
    CHECK(judge(c, kPolicy).verdict == v);
    CHECK(judge(c, kPolicy).reason == c.evidence);
  }
}

TEST_CASE("only a right plan that both processes call faster is promoted, and only if the policy does so itself") {
  policies::Policy automatic;
  automatic.automatic = true;
  const SpeedUp faster = speed_up(Comparison::faster, 1.4), confirmed = speed_up(Comparison::faster, 1.3);
  const Decision d = decide({}, faster, confirmed, automatic);
  CHECK(d.promote);
  CHECK(d.comparison == Comparison::faster);
  CHECK(d.speed_up.ratio == 1.3);  // the smaller is what is claimed
  CHECK_FALSE(decide({}, faster, confirmed, kPolicy).promote);
  CHECK(decide({}, faster, confirmed, kPolicy).comparison == Comparison::faster);

  CHECK_FALSE(decide({Verdict::wrong, "off", 9, 1}, faster, confirmed, automatic).promote);
  CHECK(decide({Verdict::wrong, "off", 9, 1}, faster, confirmed, automatic).comparison == Comparison::ambiguous);
  for (const Comparison c : {Comparison::slower, Comparison::same, Comparison::ambiguous}) {
    const Decision one = decide({}, faster, speed_up(c, 1.0), automatic);
    CHECK_FALSE(one.promote);
    CHECK(one.comparison == Comparison::ambiguous);
    CHECK_FALSE(decide({}, speed_up(c, 1.0), confirmed, automatic).promote);
    CHECK(decide({}, speed_up(c, 1.0), speed_up(c, 1.0), automatic).comparison == c);
    CHECK_FALSE(decide({}, speed_up(c, 1.0), speed_up(c, 1.0), automatic).promote);
  }
}

TEST_CASE("artifacts have the members that the report names") {
  const json::object j = to_json(judge(check_of({plain_error(1.0)}), kPolicy));
  for (const char* member : {"verdict", "reason", "worst_ratio", "normwise_error"}) CHECK(j.contains(member));
  const json::object d = to_json(decide({}, speed_up(Comparison::same, 1), speed_up(Comparison::same, 1), kPolicy));
  CHECK(json::get_string(d, "comparison", "d") == "same");
  CHECK_FALSE(json::get_bool(d, "promote", "d"));
}

TEST_CASE("what a region takes in the whole plan is judged by the same rule, and says where it was measured") {
  const auto splits = [](Comparison c, double ratio) { return choose_in_place(speed_up(c, ratio), kPolicy).split; };
  CHECK_FALSE(splits(Comparison::faster, 1.3));
  CHECK_FALSE(splits(Comparison::same, 1.0));
  CHECK_FALSE(splits(Comparison::ambiguous, 1.2));
  CHECK(splits(Comparison::ambiguous, 0.9));
  CHECK(splits(Comparison::slower, 0.78));
  const std::string reason = choose_in_place(speed_up(Comparison::slower, 0.78), kPolicy).reason;
  CHECK(reason.find("in the whole plan") == 0);
  CHECK(reason.find("0.78") != std::string::npos);
}

TEST_CASE("a region takes the incumbent's kernels where its best candidate loses, or none is right") {
  const auto splits = [](bool any_right, std::size_t tried, Comparison c, double ratio) {
    const RegionChoice choice = choose(any_right, tried, speed_up(c, ratio), kPolicy);
    CHECK_FALSE(choice.reason.empty());
    return choice.split;
  };
  CHECK_FALSE(splits(true, 9, Comparison::faster, 1.3));
  CHECK_FALSE(splits(true, 9, Comparison::same, 1.0));
  CHECK(splits(true, 9, Comparison::slower, 0.78));
  CHECK(splits(true, 9, Comparison::ambiguous, 0.7));  // nothing says that it is as fast
  CHECK_FALSE(splits(true, 9, Comparison::ambiguous, 1.0));
  CHECK_FALSE(splits(true, 9, Comparison::ambiguous, 1.2));
  CHECK(splits(false, 9, Comparison::ambiguous, 1));
  CHECK(splits(false, 0, Comparison::ambiguous, 1));
  CHECK(choose(true, 9, speed_up(Comparison::slower, 0.78), kPolicy).reason.find("0.78") != std::string::npos);
  CHECK(choose(false, 9, {}, kPolicy).reason.find("9 candidates") != std::string::npos);
  const json::object artifact = to_json(choose(false, 0, {}, kPolicy));
  CHECK(artifact.at("kernels") == "incumbent");
  CHECK(json::get_string(artifact, "reason", "choice").find("not searched") != std::string::npos);
}

TEST_CASE("a region runs in parts where they are the faster by the median and do not lose to the incumbent's kernels") {
  const RegionChoice winner = choose(true, 9, speed_up(Comparison::faster, 1.3), kPolicy);
  const RegionChoice split = choose(true, 9, speed_up(Comparison::slower, 0.7), kPolicy);
  const auto kernels = [](const RegionChoice& one, double over_incumbent, double over_winner) {
    const Comparison c = over_incumbent > 1 ? Comparison::faster : Comparison::slower;
    const RegionChoice choice = choose_parts(one, speed_up(c, over_incumbent),
                                             speed_up(Comparison::ambiguous, over_winner), kPolicy);
    CHECK(choice.reason.find(one.reason) == 0);
    CHECK_FALSE((choice.split && choice.in_parts));
    return json::get_string(to_json(choice), "kernels", "choice");
  };
  CHECK(kernels(winner, 1.5, 1.15) == "parts");
  CHECK(kernels(winner, 1.2, 0.92) == "winner");
  CHECK(kernels(winner, 0.8, 1.15) == "winner");  // another moment than the region's race
  CHECK(kernels(split, 1.5, 2.1) == "parts");
  CHECK(kernels(split, 1.5, 0) == "parts");  // one kernel is behind the incumbent's, or was never right
  CHECK(kernels(split, 0.9, 1.3) == "incumbent");
}
