// How long the oracle takes on a GPU for nodes of large models, in FP64 and in the model's own float32: milliseconds
// and the rate of multiply-adds (of elements read, where there are none), best of three. Then the judge, over a graph
// whose output is its input: evaluation with the inputs' drawing, filling two arenas, judging them, in milliseconds and
// in GB/s of what a judgement cannot but read. Needs a GPU; tests/cuda/bundle takes it to one (walk oracle-speed
// [JSON]).
#include <chrono>
#include <cstdio>
#include <fstream>

#include "daemon/targets/cuda/compile.h"
#include "daemon/targets/cuda/oracle/kernels.h"
#include "daemon/worker/device_oracle/device_array.h"
#include "daemon/worker/device_oracle/device_judge.h"
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

template <class Work>
double best_of_three(Work work) {
  double best = 1e300;
  for (int i = 0; i < 3; ++i) {
    const auto start = std::chrono::steady_clock::now();
    work();
    best = std::min(best, std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count());
  }
  return best;
}

struct JudgeTimes {
  double evaluate_ms = 0, fill_ms = 0, judge_ms = 0;
  double gigabytes = 0;  // judging reads: of both arenas all, the output twice more, and the right and plain outputs
};

JudgeTimes judge_times(DType type, std::int64_t count, const targets::cuda::Gpu& gpu,
                       const worker::DeviceOracle& oracle) {
  constexpr int kArenas = 2;
  const Graph g = of_node("copy", Reshape{{count}}, {{type, {2, count / 2}}});
  const worker::Question question{"copy", g, nullptr, "uniform", 7, std::byte{0x7b}, worker::Edge::end};
  const worker::ArenaLayout layout = question.layout();
  const targets::cuda::DeviceMemory memory = gpu.allocate(kArenas * layout.total_bytes);
  auto* const base = static_cast<std::byte*>(memory.pointer());
  worker::DeviceJudge judge(oracle);
  JudgeTimes times;
  times.evaluate_ms = best_of_three([&] {
    judge.forget();
    judge.prepare(question);
  });
  times.fill_ms = best_of_three([&] { judge.fill(question, base, kArenas); });
  for (int copy = 0; copy < kArenas; ++copy) {
    const kiln::cuda::DevicePointer arena = memory.address() + static_cast<std::size_t>(copy) * layout.total_bytes;
    kiln::cuda::check(gpu.api(),
                      gpu.api().cuMemcpyDtoDAsync_v2(arena + layout.outputs[0].offset, arena + layout.inputs[0].offset,
                                                     layout.outputs[0].bytes, gpu.stream()),
                      "copy on the GPU");
  }
  gpu.synchronize();
  times.judge_ms = best_of_three([&] {
    const worker::Findings findings = judge.judge(question, base, kArenas);
    if (findings.input >= 0 || findings.unstable || findings.unwritten.output >= 0 ||
        findings.errors.at(0).mismatched_nonfinite != 0)
      throw Error(ErrorCode::internal, "cannot time the judge: it finds fault with a copy");
  });
  const auto bytes = static_cast<double>(layout.outputs[0].bytes), elements = static_cast<double>(count);
  const double plain = type == DType::f64 ? 8 : 4, right = 8;
  times.gigabytes = 1e-9 * (2 * kArenas * bytes + 2 * bytes + elements * (plain + right));
  return times;
}

json::array judge_table(const targets::cuda::Gpu& gpu, const worker::DeviceOracle& oracle) {
  json::array rows;
  std::printf("\n%-20s %12s %12s %10s %10s %10s\n", "judge", "output MB", "evaluate ms", "fill ms", "judge ms", "GB/s");
  for (const DType type : {DType::f32, DType::bf16, DType::f16, DType::f64})
    for (const std::int64_t megabytes : {1, 64, 1024, 6144}) {
      const std::int64_t count = (megabytes << 20) / static_cast<std::int64_t>(size_of(type));
      // Of two bytes an element the right outputs and the evaluation take many times that.
      if (count > std::int64_t{2} << 30) continue;
      const JudgeTimes t = judge_times(type, count, gpu, oracle);
      const double rate = t.gigabytes / t.judge_ms * 1e3;
      std::printf("%-20s %12lld %12.2f %10.2f %10.2f %10.0f\n", std::string(name(type)).c_str(),
                  static_cast<long long>(megabytes), t.evaluate_ms, t.fill_ms, t.judge_ms, rate);
      std::fflush(stdout);
      rows.push_back(json::object{{"judge", name(type)}, {"output_mb", megabytes}, {"evaluate_ms", t.evaluate_ms},
                                  {"fill_ms", t.fill_ms}, {"judge_ms", t.judge_ms}, {"gb_per_s", rate}});
    }
  return rows;
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
  json::array judged = judge_table(gpu, oracle);
  for (json::value& row : judged) rows.push_back(std::move(row));
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
