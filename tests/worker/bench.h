// A bench of real worker processes for y = 2 x over 1000 floats, and candidates for it made of the text of a function's
// body.
#pragma once

#include <doctest/doctest.h>

#include <filesystem>
#include <memory>
#include <string>

#include "agents/graph/serialize.h"
#include "runtime/base/files.h"
#include "runtime/base/json.h"
#include "tests/worker/object_folder.h"

namespace kiln::test {

using namespace kiln::agents;

constexpr int kCount = 1000;

// y = 2 x over 1000 floats, and a bench to run candidates for it.
struct Bench {
  testing::ObjectFolder objects;
  std::unique_ptr<Workbench> bench;
  std::string graph;
  std::vector<std::string> families = {"normal", "integers", "denormals"};

  // `powercap`: where the counters of energy are; empty: where the system has them.
  explicit Bench(const std::filesystem::path& powercap = {}) {
    worker::BenchOptions options = testing::bench_options(objects);
    if (!powercap.empty()) options.powercap = powercap;
    bench = worker::make_workbench(options, objects);
    graph::Graph g;
    const graph::ValueId x = g.add_input("x", {graph::DType::f32, {kCount}});
    graph::Expr twice;
    const auto product =
        twice.apply(graph::ExprOp::mul, twice.operand(0, graph::DType::f32), twice.constant(2, graph::DType::f32));
    twice.results = {product};
    g.outputs = g.add_node(graph::Pointwise{twice}, {x}, "twice");
    graph = objects.put(json::canonical(graph::to_json(g)));
  }

  // `before` stands between the headers and the kernel.
  BuildFact build(const std::string& body, const std::string& before = {}, std::int64_t timeout_ns = 30'000'000'000) {
    RenderedKernel kernel;
    kernel.file_name = "kernel.cpp";
    kernel.source = "#include \"runtime/kernel_abi.h\"\n" + before +
                    "\nextern \"C\" void k(void* const* args, const kiln_task* task) {\n"
                    "  const float* x = static_cast<const float*>(args[0]); float* y = static_cast<float*>(args[1]); "
                    "(void)task; (void)x; (void)y;\n" +
                    body + "\n}\n";
    return bench->build(std::vector<BuildRequest>{{kernel, timeout_ns}}).front();
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
    return check_built(built, timeout_ns);
  }

  CheckFact check_built(const BuildFact& built, std::int64_t timeout_ns = 20'000'000'000) {
    CheckRequest request;
    request.graph = graph;
    request.subject = subject("candidate", built.object);
    request.families = families;
    request.seed = 7;
    request.timeout_ns = timeout_ns;
    return bench->check(request);
  }

  // Timed with a proof, among right candidates.
  SampleFact::Subject time(const BuildFact& built, std::int32_t samples = 20) {
    MeasureRequest request;
    request.subjects = {subject("candidate", built.object)};
    request.proof = Proof{graph, {}, "normal", 7};
    request.samples = samples;
    request.cold = false;
    request.timeout_ns = 20'000'000'000;
    return bench->measure(request).subjects.at(0);
  }
};

}  // namespace kiln::test
