// The real worker processes, held to candidates that misbehave. Each must get its own verdict, and the next candidate a
// right one.
#include <doctest/doctest.h>

#include <sched.h>

#include <algorithm>

#include "daemon/worker/bench_memory.h"
#include "tests/worker/bench.h"

using namespace kiln;
using namespace kiln::test;

namespace {

const char* kRight = "for (int i = 0; i < 1000; ++i) y[i] = 2 * x[i];";

double worst(const CheckFact& fact) {
  double out = 0;
  for (const ErrorFact& error : fact.errors)
    out = std::max({out, error.normwise, static_cast<double>(error.mismatched_nonfinite)});
  return out;
}

}  // namespace

TEST_CASE("a compiler that does not end is stopped at its limit of processor time, and the next build is right") {
  Bench bench;
  const BuildFact endless = bench.build(
      "", "constexpr long spin(long n) { for (long i = 0; i < 200000; ++i) n += i; return n; }\n"
      "template <int N> struct Again { static constexpr long value = spin(N) + Again<N - 1>::value; };\n"
      "template <> struct Again<0> { static constexpr long value = 0; };\nstatic_assert(Again<800>::value > 0);",
      1'000'000'000);
  CHECK(endless.verdict == Verdict::build_timeout);
  REQUIRE_FALSE(endless.diagnostics.empty());
  CHECK(endless.diagnostics.back().message == "the compiler was stopped at its time limit");
  CHECK(bench.check(kRight).verdict == Verdict::ok);
}

TEST_CASE("a right candidate passes with no error, and every misbehaviour gets its own verdict") {
  Bench bench;
  SUBCASE("right") {
    const CheckFact fact = bench.check(kRight);
    CHECK(fact.verdict == Verdict::ok);
    CHECK(fact.errors.size() == 3);
    CHECK(fact.undoubled.empty());
    CHECK(worst(fact) == 0);  // doubling is exact
    CHECK(fact.input_sensitive);
  }
  SUBCASE("drops the tail") {
    const CheckFact fact = bench.check("for (int i = 0; i < 999; ++i) y[i] = 2 * x[i];");
    CHECK(fact.verdict == Verdict::wrong);
    CHECK(fact.evidence.find("element 999 of output 0 is not written") != std::string::npos);
    CHECK(worst(fact) > 0);  // poison is a NaN
  }
  SUBCASE("writes nothing") {
    const CheckFact fact = bench.check("");
    CHECK(fact.verdict == Verdict::wrong);
    CHECK(fact.evidence.find("element 0 of output 0 is not written") != std::string::npos);
  }
  SUBCASE("is a little wrong everywhere") {
    const double error = worst(bench.check("for (int i = 0; i < 1000; ++i) y[i] = 2.002f * x[i];"));
    CHECK(error > 0.0009);
    CHECK(error < 0.0011);
  }
  SUBCASE("crashes") {
    const CheckFact fact = bench.check("*reinterpret_cast<volatile int*>(8) = 1;");
    CHECK(fact.verdict == Verdict::crashed);
    CHECK(fact.evidence.find("signal 11") != std::string::npos);
  }
  SUBCASE("traps") { CHECK(bench.check("__builtin_trap();").verdict == Verdict::crashed); }
  SUBCASE("hangs") {
    const CheckFact fact = bench.check("volatile int forever = 1; while (forever) {}", 1'000'000'000);
    CHECK(fact.verdict == Verdict::hung);
    CHECK(fact.evidence.find("past its deadline") != std::string::npos);
  }
  SUBCASE("writes past its output") {
    CHECK(bench.check(std::string(kRight) + " y[1016] = 1;").verdict == Verdict::out_of_bounds);
  }
  SUBCASE("writes before its output") {
    CHECK(bench.check(std::string(kRight) + " y[-1] = 1;").verdict == Verdict::out_of_bounds);
  }
  SUBCASE("changes its input") {
    CHECK(bench.check(std::string(kRight) + " const_cast<float*>(x)[3] += 1;").verdict == Verdict::out_of_bounds);
  }
  SUBCASE("gives other bits each time") {
    const CheckFact fact =
        bench.check(std::string(kRight) + " y[6] = static_cast<float>(__builtin_ia32_rdtsc() & 0xffff);");
    CHECK(fact.verdict == Verdict::nondeterministic);
  }
  SUBCASE("ignores its input") {
    const CheckFact fact = bench.check("for (int i = 0; i < 1000; ++i) y[i] = 1;");
    CHECK_FALSE(fact.input_sensitive);
    CHECK(fact.evidence.find("family 'doubled' gave the bits of 'normal'") != std::string::npos);
    CHECK(fact.undoubled.find("element 0 of output 0") != std::string::npos);
  }
  // Whatever happened, the bench still works.
  CHECK(bench.check(kRight).verdict == Verdict::ok);
}

TEST_CASE("a kernel follows its inputs where its operator takes no notice of their scale") {
  Bench bench;
  bench.families = {"normal", "amplified", "heavy_tail"};
  graph::Graph g;
  const graph::ValueId x = g.add_input("x", {graph::DType::f32, {kCount}});
  graph::Expr square;
  const auto element = square.operand(0, graph::DType::f32);
  square.results = {square.apply(graph::ExprOp::mul, element, element)};
  const graph::ValueId squares = g.add_node(graph::Pointwise{square}, {x}, "squares")[0];
  const graph::ValueId sum = g.add_node(graph::Reduce{graph::Monoid::sum, {0}, true}, {squares}, "sum")[0];
  graph::Expr scale;
  const auto mean = scale.apply(graph::ExprOp::div, scale.operand(1, graph::DType::f32),
                                scale.constant(kCount, graph::DType::f32));
  const auto least = scale.apply(graph::ExprOp::add, mean, scale.constant(1e-12, graph::DType::f32));
  scale.results = {scale.apply(graph::ExprOp::div, scale.operand(0, graph::DType::f32),
                               scale.apply(graph::ExprOp::sqrt, least))};
  g.outputs = g.add_node(graph::Pointwise{scale}, {x, sum}, "root mean square norm");
  bench.graph = bench.objects.put(json::canonical(graph::to_json(g)));
  const CheckFact fact = bench.check(
      "double sum = 0; for (int i = 0; i < 1000; ++i) sum += double(x[i]) * x[i];\n"
      "for (int i = 0; i < 1000; ++i) y[i] = static_cast<float>(x[i] / __builtin_sqrt(sum / 1000 + 1e-12));");
  CHECK(fact.verdict == Verdict::ok);
  CHECK(fact.input_sensitive);
  CHECK(worst(fact) < 1e-6);
}

TEST_CASE("a source that does not compile gives its diagnostics with their line") {
  Bench bench;
  const BuildFact fact = bench.build("undeclared_name = 1;");
  CHECK(fact.verdict == Verdict::build_failed);
  REQUIRE_FALSE(fact.diagnostics.empty());
  CHECK(fact.diagnostics.front().message.find("undeclared_name") != std::string::npos);
  CHECK(fact.diagnostics.front().line == 5);
}

TEST_CASE("a missing symbol is a launch that failed") {
  Bench bench;
  const BuildFact built = bench.build(kRight);
  CheckRequest request;
  request.graph = bench.graph;
  request.subject = bench.subject("candidate", built.object);
  request.subject.plan.run[0].symbol = "another";
  request.families = {"normal"};
  const CheckFact fact = bench.bench->check(request);
  CHECK(fact.verdict == Verdict::launch_failed);
  CHECK(fact.evidence.find("another") != std::string::npos);
}

TEST_CASE("a vendor library works inside the sandbox, with its state, on the thread that calls it") {
  Bench bench;
  RenderedKernel kernel;
  kernel.file_name = "kernel.cpp";
  kernel.libraries = {"dnnl"};
  kernel.compile_flags = {"-fopenmp"};
  kernel.source = R"(#include "runtime/kernel_abi.h"
#include <dnnl.hpp>
#include <omp.h>
struct State {
  dnnl::engine engine{dnnl::engine::kind::cpu, 0};
  dnnl::stream stream{engine};
  dnnl::memory::desc desc{{1000}, dnnl::memory::data_type::f32, dnnl::memory::format_tag::a};
};
extern "C" void* k_create(int32_t) { omp_set_num_threads(1); return new State; }
extern "C" void k_destroy(void* state) { delete static_cast<State*>(state); }
extern "C" void k(void* const* args, const kiln_task* task) {
  State& s = *static_cast<State*>(task->state);
  dnnl::memory x(s.desc, s.engine, args[0]), y(s.desc, s.engine, args[1]);
  int threads = 0;
#pragma omp parallel
#pragma omp atomic
  ++threads;
  dnnl::reorder(x, y).execute(s.stream, x, y);
  s.stream.wait();
  for (int i = 0; i < 1000; ++i) static_cast<float*>(args[1])[i] *= 2 * threads;
}
)";
  const BuildFact built = bench.bench->build(std::vector<BuildRequest>{{kernel, 60'000'000'000}}).front();
  INFO((built.diagnostics.empty() ? std::string() : built.diagnostics.front().message));
  REQUIRE(built.verdict == Verdict::ok);
  CheckRequest request;
  request.graph = bench.graph;
  request.subject = bench.subject("vendor", built.object);
  request.subject.plan.run[0].has_state = true;
  request.families = {"normal", "uniform"};
  const CheckFact fact = bench.bench->check(request);
  INFO(fact.evidence);
  CHECK(fact.verdict == Verdict::ok);
  CHECK(worst(fact) == 0);  // one thread times two
}

TEST_CASE("one subject that crashes while it is timed costs no other its samples") {
  Bench bench;
  const BuildFact good = bench.build(kRight);
  const BuildFact bad = bench.build("if (x[0] > 0.5f) __builtin_trap();");  // the values of every call are new
  MeasureRequest request;
  request.subjects = {bench.subject("a", good.object), bench.subject("bad", bad.object),
                      bench.subject("b", good.object)};
  request.samples = 6;
  const SampleFact fact = bench.bench->measure(request);
  REQUIRE(fact.subjects.size() == 3);
  CHECK(fact.subjects[0].ns.size() == 6);
  CHECK(fact.subjects[1].verdict == Verdict::crashed);
  CHECK(fact.subjects[2].ns.size() == 6);
  CHECK(fact.cycles_per_ns.size() == 6);
  for (const double clock : fact.cycles_per_ns) {
    CHECK(clock > 0);  // less than the clock where the host took the core away meanwhile
    CHECK(clock < 10);
  }
  CHECK(*std::max_element(fact.cycles_per_ns.begin(), fact.cycles_per_ns.end()) > 0.2);
}

namespace {

// A kernel whose calls take 4e8 ticks of the wall's clock each, a tenth to half of a second, and do not end where
// `endless` holds.
std::string slow(const std::string& endless) {
  return std::string(kRight) + " if (" + endless + ") for (volatile int forever = 1; forever;) {}\n" +
         "const auto begin = __builtin_ia32_rdtsc(); while (__builtin_ia32_rdtsc() - begin < 400000000) {}";
}

}  // namespace

TEST_CASE("a measurement past its deadline is not hung as long as its calls end, and one that loops is") {
  Bench bench;
  MeasureRequest request;
  request.warmup = 1;
  request.samples = 12;
  request.cold = false;
  request.limit_ns = 0;
  request.timeout_ns = 2'000'000'000;
  const auto measured = [&](const char* endless) {
    const BuildFact built = bench.build(slow(endless));
    INFO((built.diagnostics.empty() ? std::string() : built.diagnostics.front().message));
    REQUIRE(built.verdict == Verdict::ok);
    request.subjects = {bench.subject("slow", built.object)};
    return bench.bench->measure(request);
  };
  const SampleFact sound = measured("false");
  CHECK(sound.subjects.at(0).verdict == Verdict::ok);
  CHECK(sound.subjects.at(0).ns.size() == 12);
  CHECK(sound.wall_ns > 2'000'000'000);
  const SampleFact at_once = measured("true"), later = measured("x[0] > 1");
  CHECK(at_once.subjects.at(0).verdict == Verdict::hung);
  CHECK(at_once.subjects.at(0).evidence.find("past its deadline after 2") != std::string::npos);
  CHECK(later.subjects.at(0).verdict == Verdict::hung);
  CHECK(later.wall_ns < 15'000'000'000);  // where claims of steps would buy 20 s
}

TEST_CASE("the launches of a plan are timed one by one where that is asked for, and fill its call") {
  Bench bench;
  MeasureRequest request;
  request.subjects = {bench.subject("a", bench.build(kRight).object)};
  Plan& plan = request.subjects[0].plan;
  plan.run.push_back(plan.run[0]);
  request.samples = 5;
  request.cold = false;
  request.per_launch = true;
  const SampleFact fact = bench.bench->measure(request);
  const SampleFact::Subject& subject = fact.subjects.at(0);
  REQUIRE(subject.verdict == Verdict::ok);
  REQUIRE(subject.launch_ns.size() == 5);
  for (std::size_t i = 0; i < 5; ++i) {
    REQUIRE(subject.launch_ns[i].size() == 2);
    CHECK(std::min(subject.launch_ns[i][0], subject.launch_ns[i][1]) > 0);
    CHECK(subject.launch_ns[i][0] + subject.launch_ns[i][1] <= subject.ns[i]);
  }
}

TEST_CASE("rounds end at their limit, and one of those that were made is proved") {
  Bench bench;
  MeasureRequest request;
  request.subjects = {bench.subject("a", bench.build(kRight).object)};
  request.proof = Proof{bench.graph, {}, "normal", 7};
  request.samples = 1'000'000;
  request.limit_ns = 1;
  const SampleFact fact = bench.bench->measure(request);
  CHECK(fact.subjects.at(0).verdict == Verdict::ok);
  CHECK(fact.subjects.at(0).ns.size() == 12);  // the least that a comparison needs
  REQUIRE(fact.subjects.at(0).errors.size() == 1);
  CHECK(fact.subjects.at(0).errors.at(0).normwise == 0);
}

TEST_CASE("the probe says what the machine is and what its workers are held to, the cores that they got among it") {
  cpu_set_t before, after;
  REQUIRE(::sched_getaffinity(0, sizeof before, &before) == 0);
  testing::ObjectFolder objects;
  worker::BenchOptions options = testing::bench_options(objects);
  options.cores = 1;
  options.memory = std::make_shared<worker::BenchMemory>();
  const NodeFacts facts = worker::make_workbench(options, objects)->probe(Probing::recent);
  CHECK(facts.cores == 1);
  REQUIRE(::sched_getaffinity(0, sizeof after, &after) == 0);
  CHECK(CPU_EQUAL(&before, &after));  // of the workers alone
  // A machine of twenty busy threads to a core has shown 1e9; a figure in another unit is further off.
  CHECK(facts.flops.at("f32") > 5e7);
  CHECK(facts.bandwidth.at("memory_read") > 5e7);
  CHECK(facts.bandwidth.at("l1_read") > facts.bandwidth.at("memory_read"));
  CHECK(facts.launch_ns > 10);
  CHECK(facts.launch_ns < 1e6);
  CHECK(facts.false_difference_rate >= 0);
  CHECK(facts.false_difference_rate <= 1);
  CHECK(std::find(facts.sandbox.begin(), facts.sandbox.end(), "seccomp") != facts.sandbox.end());
  // What was measured is given again to a bench of the same cores, and to no other.
  CHECK(worker::make_workbench(options, objects)->probe(Probing::recent).flops == facts.flops);
  options.threads = 1;
  CHECK(worker::make_workbench(options, objects)->probe(Probing::recent).flops != facts.flops);
}
