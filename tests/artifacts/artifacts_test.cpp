#include <doctest/doctest.h>

#include <cmath>
#include <limits>

#include "agents/artifacts/facts.h"
#include "agents/artifacts/plan.h"
#include "agents/artifacts/rendered.h"
#include "runtime/base/digest.h"
#include "runtime/base/json.h"

using namespace kiln;
using namespace kiln::agents;

namespace {

Variant packed() { return {"0123456789abcdef", "matmul", "packed", "d1", {{"nr", 32}, {"kc", 256}, {"mr", 12}}}; }

// One launch that prepares a weight and one that multiplies by it.
Plan small_plan() {
  Plan p;
  p.name = "tiny";
  p.cpu_features = {"avx2", "fma"};
  p.threads = 2;
  p.inputs = {{"x", {graph::DType::f32, {2, 3}}, 0}};
  p.outputs = {{"y", {graph::DType::f32, {2, 4}}, 1}};
  p.buffers = {{PlanBuffer::Kind::input, 24, 0, 0},
               {PlanBuffer::Kind::output, 32, 0, 0},
               {PlanBuffer::Kind::constant, 48, 64, 0},
               {PlanBuffer::Kind::prepared, 48, 0, 0},
               {PlanBuffer::Kind::temporary, 8, 64, 0}};
  p.objects = {std::string(64, 'a')};
  p.constants = std::string(64, 'b');
  p.constants_bytes = 112;
  p.prepared_bytes = 48;
  p.temporary_bytes = 72;
  p.prepare = {{0, "pack", {2, 3}, 1, 0, 0, false, 0, "pack w"}};
  p.run = {{0, "matmul", {0, 3, 4, 1}, 7, 128, 0, true, -1, "matmul 2x4x3"}};
  return p;
}

const char* kSmallPlan =
    R"({"buffers":[{"bytes":24,"index":0,"kind":"input","offset":0},{"bytes":32,"index":0,"kind":"output","offset":0},)"
    R"({"bytes":48,"index":0,"kind":"constant","offset":64},{"bytes":48,"index":0,"kind":"prepared","offset":0},)"
    R"({"bytes":8,"index":0,"kind":"temporary","offset":64}],)"
    R"("constants":"bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb",)"
    R"("constants_bytes":112,"cpu_features":["avx2","fma"],"format":"kiln-plan/1","inputs":[{"buffer":0,)"
    R"("dtype":"f32","name":"x","shape":[2,3]}],)"
    R"("name":"tiny","objects":["aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"],)"
    R"("outputs":[{"buffer":1,"dtype":"f32","name":"y","shape":[2,4]}],)"
    R"("prepare":[{"args":[2,3],"has_state":false,"instance":0,"label":"pack w","object":0,"scratch_bytes":0,)"
    R"("symbol":"pack","tasks":1}],)"
    R"("prepared_bytes":48,"run":[{"args":[0,3,4,1],"has_state":true,"instance":-1,"label":"matmul 2x4x3",)"
    R"("object":0,"scratch_bytes":128,"symbol":"matmul","tasks":7}],)"
    R"("target":"cpu","temporary_bytes":72,"threads":2})";

json::value parsed(const std::string& text) { return json::parse(text, "test"); }

void refused(const std::string& text) {
  try {
    (void)plan_from_json(parsed(text));
    FAIL("accepted: " << text);
  } catch (const Error& e) {
    const bool ours = e.code() == ErrorCode::invalid_input || e.code() == ErrorCode::unsupported;
    CHECK_MESSAGE(ours, e.what());
  }
}

std::string replaced(std::string text, const std::string& from, const std::string& to) {
  const std::size_t at = text.find(from);
  REQUIRE(at != std::string::npos);
  return text.replace(at, from.size(), to);
}

}  // namespace

