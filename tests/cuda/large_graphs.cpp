#include "tests/cuda/collection.h"

namespace kiln::testing {

std::vector<NamedGraph> large_graphs() {
  Collection c;
  c.add("relu f32 16384x16384", [](Graph& g) {
    return pointwise(g, {input(g, {16384, 16384})},
                     [](Expr& e, const auto& in) { return e.apply(ExprOp::max, in[0], e.constant(0, DType::f32)); });
  });
  c.add("gelu f32 16384x16384", [](Graph& g) { return gelu(g, input(g, {16384, 16384})); });
  c.add("gelu f32 4096x393216", [](Graph& g) { return gelu(g, input(g, {4096, 393216})); });
  c.add("bias + gelu f32 8192x16384", [](Graph& g) {
    return gelu(g, binary(g, input(g, {8192, 16384}), input(g, {16384}), ExprOp::add));
  });
  c.add("silu * up bf16 16384x12288", [](Graph& g) {
    return binary(g, silu(g, input(g, {16384, 12288}, DType::bf16)), input(g, {16384, 12288}, DType::bf16),
                  ExprOp::mul);
  });
  c.add("silu * up bf16 1x12288", [](Graph& g) {
    return binary(g, silu(g, input(g, {1, 12288}, DType::bf16)), input(g, {1, 12288}, DType::bf16), ExprOp::mul);
  });
  c.add("softmax f32 4096x8192", [](Graph& g) {
    return add_node(g, graph::Softmax{1, false}, {input(g, {4096, 8192})});
  });
  c.add("softmax bf16 16384x8192", [](Graph& g) {
    return add_node(g, graph::Softmax{1, false}, {input(g, {16384, 8192}, DType::bf16)});
  });
  c.add("softmax f32 1024x393216", [](Graph& g) {
    return add_node(g, graph::Softmax{1, false}, {input(g, {1024, 393216})});
  });
  c.add("layer norm f32 16x4194304", [](Graph& g) {
    return add_node(g, graph::LayerNorm{1, 1e-5}, {input(g, {16, 4194304}), input(g, {4194304}), input(g, {4194304})});
  });
  c.add("layer norm f32 1024x262144", [](Graph& g) {
    return add_node(g, graph::LayerNorm{1, 1e-5}, {input(g, {1024, 262144}), input(g, {262144}), input(g, {262144})});
  });
  c.add("rows less their mean by their deviation f32 1024x262144", [](Graph& g) {
    const ValueId x = input(g, {1024, 262144});
    const ValueId mean = add_node(g, graph::Reduce{Monoid::mean, {1}, true}, {x});
    const ValueId centred = binary(g, x, mean, ExprOp::sub);
    const ValueId squares = binary(g, centred, centred, ExprOp::mul);
    const ValueId variance = add_node(g, graph::Reduce{Monoid::mean, {1}, true}, {squares});
    return binary(g, centred, unary(g, variance, ExprOp::sqrt), ExprOp::div);
  });
  c.add("rows by their norm f32 8192x65535", [](Graph& g) {
    const ValueId x = input(g, {8192, 65535});
    const ValueId squares = binary(g, x, x, ExprOp::mul);
    const ValueId sum = add_node(g, graph::Reduce{Monoid::sum, {1}, true}, {squares});
    return binary(g, x, unary(g, sum, ExprOp::sqrt), ExprOp::div);
  });
  for (const std::int64_t tokens : {1, 128, 2048, 16384})
    c.add("rms norm bf16 " + std::to_string(tokens) + "x8192", [&](Graph& g) {
      return rms_norm(g, input(g, {tokens, 8192}, DType::bf16), input(g, {8192}, DType::bf16));
    });
  for (const auto& [rows, length] : {std::pair<std::int64_t, std::int64_t>{2048, 8192}, {16384, 8192}, {16384, 12288}})
    c.add("add + rms norm bf16 " + std::to_string(rows) + "x" + std::to_string(length),
          [&, n = rows, d = length](Graph& g) {
            const ValueId sum = binary(g, input(g, {n, d}, DType::bf16), input(g, {n, d}, DType::bf16), ExprOp::add);
            return rms_norm(g, sum, input(g, {d}, DType::bf16));
          });
  for (const std::int64_t length : {4096, 8192, 12288})
    c.add("layer norm bf16 16384x" + std::to_string(length), [&](Graph& g) {
      const ValueId x = input(g, {16384, length}, DType::bf16);
      return add_node(g, graph::LayerNorm{1, 1e-5},
                      {x, input(g, {length}, DType::bf16), input(g, {length}, DType::bf16)});
    });
  c.add("sum of rows f32 32768x16384", [](Graph& g) {
    return add_node(g, graph::Reduce{Monoid::sum, {1}, false}, {input(g, {32768, 16384})});
  });
  c.add("sum of the middle f32 128x4096x1024", [](Graph& g) {
    return add_node(g, graph::Reduce{Monoid::sum, {1}, false}, {input(g, {128, 4096, 1024})});
  });
  c.add("transpose f32 16384x16384", [](Graph& g) { return add_transpose(g, input(g, {16384, 16384}), {1, 0}); });
  const auto windows = [&](const std::string& name, Shape shape, graph::Window window) {
    c.add(name, [&](Graph& g) { return add_node(g, window, {input(g, shape)}); });
  };
  windows("max window of 8 by 1 f32 64x192x65536", {64, 192, 65536},
          {Monoid::max, {8}, {{1}, {3}, {4}, {4}}, {65523}, false, false});
  windows("max window of 4x4 by 1 f32 32x64x512x512", {32, 64, 512, 512},
          {Monoid::max, {4, 4}, {{1, 1}, {1, 1}, {1, 1}, {1, 1}}, {511, 511}, false, false});
  windows("max window of 3x3x3 by 2 f32 16x32x128x128x128", {16, 32, 128, 128, 128},
          {Monoid::max, {3, 3, 3}, {{2, 2, 2}, {3, 3, 3}, {1, 1, 1}, {1, 1, 1}}, {62, 62, 62}, false, false});
  windows("mean window of 8 by 1 f32 64x128x65536", {64, 128, 65536},
          {Monoid::mean, {8}, {{1}, {1}, {4}, {4}}, {65537}, true, false});
  windows("mean window of 11x11 by 11 f32 16x64x2048x2048", {16, 64, 2048, 2048},
          {Monoid::mean, {11, 11}, {{11, 11}, {1, 1}, {0, 0}, {0, 0}}, {186, 186}, true, false});
  windows("mean window of 3x3x3 by 2 f32 16x32x128x128x256", {16, 32, 128, 128, 256},
          {Monoid::mean, {3, 3, 3}, {{2, 2, 2}, {1, 1, 1}, {1, 1, 1}, {1, 1, 1}}, {64, 64, 128}, true, false});
  c.add("running sum f32 32768x32768", [](Graph& g) {
    return add_node(g, graph::Scan{Monoid::sum, 1, false, false}, {input(g, {32768, 32768})});
  });
  c.add("running product from the end f32 32768x32768", [](Graph& g) {
    return add_node(g, graph::Scan{Monoid::prod, 1, true, true}, {input(g, {32768, 32768})});
  });
  c.add("running sum over the middle f32 64x4096x1024", [](Graph& g) {
    return add_node(g, graph::Scan{Monoid::sum, 1, false, false}, {input(g, {64, 4096, 1024})});
  });
  c.add("largest of the middle f32 128x4096x4095", [](Graph& g) {
    return add_node(g, graph::Arg{true, 1, false, false}, {input(g, {128, 4096, 4095})});
  });
  c.add("largest of rows f32 32768x32768", [](Graph& g) {
    return add_node(g, graph::Arg{true, 1, false, false}, {input(g, {32768, 32768})});
  });
  c.add("mean of the middle f32 128x4096x4095", [](Graph& g) {
    return add_node(g, graph::Reduce{Monoid::mean, {1}, false}, {input(g, {128, 4096, 4095})});
  });
  c.add("layer norm f32 1024x262144", [](Graph& g) {
    return add_node(g, graph::LayerNorm{1, 1e-5}, {input(g, {1024, 262144}), input(g, {262144}), input(g, {262144})});
  });
  const auto product = [&](const std::string& name, Shape a, Shape b, bool transposed, DType type = DType::f32) {
    c.add("product " + name, [&](Graph& g) {
      const ValueId of_a = input(g, a, type);
      return add_node(g, graph::MatMul{false, transposed}, {of_a, input(g, b, type)});
    });
  };
  product("f32 2048x1048576 by a column", {2048, 1048576}, {1048576, 1}, false);
  product("f32 256x524288 by 524288x256", {256, 524288}, {524288, 256}, false);
  for (const std::int64_t rows : {1, 4, 16})
    for (const bool transposed : {true, false}) {
      const std::string by =
          std::to_string(rows) + (transposed ? " rows by rows of weights" : " rows by columns of weights");
      const auto weights = [&](std::int64_t k, std::int64_t n) { return transposed ? Shape{n, k} : Shape{k, n}; };
      product("bf16 " + by + " 14336x4096", {rows, 4096}, weights(4096, 14336), transposed, DType::bf16);
      product("bf16 " + by + " 4096x4096", {rows, 4096}, weights(4096, 4096), transposed, DType::bf16);
    }
  const auto recurrent = [&](const std::string& name, const Layer& layer) {
    c.add_outputs("recurrent " + name, [&](Graph& g) { return recurrent_layer(g, layer); });
  };
  using graph::Cell;
  for (const std::int64_t batch : {1, 10, 64}) {
    const std::string rows = " of " + std::to_string(batch) + " rows";
    recurrent("lstm f32 512 steps of 256" + rows, {.cell = Cell::lstm, .steps = 512, .batch = batch, .hidden = 256});
    recurrent("lstm f32 512 steps of 1024" + rows, {.cell = Cell::lstm, .steps = 512, .batch = batch, .hidden = 1024});
    recurrent("gru f32 512 steps of 256" + rows,
              {.cell = Cell::gru, .steps = 512, .batch = batch, .hidden = 256, .reset_after = true});
    Layer wide = {.cell = Cell::gru, .steps = 512, .batch = batch, .hidden = 1024, .reset_after = true};
    wide.type = DType::f16;
    recurrent("gru f16 512 steps of 1024" + rows, wide);
  }
  const auto convolution = [&](const std::string& name, Shape x, Shape w, const graph::Convolution& op) {
    c.add(name, [&](Graph& g) { return add_node(g, op, {input(g, x), input(g, w)}); });
  };
  const graph::Steps same = {{1, 1}, {1, 1}, {1, 1}, {1, 1}};
  convolution("convolution 3x3 f32 16x64x256x256 to 128", {16, 64, 256, 256}, {128, 64, 3, 3},
              {same, 1, false, {0, 0}});
  convolution("depthwise convolution 3x3 f32 64x128x256x256", {64, 128, 256, 256}, {128, 1, 3, 3},
              {same, 128, false, {0, 0}});
  convolution("transposed convolution 4x4 by 2 f32 32x64x128x128 to 64", {32, 64, 128, 128}, {64, 64, 4, 4},
              {{{2, 2}, {1, 1}, {1, 1}, {1, 1}}, 1, true, {0, 0}});
  return std::move(c.graphs);
}

}  // namespace kiln::testing
