#include <doctest/doctest.h>

#include <limits>

#include "agents/debugger/debugger.h"
#include "runtime/base/json.h"

using namespace kiln;
using namespace kiln::agents;

namespace {

// mr in {4, 8, 16}, kc in {128, 256, 512}, isa in {1, 2, 3}: all combinations.
Space space() {
  Space s{"r", "matmul", "packed", "d", {"mr", "kc", "isa"}, {{4, 8, 16}, {128, 256, 512}, {1, 2, 3}}, {}, 0, {}};
  for (std::uint16_t i = 0; i < 3; ++i)
    for (std::uint16_t j = 0; j < 3; ++j)
      for (std::uint16_t k = 0; k < 3; ++k) s.rows.push_back({i, j, k});
  return s;
}

Variant v(std::int64_t mr, std::int64_t kc, std::int64_t isa) {
  return {"r", "matmul", "packed", "d", {{"mr", mr}, {"kc", kc}, {"isa", isa}}};
}

Trial good(const Variant& variant, double ns = 100) { return {variant, Verdict::ok, ns}; }
Trial bad(const Variant& variant, Verdict verdict) { return {variant, verdict, 0}; }

Failure build_failure(const std::string& message, const std::string& severity = "error") {
  Failure f;
  f.variant = v(8, 256, 1);
  f.verdict = Verdict::build_failed;
  f.build = BuildFact{
      Verdict::build_failed, "", 0, 0, {{"kernel.cpp", 3, "warning", "unused"}, {"kernel.cpp", 12, severity, message}}};
  return f;
}

Failure failure(const Variant& variant, Verdict verdict, const std::string& evidence = {}) {
  Failure f;
  f.variant = variant;
  f.verdict = verdict;
  f.evidence = evidence;
  return f;
}

std::string cause(const Failure& f) { return diagnose(f, {space()}, {bad(f.variant, f.verdict)}).cause; }

ErrorFact error(const char* family, double normwise, double max_scaled, std::int64_t nonfinite = 0) {
  ErrorFact e;
  e.family = family;
  e.normwise = normwise;
  e.max_scaled = max_scaled;
  e.normwise_plain = 1e-7;
  e.max_scaled_plain = 1e-6;
  e.mismatched_nonfinite = nonfinite;
  return e;
}

Failure wrong(std::vector<ErrorFact> errors, bool sensitive = true) {
  Failure f = failure(v(8, 256, 1), Verdict::wrong);
  f.check = CheckFact{};
  f.check->errors = std::move(errors);
  f.check->input_sensitive = sensitive;
  return f;
}

}  // namespace

TEST_CASE("what compilers say names the cause") {
  // Texts of g++ 12, clang 14 and GNU ld.
  CHECK(cause(build_failure("immintrinx.h: No such file or directory", "fatal error")) == "missing header");
  CHECK(cause(build_failure("'foo.h' file not found")) == "missing header");
  CHECK(cause(build_failure("'vfma' was not declared in this scope")) == "undeclared identifier");
  CHECK(cause(build_failure("use of undeclared identifier 'vfma'")) == "undeclared identifier");
  CHECK(cause(build_failure("unrecognized command-line option '-mavx9'")) == "unsupported flag");
  CHECK(cause(build_failure(
            "inlining failed in call to 'always_inline' '_mm512_add_ps': target specific option mismatch")) ==
        "unsupported instruction set");
  CHECK(cause(build_failure("in lookup_page_table_entry, at ggc-page.cc:630", "internal compiler error")) ==
        "internal compiler error");
  CHECK(cause(build_failure("cannot convert 'float*' to 'double*' in initialization")) == "type error");
  CHECK(cause(build_failure("cc1plus: out of memory allocating 65536 bytes")) == "compiler out of memory");
  CHECK(cause(build_failure("undefined reference to `kiln_exp'")) == "missing symbol at link");
  CHECK(cause(build_failure("static assertion failed: nr is a multiple of the vector")) ==
        "static assertion of the template");
  CHECK(cause(build_failure("something new")) == "compiler error");
  Failure silent = failure(v(8, 256, 1), Verdict::build_failed);
  silent.build = BuildFact{};
  CHECK(cause(silent) == "build failed without a diagnostic");
}