TEST_CASE("every verdict and comparison has the name that the design gives it") {
  for (const char* text : {"invalid", "build_failed", "build_timeout", "launch_failed", "crashed", "hung", "wrong",
                           "nondeterministic", "out_of_bounds", "slower", "implausible", "forbidden", "ok"})
    CHECK(name(verdict_from_name(text)) == text);
  for (const char* text : {"faster", "slower", "same", "ambiguous"}) CHECK(name(comparison_from_name(text)) == text);
  CHECK(name(Verdict::out_of_bounds) == "out_of_bounds");
  CHECK(name(Comparison::ambiguous) == "ambiguous");
  CHECK_THROWS_AS((void)verdict_from_name("good"), Error);
  CHECK_THROWS_AS((void)comparison_from_name(""), Error);
}

TEST_CASE("a variant's identity is the SHA-256 of its canonical JSON and does not depend on the order of tunables") {
  const Variant v = packed();
  CHECK(to_string(v) == "matmul/packed kc=256 mr=12 nr=32");
  CHECK(variant_from_json(to_json(v)) == v);
  const Variant other = variant_from_json(parsed(
      R"({"tunables":{"mr":12,"kc":256,"nr":32},"template":"packed","family":"matmul","template_digest":"d1",)"
      R"("region":"0123456789abcdef"})"));
  CHECK(digest_of(other) == digest_of(v));
  CHECK(
      digest_of(v) ==
      sha256_hex(std::string_view(
          R"({"family":"matmul","region":"0123456789abcdef","template":"packed","template_digest":"d1",)"
          R"("tunables":{"kc":256,"mr":12,"nr":32}})")));
  Variant changed = v;
  changed.tunables["mr"] = 14;
  CHECK(digest_of(changed) != digest_of(v));
}

TEST_CASE("a rendered kernel survives the way through text") {
  RenderedKernel k;
  k.variant = packed();
  k.file_name = "kernel.cpp";
  k.source = "int main() { return \"\\u00e9\\n\"[0]; }\n";
  k.compile_flags = {"-O3"};
  k.libraries = {"dnnl"};
  k.prepared_bytes = {4096};
  k.temporary_bytes = {64, 128};
  k.prepare = {{"pack", {{RenderedArg::Kind::input, 1}, {RenderedArg::Kind::prepared, 0}}, 3, 0, 0, false}};
  k.run = {{"run", {{RenderedArg::Kind::temporary, 1}, {RenderedArg::Kind::output, 0}}, 8, 512, 0, true}};
  k.cpu_features = {"avx512f"};
  const std::string text = json::canonical(to_json(k));
  const RenderedKernel back = rendered_from_json(parsed(text));
  CHECK(json::canonical(to_json(back)) == text);
  CHECK(back.source == k.source);
  REQUIRE(back.run.size() == 1);
  CHECK(back.run[0].args[0].kind == RenderedArg::Kind::temporary);
  CHECK(back.run[0].args[0].index == 1);
  CHECK(back.prepare[0].args[1].kind == RenderedArg::Kind::prepared);
  CHECK_THROWS_AS((void)rendered_from_json(parsed(replaced(text, "\"temporary\"", "\"register\""))), Error);
}

TEST_CASE("a plan's JSON is the text that libkiln parses") {
  CHECK(json::canonical(to_json(small_plan())) == kSmallPlan);
  CHECK(json::canonical(to_json(plan_from_json(parsed(kSmallPlan)))) == kSmallPlan);
}

TEST_CASE("scratch has a place among the temporaries for every thread, or is refused") {
  Plan plan = small_plan();
  plan.run[0].library_bytes = 4096;
  CHECK(plan_from_json(to_json(plan)).run[0].library_bytes == 4096);
  plan.run[0].scratch_offset = 128;
  plan.temporary_bytes = 128 + 2 * 128;
  const std::string text = json::canonical(to_json(plan));
  CHECK(json::canonical(to_json(plan_from_json(parsed(text)))) == text);
  CHECK(plan_from_json(parsed(text)).run[0].scratch_offset == 128);
  refused(replaced(text, "\"temporary_bytes\":384", "\"temporary_bytes\":383"));
  refused(replaced(text, "\"scratch_offset\":128", "\"scratch_offset\":-64"));
  refused(replaced(text, "\"scratch_bytes\":128", "\"scratch_bytes\":9007199254740992"));
}

