// How long the oracle takes on a GPU for nodes of large models, in FP64 and in the model's own float32: milliseconds
// and the rate of multiply-adds (of elements read, where there are none), best of three. Needs a GPU; tests/cuda/bundle
// takes it to one (walk oracle-speed [JSON]).
#include <chrono>
#include <cstdio>
#include <fstream>

#include "daemon/targets/cuda/compile.h"
#include "daemon/targets/cuda/oracle/kernels.h"
#include "daemon/worker/device_oracle/device_array.h"
#include "daemon/worker/device_oracle/device_oracle.h"
#include "runtime/base/json.h"

using namespace kiln;
using namespace kiln::graph;

namespace {

Graph of_node(std::string name, Op op, const std::vector<TensorType>& types) {
  Graph g;
  g.name = std::move(name);
  std::vector<ValueId> inputs;
  for (std::size_t i = 0; i < types.size(); ++i) inputs.push_back(g.add_input("x" + std::to_string(i), types[i]));
  g.outputs = g.add_node(std::move(op), inputs, "the node");
  return g;
}

Steps steps(std::size_t rank, std::int64_t stride, std::int64_t pad) {
  return {Shape(rank, stride), Shape(rank, 1), Shape(rank, pad), Shape(rank, pad)};
}

std::vector<Graph> graphs() {
  const DType f = DType::f32;
  return {
      of_node("convolution 3x3", Convolution{steps(2, 1, 0), 1, false, {0, 0}},
              {{f, {64, 64, 128, 128}}, {f, {128, 64, 3, 3}}}),
      of_node("convolution 3x3x3, few channels", Convolution{steps(3, 1, 0), 1, false, {0, 0, 0}},
              {{f, {64, 8, 32, 64, 64}}, {f, {32, 8, 3, 3, 3}}}),
      of_node("transposed convolution 4x4 by 2", Convolution{steps(2, 2, 1), 1, true, {0, 0}},
              {{f, {32, 64, 128, 128}}, {f, {64, 64, 4, 4}}}),
      of_node("depthwise convolution 3x3", Convolution{steps(2, 1, 1), 128, false, {0, 0}},
              {{f, {32, 128, 256, 256}}, {f, {128, 1, 3, 3}}}),
      of_node("matmul 1024x8192x8192", MatMul{false, true}, {{f, {1024, 8192}}, {f, {8192, 8192}}}),
      of_node("matmul of few rows", MatMul{false, true}, {{f, {8, 8192}}, {f, {8192, 8192}}}),
      of_node("attention of 16 heads", Attention{0.125, false},
              {{f, {32, 16, 512, 64}}, {f, {32, 16, 512, 64}}, {f, {32, 16, 512, 64}}}),
      of_node("max window 3x3x3 by 2", Window{Monoid::max, {3, 3, 3}, steps(3, 2, 1), {32, 64, 64}, false, false},
              {{f, {16, 32, 64, 128, 128}}}),
      of_node("softmax of rows", Softmax{1, false}, {{f, {4096, 65536}}}),
      of_node("normalised rows", LayerNorm{1, 1e-5, true}, {{f, {64, 4194304}}, {f, {4194304}}, {f, {4194304}}}),
      of_node("running sum", Scan{Monoid::sum, 1, false, false}, {{f, {32768, 8192}}}),
      of_node("place of the largest", Arg{true, 1, false, false}, {{f, {64, 4096, 1024}}}),
  };
}

double milliseconds(const Graph& g, targets::cuda::Gpu& gpu, kiln::cuda::Module module, Arithmetic arithmetic) {
  const worker::device::Launcher launcher(gpu, module, arithmetic);
  double best = 1e300;
  for (int i = 0; i < 3; ++i) {
    worker::device::Inputs inputs;
    for (const ValueId v : g.inputs) inputs.push_back(launcher.make(g.type(v)));
    gpu.synchronize();
    const auto start = std::chrono::steady_clock::now();
    (void)worker::device::evaluate(g, std::move(inputs), launcher);
    best = std::min(best, std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count());
  }
  return best;
}

int run(const char* results) {
  targets::cuda::Gpu gpu(0);
  const targets::cuda::Compiler compiler;
  const auto compiled =
      compiler.compile({"oracle.cu", targets::cuda::oracle::kernels_source(), gpu.description().architecture,
                        targets::cuda::oracle::kernels_flags(), true});
  if (!compiled.ok) throw Error(ErrorCode::internal, compiled.diagnostics.at(0).message);
  const worker::DeviceOracle oracle(gpu, compiled.object);
  json::array rows;
  std::printf("%-34s %10s %10s %12s\n", "node", "fp64 ms", "float32 ms", "G/s in fp64");
  for (const Graph& g : graphs()) {
    const double fp64 = milliseconds(g, gpu, oracle.module(), Arithmetic::fp64);
    const double model = milliseconds(g, gpu, oracle.module(), Arithmetic::model);
    const double rate = worker::evaluation_work(g) / fp64 * 1e-6;
    std::printf("%-34s %10.2f %10.2f %12.1f\n", g.name.c_str(), fp64, model, rate);
    std::fflush(stdout);
    rows.push_back(json::object{{"node", g.name}, {"fp64_ms", fp64}, {"float32_ms", model}, {"fp64_per_ns", rate}});
  }
  if (results) std::ofstream(results) << json::pretty(rows);
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    return run(argc > 1 ? argv[1] : nullptr);
  } catch (const Error& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
}
