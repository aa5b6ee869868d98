// How long the oracle takes for a ResNet-18 (He et al., "Deep Residual Learning for Image Recognition", 2016) on random
// weights, in FP64 and in the model's own float32.
//
//   oracle_speed [BATCH] [THREADS]
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <random>

#include "agents/graph/interpreter.h"

using namespace kiln::graph;

namespace {

Tensor random(Shape shape, std::mt19937& engine, double scale) {
  Tensor out = Tensor::zeros({DType::f32, std::move(shape)});
  std::normal_distribution<float> normal(0, static_cast<float>(scale));
  for (float& value : out.as<float>()) value = normal(engine);
  return out;
}

class Network {
 public:
  Network(std::int64_t batch, std::mt19937& engine) : engine_(engine) {
    ValueId x = g.add_input("image", {DType::f32, {batch, 3, 224, 224}});
    x = relu(convolve(x, 64, 7, 2));
    x = g.add_node(Window{Monoid::max, {3, 3}, {{2, 2}, {1, 1}, {1, 1}, {1, 1}}, {56, 56}, false, false}, {x},
                   "pool")[0];
    for (const std::int64_t channels : {64, 128, 256, 512})
      for (int block = 0; block < 2; ++block) x = residual(x, channels, channels > 64 && block == 0 ? 2 : 1);
    x = g.add_node(Reduce{Monoid::mean, {2, 3}, false}, {x}, "mean")[0];
    const ValueId head = g.add_constant("head", random({512, 1000}, engine_, 0.04));
    g.outputs = g.add_node(MatMul{false, false}, {x, head}, "head");
  }

  Graph g;
  double products = 0;

 private:
  ValueId convolve(ValueId x, std::int64_t out, std::int64_t kernel, std::int64_t stride) {
    const std::int64_t in = g.type(x).shape[1];
    const ValueId w = g.add_constant(
        "w", random({out, in, kernel, kernel}, engine_, 1 / std::sqrt(static_cast<double>(in * kernel * kernel))));
    const std::int64_t pad = kernel / 2;
    const ValueId y = g.add_node(Convolution{{{stride, stride}, {1, 1}, {pad, pad}, {pad, pad}}, 1, false, {0, 0}},
                                 {x, w}, "convolution")[0];
    products += static_cast<double>(element_count(g.type(y).shape) * in * kernel * kernel);
    return y;
  }
  ValueId relu(ValueId x) {
    Expr e;
    e.results = {e.apply(ExprOp::max, e.operand(0, DType::f32), e.constant(0, DType::f32))};
    return g.add_node(Pointwise{e}, {x}, "relu")[0];
  }
  ValueId residual(ValueId x, std::int64_t channels, std::int64_t stride) {
    const ValueId inner = convolve(relu(convolve(x, channels, 3, stride)), channels, 3, 1);
    const ValueId skip = stride == 1 && g.type(x).shape[1] == channels ? x : convolve(x, channels, 1, stride);
    Expr e;
    e.results = {e.apply(ExprOp::add, e.operand(0, DType::f32), e.operand(1, DType::f32))};
    return relu(g.add_node(Pointwise{e}, {inner, skip}, "add")[0]);
  }

  std::mt19937& engine_;
};

}  // namespace

int main(int argc, char** argv) {
  const int batch = argc > 1 ? std::atoi(argv[1]) : 8, threads = argc > 2 ? std::atoi(argv[2]) : 2;
  std::mt19937 engine(1);
  const Network network(batch, engine);
  const Tensor image = random({batch, 3, 224, 224}, engine, 1);
  for (const Arithmetic arithmetic : {Arithmetic::fp64, Arithmetic::model}) {
    const auto start = std::chrono::steady_clock::now();
    const auto out = evaluate(network.g, {image}, arithmetic, threads);
    const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    std::printf("ResNet-18, batch %d, %d threads, %s: %6.2f s, %5.2f GFLOP/s\n", batch, threads,
                arithmetic == Arithmetic::fp64 ? "fp64" : "float32", seconds, 2e-9 * network.products / seconds);
    if (out[0].count() != batch * 1000) return 1;
  }
  return 0;
}