TEST_CASE("a plan that names what is not there is refused") {
  refused(replaced(kSmallPlan, "kiln-plan/1", "kiln-plan/2"));
  refused(replaced(kSmallPlan, "\"args\":[2,3]", "\"args\":[2,5]"));
  refused(replaced(kSmallPlan, "\"args\":[2,3]", "\"args\":[-1,3]"));
  refused(replaced(kSmallPlan, "\"buffer\":1", "\"buffer\":9"));
  refused(replaced(kSmallPlan, "\"kind\":\"constant\"", "\"kind\":\"shared\""));
  refused(replaced(kSmallPlan, "\"constants_bytes\":112", "\"constants_bytes\":111"));
  refused(replaced(kSmallPlan, "\"temporary_bytes\":72", "\"temporary_bytes\":71"));
  refused(replaced(kSmallPlan, "\"prepared_bytes\":48", "\"prepared_bytes\":-48"));
  refused(replaced(kSmallPlan, "\"object\":0", "\"object\":1"));
  refused(replaced(kSmallPlan, "\"index\":0,\"kind\":\"output\"", "\"index\":1,\"kind\":\"output\""));
  refused(replaced(kSmallPlan, "\"dtype\":\"f32\"", "\"dtype\":\"f31\""));
  refused(replaced(kSmallPlan, "\"offset\":64", "\"offset\":9223372036854775807"));
}

TEST_CASE("a plan without one of its members is refused, and so is one cut at any byte") {
  const json::object whole = to_json(small_plan());
  for (const auto& member : whole) {
    json::object without = whole;
    without.erase(member.key());
    CHECK_THROWS_AS((void)plan_from_json(without), Error);
  }
  const std::string text = kSmallPlan;
  for (std::size_t length = 0; length < text.size(); ++length)
    CHECK_THROWS_AS((void)plan_from_json(parsed(text.substr(0, length))), Error);
}

TEST_CASE("one flipped bit of a plan's text gives an error or another valid plan, never anything else") {
  for (std::size_t at = 0; at < std::string(kSmallPlan).size(); ++at) {
    std::string text = kSmallPlan;
    text[at] = static_cast<char>(text[at] ^ 1);
    try {
      const Plan plan = plan_from_json(parsed(text));
      CHECK(json::canonical(to_json(plan)) != kSmallPlan);
    } catch (const Error&) {
    }
  }
}

TEST_CASE("figures that JSON has no number for survive") {
  CheckFact f;
  f.verdict = Verdict::out_of_bounds;
  f.evidence = "guard after output 0 overwritten at byte 12";
  ErrorFact e;
  e.family = "heavy_tail";
  e.normwise = std::numeric_limits<double>::infinity();
  e.worst_value = std::numeric_limits<double>::quiet_NaN();
  e.worst_expected = -std::numeric_limits<double>::infinity();
  e.max_scaled = 1e-300;
  e.mismatched_nonfinite = 3;
  f.errors = {e};
  f.input_sensitive = false;
  const CheckFact back = check_fact_from_json(parsed(json::canonical(to_json(f))));
  CHECK(back.verdict == Verdict::out_of_bounds);
  CHECK(back.evidence == f.evidence);
  CHECK(!back.input_sensitive);
  CHECK(back.undoubled.empty());
  f.undoubled = "element 3 of output 0";
  CHECK(check_fact_from_json(parsed(json::canonical(to_json(f)))).undoubled == f.undoubled);
  REQUIRE(back.errors.size() == 1);
  CHECK(std::isinf(back.errors[0].normwise));
  CHECK(std::isnan(back.errors[0].worst_value));
  CHECK(back.errors[0].worst_expected < 0);
  CHECK(back.errors[0].max_scaled == 1e-300);
  CHECK(back.errors[0].mismatched_nonfinite == 3);
}

