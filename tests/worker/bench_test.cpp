// The real worker processes, held to candidates that misbehave. Each must get its own verdict, and the next candidate a right one.
#include <doctest/doctest.h>
#include <stdlib.h>

#include <chrono>
#include <filesystem>

#include "agents/graph/serialize.h"
#include "daemon/worker/cpu_workbench.h"
#include "runtime/base/digest.h"
#include "runtime/base/files.h"

using namespace kiln;
using namespace kiln::agents;

namespace {

constexpr int kCount = 1000;

struct Folder : worker::ObjectSource {
  std::filesystem::path root;
  Folder() {
    std::string name = (std::filesystem::temp_directory_path() / "kiln-worker-test-XXXXXX").string();
    root = ::mkdtemp(name.data());
    std::filesystem::create_directory(root / "blobs");
  }
  ~Folder() override { std::filesystem::remove_all(root); }
  std::string put(std::string_view bytes) override {
    const std::string digest = sha256_hex(bytes);
    write_file_atomic(root / "blobs" / digest, bytes);
    return digest;
  }
  [[nodiscard]] std::filesystem::path path(const std::string& digest) const override { return root / "blobs" / digest; }
};

// y = 2 x over 1000 floats, and a bench to run candidates for it.
struct Bench {
  Folder objects;
  std::unique_ptr<Workbench> bench;
  std::string graph;

  Bench() {
    worker::BenchOptions options;
    options.worker = std::filesystem::path(KILN_BINARY_DIR) / "bin/kiln-worker";
    options.include_dir = KILN_SOURCE_DIR;
    options.staging = objects.root / "staging";
    bench = worker::make_workbench(options, objects);
    graph::Graph g;
    const graph::ValueId x = g.add_input("x", {graph::DType::f32, {kCount}});
    graph::Expr twice;
    const auto product = twice.apply(graph::ExprOp::mul, twice.operand(0, graph::DType::f32), twice.constant(2, graph::DType::f32));
    twice.results = {product};
    g.outputs = g.add_node(graph::Pointwise{twice}, {x}, "twice");
    graph = objects.put(json::canonical(graph::to_json(g)));
  }

