// A bench over the fake driver, and plans for y = the sums of 100 rows of 64.
#pragma once

#include <doctest/doctest.h>

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "agents/graph/serialize.h"
#include "daemon/worker/bench_memory.h"
#include "daemon/worker/workbench.h"
#include "runtime/base/json.h"
#include "tests/cuda/oracle_on_gpu.h"
#include "tests/worker/object_folder.h"

namespace kiln::testing {

struct GpuBench {
  ObjectFolder objects;
  std::shared_ptr<worker::BenchMemory> memory = std::make_shared<worker::BenchMemory>();
  std::unique_ptr<agents::Workbench> bench;
  std::string graph;

  // `driver`: the folder of a fake driver.
  explicit GpuBench(const std::string& driver = "fake") {
    bench = worker::make_workbench(options(KILN_BINARY_DIR "/" + driver + ":" KILN_BINARY_DIR "/fake"), objects);
    const graph::Graph sums =
        of_node(graph::Reduce{graph::Monoid::sum, {1}, false}, {{graph::DType::f32, {100, 64}}});
    graph = objects.put(json::canonical(to_json(sums)));
  }

  [[nodiscard]] worker::BenchOptions options(const std::string& libraries) const {
    worker::BenchOptions out = bench_options(objects);
    out.target = "cuda";
    out.library_path = libraries;
    out.least_device_work = 1;
    out.memory = memory;
    return out;
  }

  agents::CheckFact check(const agents::Subject& subject) { return check(subject, *bench); }
  agents::CheckFact check(const agents::Subject& subject, agents::Workbench& by) const {
    agents::CheckRequest request;
    request.graph = graph;
    request.subject = subject;
    request.families = {"normal", "integers"};
    request.seed = 3;
    return by.check(request);
  }

  // `before` is done first, by every thread. With `constant` the plan has 2 MiB of constants, all of that value, which
  // `before` finds at arguments.at[2].
  agents::Subject subject(const std::string& name, const std::string& before, std::optional<float> constant = {}) {
    agents::BuildRequest request;
    request.kernel.file_name = "kernel.cu";
    request.kernel.architecture = "sm_90a";
    request.kernel.source = R"(
using u16 = unsigned short; using u32 = unsigned int; using u64 = unsigned long long; using f32 = float;
struct f16 { u16 bits; }; struct bf16 { u16 bits; };
struct alignas(16) Words4 { u32 at[4]; }; struct alignas(8) Words2 { u32 at[2]; };
struct Arguments { void* at[)" + std::string(constant ? "3" : "2") + R"(]; };
#include KILN_EMULATION
static int launches = 0;
KILN_ENTRY(row_sum) {
  float factor = 1;
  launches += block_index() == 0 && thread_index() == 0;
)" + before + R"(
  const float* x = static_cast<const float*>(arguments.at[0]) + 64 * block_index();
  float sum = 0;
  for (int i = 0; i < 64; ++i) sum += x[i];
  if (thread_index() == 0) static_cast<float*>(arguments.at[1])[block_index()] = factor * sum;
}
)";
    const agents::BuildFact built = bench->build({&request, 1}).front();
    REQUIRE(built.verdict == agents::Verdict::ok);
    agents::Plan plan;
    plan.name = name;
    plan.target = "cuda";
    plan.architecture = "sm_90a";
    plan.buffers = {{agents::PlanBuffer::Kind::input, 25600, 0, 0}, {agents::PlanBuffer::Kind::output, 400, 0, 0}};
    plan.inputs = {{"x", {graph::DType::f32, {100, 64}}, 0}};
    plan.outputs = {{"y", {graph::DType::f32, {100}}, 1}};
    plan.objects = {built.object};
    agents::PlanLaunch launch;
    launch.symbol = "row_sum";
    launch.args = {0, 1};
    launch.tasks = 100;
    launch.geometry = agents::Geometry{32, 0, 1};
    if (constant) {
      const std::vector<float> values(std::size_t{1} << 19, *constant);
      const std::string bytes(reinterpret_cast<const char*>(values.data()), values.size() * sizeof(float));
      plan.constants = objects.put(bytes);
      plan.constants_bytes = static_cast<std::int64_t>(bytes.size());
      plan.buffers.push_back({agents::PlanBuffer::Kind::constant, plan.constants_bytes, 0, 0});
      launch.args.push_back(2);
    }
    plan.run = {launch};
    return {name, plan};
  }
};

}  // namespace kiln::testing