TEST_CASE("node, build and sample facts survive the way through text to the last bit") {
  NodeFacts n;
  n.cpu_model = "Some CPU";
  n.features = {"avx2", "fma"};
  n.cores = 2;
  n.l1d_bytes = 32768;
  n.l3_bytes = std::int64_t{1} << 40;
  n.bandwidth = {{"l1_read", 1.0 / 3}, {"memory_read", 2e10}};
  n.flops = {{"f32", 1.23456789e11}};
  n.launch_ns = 812.5;
  n.sandbox = {"seccomp", "landlock:7"};
  const NodeFacts n2 = node_facts_from_json(parsed(json::canonical(to_json(n))));
  CHECK(n2.bandwidth == n.bandwidth);
  CHECK(n2.flops == n.flops);
  CHECK(n2.l3_bytes == n.l3_bytes);
  CHECK(n2.sandbox == n.sandbox);
  CHECK(json::canonical(to_json(n2)) == json::canonical(to_json(n)));

  BuildFact b{Verdict::build_failed, "", 0, std::int64_t{1} << 55, {{"kernel.cpp", 12, "error", "expected ';'"}}};
  const BuildFact b2 = build_fact_from_json(parsed(json::canonical(to_json(b))));
  CHECK(b2.build_ns == b.build_ns);
  CHECK(b2.diagnostics.at(0).line == 12);
  CHECK(b2.diagnostics.at(0).message == "expected ';'");

  SampleFact s;
  ErrorFact error;
  error.family = "normal";
  error.normwise = 1e-7;
  s.subjects = {{"incumbent", Verdict::ok, "", {100.25, 0.1 + 0.2}, {error}, {{1, 2}, {}}},
                {"x", Verdict::hung, "5 s", {}, {}, {}}};
  s.cycles_per_ns = {2.5};
  s.fresh_process = true;
  const SampleFact s2 = sample_fact_from_json(parsed(json::canonical(to_json(s))));
  CHECK(s2.subjects.at(0).ns == s.subjects[0].ns);
  CHECK(s2.subjects.at(0).launch_ns == s.subjects[0].launch_ns);
  CHECK(s2.subjects.at(0).errors.at(0).family == "normal");
  CHECK(s2.subjects.at(0).errors.at(0).normwise == 1e-7);
  CHECK(s2.subjects.at(1).errors.empty());
  CHECK(s2.subjects.at(1).verdict == Verdict::hung);
  CHECK(s2.fresh_process);
}

TEST_CASE("what is for a GPU carries its geometry and architecture, and what is for a CPU has no such member") {
  Plan p = small_plan();
  CHECK(json::canonical(to_json(p)).find("grid") == std::string::npos);
  CHECK(json::canonical(to_json(p)).find("architecture") == std::string::npos);
  p.target = "cuda";
  p.architecture = "sm_90a";
  p.run[0].geometry = Geometry{256, 1024, 2};
  const Plan back = plan_from_json(parsed(json::canonical(to_json(p))));
  CHECK(back.architecture == "sm_90a");
  CHECK(back.run[0].geometry == p.run[0].geometry);
  CHECK_FALSE(back.prepare[0].geometry.has_value());

  NodeFacts n;
  n.gpu = GpuFacts{};
  n.gpu->architecture = "sm_80";
  n.gpu->multiprocessors = 108;
  n.gpu->l2_bytes = 40 << 20;
  const NodeFacts n2 = node_facts_from_json(parsed(json::canonical(to_json(n))));
  REQUIRE(n2.gpu.has_value());
  CHECK(n2.gpu->multiprocessors == 108);
  CHECK(json::canonical(to_json(n2)) == json::canonical(to_json(n)));

  BuildFact b;
  b.kernels = {{"kiln_0123", 168, 16, 20, 1024}};
  const BuildFact b2 = build_fact_from_json(parsed(json::canonical(to_json(b))));
  REQUIRE(b2.kernels.size() == 1);
  CHECK(b2.kernels[0].registers == 168);
  CHECK(b2.kernels[0].spill_bytes == 20);
}