TEST_CASE("the proof is the first error, not the warning before it") {
  const Diagnosis d = diagnose(build_failure("'x' was not declared in this scope"), {space()}, {});
  CHECK(d.proof.find("kernel.cpp:12: error: 'x' was not declared") == 0);
}

TEST_CASE("signals name what the processor met") {
  CHECK(cause(failure(v(8, 256, 1), Verdict::crashed, "signal 11 in family 'normal'")) ==
        "reads or writes outside its memory");
  CHECK(cause(failure(v(8, 256, 1), Verdict::crashed, "signal 4 in family 'normal'")) ==
        "instruction that this processor lacks");
  CHECK(cause(failure(v(8, 256, 1), Verdict::crashed, "signal 8")) == "integer division by zero");
  CHECK(cause(failure(v(8, 256, 1), Verdict::crashed, "SIGBUS")) == "misaligned or unmapped access");
  CHECK(cause(failure(v(8, 256, 1), Verdict::crashed, "signal 111")) == "died of an unknown signal");
  CHECK(cause(failure(v(8, 256, 1), Verdict::crashed, "")) == "died of an unknown signal");
  CHECK(cause(failure(v(8, 256, 1), Verdict::crashed, "signal 99999999999999999999")) == "died of an unknown signal");
}

TEST_CASE("refusals to start are told apart") {
  CHECK(cause(failure(v(8, 256, 1), Verdict::launch_failed, "cannot find symbol 'kernel_run'")) == "missing symbol");
  CHECK(cause(failure(v(8, 256, 1), Verdict::launch_failed, "needs CPU feature 'avx512f'")) ==
        "processor feature missing");
  CHECK(cause(failure(v(8, 256, 1), Verdict::launch_failed, "workspace of 9 GiB")) == "workspace too large");
}

TEST_CASE("the pattern of errors names the kind of wrong") {
  CHECK(cause(wrong({error("normal", 1e-3, 3e-3), error("uniform", 9e-4, 2e-3)})) ==
        "precision below that of the model's type");
  CHECK(cause(wrong({error("normal", 0.02, 7.0), error("uniform", 0.02, 6.0)})) == "few elements wrong, as at a tail");
  CHECK(cause(wrong({error("normal", 0.9, 4.0), error("uniform", 0.9, 4.0)})) == "wrong everywhere");
  CHECK(cause(wrong({error("normal", 1e-7, 1e-6), error("heavy_tail", 0.9, 4.0)})) ==
        "wrong for inputs of family 'heavy_tail' only");
  CHECK(cause(wrong({error("normal", 1e-7, 1e-6), error("denormals", 1e-7, 1e-6, 3)})) ==
        "non-finite values handled differently");
  CHECK(cause(wrong({error("normal", 1e-7, 1e-6)}, false)) == "ignores its inputs");
  CHECK(cause(wrong({error("normal", std::numeric_limits<double>::quiet_NaN(), 1), error("zeros", 0, 0)}))
            .find("wrong") == 0);
}

TEST_CASE("every verdict has a cause") {
  for (int i = 0; i <= static_cast<int>(Verdict::implausible); ++i)
    CHECK_FALSE(cause(failure(v(8, 256, 1), static_cast<Verdict>(i), "e")).empty());
}

TEST_CASE("the tunable that differs from the nearest working variant is moved to its working value") {
  const Failure f = failure(v(16, 256, 3), Verdict::crashed, "signal 4");
  const std::vector<Trial> trials = {good(v(16, 256, 1)), good(v(4, 128, 2)), bad(f.variant, f.verdict),
                                     bad(v(4, 512, 3), Verdict::crashed)};
  const Diagnosis d = diagnose(f, {space()}, trials);
  CHECK(d.proof.find("isa=3 (works with 1)") != std::string::npos);
  REQUIRE(d.learned);  // two crashes with isa=3, no success with it
  CHECK(d.learned->when == std::map<std::string, std::int64_t>{{"isa", 3}});
  CHECK(d.action == "excluded: isa=3");
  CHECK_FALSE(d.repaired);  // the repair, isa=1, is the working variant itself
}