  BuildFact build(const std::string& body) {
    RenderedKernel kernel;
    kernel.file_name = "kernel.cpp";
    kernel.source = "#include \"runtime/kernel_abi.h\"\n#include <cstdlib>\n#include <fcntl.h>\n#include <sys/socket.h>\n#include <unistd.h>\nextern \"C\" void k(void* const* args, const kiln_task* task) {\n"
                    "  const float* x = static_cast<const float*>(args[0]); float* y = static_cast<float*>(args[1]); (void)task; (void)x; (void)y;\n" +
                    body + "\n}\n";
    return bench->build(std::vector<BuildRequest>{{kernel, 30'000'000'000}}).front();
  }

  Subject subject(const std::string& name, const std::string& object) {
    Plan plan;
    plan.name = name;
    plan.threads = 1;
    plan.buffers = {{PlanBuffer::Kind::input, 4 * kCount, 0, 0}, {PlanBuffer::Kind::output, 4 * kCount, 0, 0}};
    plan.inputs = {{"x", {graph::DType::f32, {kCount}}, 0}};
    plan.outputs = {{"y", {graph::DType::f32, {kCount}}, 1}};
    plan.objects = {object};
    PlanLaunch launch;
    launch.symbol = "k";
    launch.args = {0, 1};
    plan.run = {launch};
    return {name, plan};
  }

  CheckFact check(const std::string& body, std::int64_t timeout_ns = 20'000'000'000) {
    const BuildFact built = build(body);
    REQUIRE(built.verdict == Verdict::ok);
    CheckRequest request;
    request.graph = graph;
    request.subject = subject("candidate", built.object);
    request.families = {"normal", "integers", "denormals"};
    request.seed = 7;
    request.timeout_ns = timeout_ns;
    return bench->check(request);
  }
};

const char* kRight = "for (int i = 0; i < 1000; ++i) y[i] = 2 * x[i];";

double worst(const CheckFact& fact) {
  double out = 0;
  for (const ErrorFact& error : fact.errors) out = std::max({out, error.normwise, static_cast<double>(error.mismatched_nonfinite)});
  return out;
}

}  // namespace

TEST_CASE("a right candidate passes with no error, and every misbehaviour gets its own verdict") {
  Bench bench;
  SUBCASE("right") {
    const CheckFact fact = bench.check(kRight);
    CHECK(fact.verdict == Verdict::ok);
    CHECK(fact.errors.size() == 3);
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
  SUBCASE("aborts") { CHECK(bench.check("abort();").verdict == Verdict::crashed); }
  SUBCASE("hangs") {
    const auto begin = std::chrono::steady_clock::now();
    CHECK(bench.check("static volatile int forever = 1; while (forever) {}", 1'000'000'000).verdict == Verdict::hung);
    CHECK(std::chrono::steady_clock::now() - begin < std::chrono::seconds(10));
  }
  SUBCASE("writes past its output") {
    CHECK(bench.check(std::string(kRight) + " y[1016] = 1;").verdict == Verdict::out_of_bounds);
  }
  SUBCASE("writes before its output") { CHECK(bench.check(std::string(kRight) + " y[-1] = 1;").verdict == Verdict::out_of_bounds); }
  SUBCASE("changes its input") {
    CHECK(bench.check(std::string(kRight) + " const_cast<float*>(x)[3] += 1;").verdict == Verdict::out_of_bounds);
  }
  SUBCASE("gives other bits each time") {
    const CheckFact fact = bench.check(std::string(kRight) + " static int calls = 0; y[5] += 1e-30f * ++calls; y[6] = static_cast<float>(calls);");
    CHECK(fact.verdict == Verdict::nondeterministic);
  }
  SUBCASE("ignores its input") {
    CHECK_FALSE(bench.check("for (int i = 0; i < 1000; ++i) y[i] = 1;").input_sensitive);
  }
  SUBCASE("reaches for the network, a program or a file, gets nothing, and says so by its output") {
    const CheckFact fact = bench.check(
        "const bool out = socket(2, 1, 0) >= 0 || execl(\"/bin/true\", \"true\", nullptr) == 0 || open(\"/etc/passwd\", 0) >= 0;\n"
        "for (int i = 0; i < 1000; ++i) y[i] = out ? 0 : 2 * x[i];");
    CHECK(fact.verdict == Verdict::ok);
    CHECK(worst(fact) == 0);
  }
  // Whatever happened, the bench still works.
  CHECK(bench.check(kRight).verdict == Verdict::ok);
}

TEST_CASE("a source that does not compile gives its diagnostics with their line") {
  Bench bench;
  const BuildFact fact = bench.build("undeclared_name = 1;");
  CHECK(fact.verdict == Verdict::build_failed);
  REQUIRE_FALSE(fact.diagnostics.empty());
  CHECK(fact.diagnostics.front().message.find("undeclared_name") != std::string::npos);
  CHECK(fact.diagnostics.front().line == 8);
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

TEST_CASE("a vendor library works inside the sandbox, with its threads and its state") {
  Bench bench;
  RenderedKernel kernel;
  kernel.file_name = "kernel.cpp";
  kernel.libraries = {"dnnl"};
  kernel.compile_flags = {"-fopenmp"};
  kernel.source = R"(#include "runtime/kernel_abi.h"
#include <dnnl.hpp>
#include <omp.h>
struct State { dnnl::engine engine{dnnl::engine::kind::cpu, 0}; dnnl::stream stream{engine}; dnnl::memory::desc desc{{1000}, dnnl::memory::data_type::f32, dnnl::memory::format_tag::a}; };
extern "C" void* k_create(int32_t) { omp_set_num_threads(2); return new State; }
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
  for (int i = 0; i < 1000; ++i) static_cast<float*>(args[1])[i] *= threads;
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
  CHECK(worst(fact) == 0);  // two threads times one copy is the double
}

TEST_CASE("one subject that crashes while it is timed costs no other its samples") {
  Bench bench;
  const BuildFact good = bench.build(kRight);
  const BuildFact bad = bench.build("static int calls = 0; if (++calls > 4) *reinterpret_cast<volatile int*>(8) = 1;");
  MeasureRequest request;
  request.subjects = {bench.subject("a", good.object), bench.subject("bad", bad.object), bench.subject("b", good.object)};
  request.samples = 6;
  const SampleFact fact = bench.bench->measure(request);
  REQUIRE(fact.subjects.size() == 3);
  CHECK(fact.subjects[0].ns.size() == 6);
  CHECK(fact.subjects[1].verdict == Verdict::crashed);
  CHECK(fact.subjects[2].ns.size() == 6);
  CHECK(fact.cycles_per_ns.size() == 6);
  for (const double clock : fact.cycles_per_ns) {
    CHECK(clock > 0.2);
    CHECK(clock < 10);
  }
}

TEST_CASE("the probe says what the machine is and what its workers are held to") {
  Bench bench;
  const NodeFacts facts = bench.bench->probe();
  CHECK(facts.cores >= 1);
  CHECK(facts.flops.at("f32") > 1e9);
  CHECK(facts.bandwidth.at("memory_read") > 1e9);
  CHECK(facts.bandwidth.at("l1_read") > facts.bandwidth.at("memory_read"));
  CHECK(facts.launch_ns > 10);
  CHECK(facts.launch_ns < 1e6);
  CHECK(facts.false_difference_rate >= 0);
  CHECK(facts.false_difference_rate <= 1);
  CHECK(std::find(facts.sandbox.begin(), facts.sandbox.end(), "seccomp") != facts.sandbox.end());
}
