#include "tests/cuda/oracle_on_gpu.h"

#include <doctest/doctest.h>

#include <filesystem>

#include "daemon/targets/cuda/compile.h"
#include "daemon/targets/cuda/oracle/kernels.h"
#include "tests/temporary_folder.h"

namespace kiln::testing {
namespace {

// The fake NVRTC works in the current folder.
std::string compiled() {
  const test::TemporaryFolder scratch;
  const std::filesystem::path before = std::filesystem::current_path();
  std::filesystem::current_path(scratch.path);
  const targets::cuda::Compiler compiler;
  const auto result = compiler.compile({"oracle.cu", targets::cuda::oracle::kernels_source(),
                                        gpu_of_test().description().architecture,
                                        targets::cuda::oracle::kernels_flags(), true});
  std::filesystem::current_path(before);
  REQUIRE_MESSAGE(result.ok, result.diagnostics.at(0).message);
  return result.object;
}

}  // namespace

targets::cuda::Gpu& gpu_of_test() {
  static targets::cuda::Gpu gpu(0);
  return gpu;
}

bool has_own_mathematics() { return gpu_of_test().description().name != "GPU of the fake driver"; }

worker::DeviceOracle& device_oracle() {
  static const std::string object = compiled();
  static worker::DeviceOracle oracle(gpu_of_test(), object);
  return oracle;
}

graph::Graph of_node(graph::Op op, const std::vector<graph::TensorType>& types) {
  graph::Graph g;
  std::vector<graph::ValueId> inputs;
  for (std::size_t i = 0; i < types.size(); ++i) inputs.push_back(g.add_input("x" + std::to_string(i), types[i]));
  g.name = std::string(graph::kind_name(op));
  g.outputs = g.add_node(std::move(op), inputs, "the node");
  return g;
}

}  // namespace kiln::testing