TEST_CASE("a repair is valid, untried, and one move away") {
  const Failure f = failure(v(16, 512, 3), Verdict::crashed, "signal 11");
  const Diagnosis d = diagnose(f, {space()}, {good(v(16, 256, 2)), bad(f.variant, f.verdict)});
  REQUIRE(d.repaired);
  CHECK((*d.repaired == v(16, 256, 3) || *d.repaired == v(16, 512, 2)));
  CHECK(d.action.find("repaired: ") == 0);
  CHECK_FALSE(d.learned);  // one failure teaches nothing
}

TEST_CASE("where each value works alone, the pair that fails is what is excluded, and the repair moves one of it") {
  // Works unless mr = 16 and kc = 512 meet.
  const Failure f = failure(v(16, 512, 1), Verdict::crashed, "signal 11");
  const std::vector<Trial> trials = {good(v(4, 512, 2)), good(v(16, 128, 3)), bad(v(16, 512, 3), Verdict::crashed),
                                     bad(f.variant, f.verdict)};
  const Diagnosis d = diagnose(f, {space()}, trials);
  REQUIRE(d.repaired);
  CHECK((d.repaired->tunables.at("mr") == 4 || d.repaired->tunables.at("kc") == 128 ||
         d.repaired->tunables.at("isa") != 1));
  REQUIRE(d.learned);
  CHECK(d.learned->when == std::map<std::string, std::int64_t>{{"kc", 512}, {"mr", 16}});
}

TEST_CASE("repairs walk to the smallest change that works, and never to what was tried") {
  // Works only with isa = 1 and mr = 4 together; the working variant differs in all three.
  const auto outcome = [](const Variant& x) { return x.tunables.at("isa") == 1 && x.tunables.at("mr") == 4; };
  const Failure f = failure(v(16, 512, 3), Verdict::crashed, "signal 8");
  std::vector<Trial> trials = {good(v(4, 128, 1)), bad(f.variant, f.verdict)};
  int steps = 0;
  for (;;) {
    const Diagnosis d = diagnose(f, {space()}, trials);
    REQUIRE(d.repaired);
    for (const Trial& t : trials) CHECK_FALSE(t.variant == *d.repaired);
    ++steps;
    if (outcome(*d.repaired)) {
      CHECK(*d.repaired == v(4, 512, 1));
      break;
    }
    trials.push_back(bad(*d.repaired, f.verdict));
  }
  CHECK(steps <= 6);  // three singles, then pairs
}

TEST_CASE("a crash in a kernel that asks for alignment names the access") {
  Failure f = failure(v(8, 256, 1), Verdict::crashed, "signal 11 in family 'normal'");
  f.source = "// rows\nvoid k() {\n  x = _mm512_load_ps(p + 1);\n}\n";
  const Diagnosis d = diagnose(f, {space()}, {bad(f.variant, f.verdict)});
  CHECK(d.cause == "aligned access to an address that is not aligned");
  CHECK(d.proof.find("line 3: x = _mm512_load_ps(p + 1);") != std::string::npos);
}

TEST_CASE("one task cannot race") {
  Failure f = failure(v(8, 256, 1), Verdict::nondeterministic, "a second call over the same inputs gave other bits");
  CHECK(cause(f) == "result depends on timing between threads");
  f.tasks = 1;
  CHECK(cause(f) == "uses memory that it did not initialise, or state of an earlier call");
}

TEST_CASE("a timeout without any working variant is answered by less blocking") {
  const Failure f = failure(v(16, 512, 1), Verdict::build_timeout);
  const Diagnosis d = diagnose(f, {space()}, {bad(f.variant, f.verdict)});
  REQUIRE(d.repaired);
  CHECK(*d.repaired == v(8, 512, 1));
  CHECK(d.action == "repaired: mr 16 -> 8");
  Space narrow = space();
  std::erase_if(narrow.rows, [](const auto& row) { return row[0] == 1; });  // mr=8 breaks a constraint
  CHECK(*diagnose(f, {narrow}, {bad(f.variant, f.verdict)}).repaired == v(4, 512, 1));
}

TEST_CASE("a success with the value denies the constraint") {
  const Failure f = failure(v(16, 256, 3), Verdict::crashed, "signal 11");
  const std::vector<Trial> trials = {good(v(16, 256, 1)), bad(f.variant, f.verdict),
                                     bad(v(4, 512, 3), Verdict::crashed), good(v(8, 128, 3))};
  CHECK_FALSE(diagnose(f, {space()}, trials).learned);
}

TEST_CASE("failures of another kind are not concordant") {
  const Failure f = failure(v(16, 256, 3), Verdict::crashed, "signal 11");
  CHECK_FALSE(
      diagnose(f, {space()}, {good(v(16, 256, 1)), bad(f.variant, f.verdict), bad(v(4, 512, 3), Verdict::wrong)})
          .learned);
}

TEST_CASE("two suspects with equal evidence are excluded only together") {
  const Failure f = failure(v(16, 512, 1), Verdict::hung);
  const std::vector<Trial> trials = {good(v(8, 256, 1)), bad(f.variant, f.verdict), bad(v(16, 512, 2), Verdict::hung)};
  const Diagnosis d = diagnose(f, {space()}, trials);
  REQUIRE(d.learned);
  CHECK(d.learned->when == std::map<std::string, std::int64_t>{{"mr", 16}, {"kc", 512}});
}

TEST_CASE("a missing header excludes the template after two failures, and never when one variant was built") {
  const Failure f = build_failure("dnnl.h: No such file or directory", "fatal error");
  const Trial other = bad(v(4, 128, 1), Verdict::build_failed);
  CHECK_FALSE(diagnose(f, {space()}, {bad(f.variant, f.verdict)}).learned);
  const Diagnosis d = diagnose(f, {space()}, {bad(f.variant, f.verdict), other});
  REQUIRE(d.learned);
  CHECK(d.learned->when.empty());
  CHECK_FALSE(d.repaired);
  // A variant that was built shows that the template as such can be: what both failures share is all that is excluded.
  const Diagnosis partial = diagnose(f, {space()}, {bad(f.variant, f.verdict), other, good(v(4, 256, 2))});
  REQUIRE(partial.learned);
  CHECK(partial.learned->when == std::map<std::string, std::int64_t>{{"isa", 1}});
}

TEST_CASE("slower and invalid teach nothing") {
  for (const Verdict verdict : {Verdict::slower, Verdict::invalid}) {
    const Failure f = failure(v(16, 512, 1), verdict);
    const Diagnosis d =
        diagnose(f, {space()}, {good(v(8, 256, 1)), bad(f.variant, verdict), bad(v(16, 512, 2), verdict)});
    CHECK_FALSE(d.learned);
    CHECK_FALSE(d.repaired);
    CHECK(d.action == "none");
  }
}

TEST_CASE("a constraint that a later success contradicts is dropped, the others stay") {
  const std::vector<LearnedConstraint> learned = {{"matmul", "packed", {{"isa", 3}}, ""},
                                                  {"matmul", "packed", {{"mr", 16}}, ""}};
  const auto left = uncontradicted(learned, {good(v(8, 128, 3)), bad(v(16, 128, 1), Verdict::crashed)});
  REQUIRE(left.size() == 1);
  CHECK(left[0].when == std::map<std::string, std::int64_t>{{"mr", 16}});
  CHECK(uncontradicted(learned, {}).size() == 2);
  CHECK(uncontradicted(learned, {{v(8, 128, 3), Verdict::slower, 5}}).size() == 1);  // slow, but it works
}

TEST_CASE("a diagnosis is JSON with or without a repair") {
  const Failure f = failure(v(16, 512, 1), Verdict::build_timeout);
  const json::object with = to_json(diagnose(f, {space()}, {bad(f.variant, f.verdict)}));
  CHECK(with.at("repaired").is_object());
  CHECK(with.at("learned").is_null());
  CHECK(json::get_string(with, "cause", "d") == "build too slow");
  CHECK(to_json(diagnose(f, {}, {})).at("repaired").is_null());
}
