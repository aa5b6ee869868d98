// integer_product: what a dequantised product is as a sum of bytes, on the oracle, against the graph as it was written.
#include <doctest/doctest.h>

#include "agents/graph/nudged.h"
#include "tests/graph/proof.h"

using namespace kiln;
using namespace kiln::graph;
using namespace kiln::graph::test;

namespace {

ValueId cast(Graph& g, ValueId x, DType to) {
  Expr e;
  e.results = {e.cast(e.operand(0, g.type(x).dtype), to)};
  return g.add_node(Pointwise{e}, {x}, "cast")[0];
}

Tensor integers(DType type, Shape shape, unsigned seed) {
  Tensor out = Tensor::zeros({type, std::move(shape)});
  std::mt19937 random(seed);
  const int least = type == DType::u8 ? 0 : -128;
  for (std::int64_t i = 0; i < out.count(); ++i)
    store_double(type, out.bytes.data(), i, static_cast<int>(random() % 256) + least);
  return out;
}

// (x - zero) * scale, as DequantizeLinear is imported.
ValueId dequantised(Graph& g, ValueId x, int zero, float scale) {
  const ValueId wide = cast(g, x, DType::i32);
  const ValueId point = g.add_constant("zero", tensor<std::int32_t>(DType::i32, {}, {zero}));
  const ValueId real = cast(g, apply(g, ExprOp::sub, wide, point), DType::f32);
  return apply(g, ExprOp::mul, real, test::scalar(g, scale));
}

// float32(q s), a scale for each channel i / apart % scales.size(), with -127 .. 127 in each.
Tensor weights(Shape shape, const std::vector<float>& scales, std::size_t apart, unsigned seed) {
  Tensor out = Tensor::zeros({DType::f32, shape});
  const Tensor q = integers(DType::i8, shape, seed);
  auto values = out.as<float>();
  for (std::size_t i = 0; i < values.size(); ++i)
    values[i] = static_cast<float>(std::max<int>(-127, q.as<std::int8_t>()[i])) * scales[i / apart % scales.size()];
  return out;
}

Proof in_integers(const Graph& g) {
  Proof proof{g, g, {}};
  rewrite::apply_integers(proof.after, proof.log);
  validate(proof.after);
  return proof;
}

bool sums_bytes(const Graph& g) {
  for (const Node& node : g.nodes)
    if (std::holds_alternative<MatMul>(node.op) || std::holds_alternative<Convolution>(node.op))
      return g.type(node.outputs[0]).dtype == DType::i32;
  return false;
}

const std::vector<float> kScales = {0.1f, 0.00390625f, 3.7e-5f, 12.5f};

Graph product(DType type, int zero, bool transposed, bool view, Tensor w) {
  Graph g;
  const ValueId x = g.add_input("x", {type, {3, 5, 40}});
  ValueId a = dequantised(g, x, zero, 0.013f);
  if (view) a = g.add_node(Transpose{{1, 0, 2}}, {g.add_node(Reshape{{5, 3, 40}}, {a}, "view")[0]}, "view")[0];
  g.outputs = g.add_node(MatMul{false, transposed}, {a, g.add_constant("w", std::move(w))}, "product");
  return g;
}

}  // namespace

TEST_CASE("integer_product: a product of dequantised bytes with multiples of a scale per column is a sum of bytes") {
  for (const DType type : {DType::u8, DType::i8})
    for (const bool transposed : {false, true}) {
      const Tensor w = transposed ? weights({4, 40}, kScales, 40, 5) : weights({40, 4}, kScales, 1, 5);
      const Proof proof = in_integers(product(type, 17, transposed, transposed, w));
      CHECK(logged(proof.log, "integer_product: product"));
      CHECK(sums_bytes(proof.after));
      // In double precision only the joint scale is rounded, to float32, and the weights were: 2^-23 of the terms.
      const Tensor x = integers(type, {3, 5, 40}, 1);
      CHECK(disagreement(proof, {x}) <= 0x1p-22 * 40 * 255 * 0.013 * 127 * 12.5);
      CHECK(disagreement(proof, {x}) > 0);
    }
}

TEST_CASE("integer_product: scales that are powers of two leave nothing to round") {
  const Proof proof = in_integers([] {
    Graph g;
    const ValueId x = g.add_input("x", {DType::u8, {2, 3, 7, 6}});
    const ValueId a = dequantised(g, x, 131, 0.25f);
    const ValueId w = g.add_constant("w", weights({4, 3, 3, 3}, {0.5f, 0.125f, 2, 0.0625f}, 27, 3));
    const Convolution op{{{2, 1}, {1, 1}, {1, 0}, {1, 2}}, 1, false, {0, 0}};
    const ValueId y = g.add_node(op, {a, w}, "conv")[0];
    // Quantised again: ties are met, and go where they went.
    const ValueId rounded = apply(g, ExprOp::round, apply(g, ExprOp::div, y, test::scalar(g, 64)));
    g.outputs = {cast(g, cast(g, rounded, DType::i8), DType::f64)};
    return g;
  }());
  CHECK(logged(proof.log, "integer_product: conv"));
  CHECK(sums_bytes(proof.after));
  CHECK(disagreement(proof, {integers(DType::u8, {2, 3, 7, 6}, 9), integers(DType::u8, {2, 3, 7, 6}, 10)}) == 0);
}

TEST_CASE("integer_product leaves alone what is no multiple of a scale, no constant, or no byte") {
  Tensor w = weights({40, 4}, kScales, 1, 5);
  w.as<float>()[17] = std::nextafter(w.as<float>()[17], 1e9f);
  CHECK(in_integers(product(DType::u8, 17, false, false, w)).log.empty());
  w.as<float>()[17] = NAN;
  CHECK(in_integers(product(DType::u8, 17, false, false, w)).log.empty());
  CHECK(in_integers(product(DType::u8, 17, false, false, random_floats({40, 4}, 8))).log.empty());
  CHECK(in_integers(product(DType::u8, 17, false, false, weights({40, 4}, {0.51f}, 1, 3))).log.size() == 1);
  CHECK(in_integers(product(DType::i32, 17, false, false, weights({40, 4}, kScales, 1, 5))).log.empty());
  Graph g;
  const ValueId a = dequantised(g, g.add_input("x", {DType::u8, {3, 40}}), 1, 0.5f),
                b = dequantised(g, g.add_input("y", {DType::i8, {40, 3}}), 0, 0.5f);
  g.outputs = g.add_node(MatMul{false, false}, {a, b}, "product");
  CHECK(in_integers(g).log.empty());
}

TEST_CASE("nudged: what lies next to a tie takes another step, up and down; what lies on one stays") {
  Graph g;
  const ValueId x = g.add_input("x", {DType::f32, {6}});
  g.outputs = {cast(g, apply(g, ExprOp::round, x), DType::i32)};
  const auto evaluated = [&](const Graph& of) {
    const Tensor y = evaluate(of, {floats({6}, {0.5f, 1.5f, 100.49999f, 2.4f, -0.50001f, 7})}, Arithmetic::model)[0];
    return std::vector<std::int32_t>(y.as<std::int32_t>().begin(), y.as<std::int32_t>().end());
  };
  const std::vector<Graph> both = nudged(g);
  REQUIRE(both.size() == 2);
  CHECK(evaluated(g) == std::vector<std::int32_t>{0, 2, 100, 2, -1, 7});
  CHECK(evaluated(both[0]) == std::vector<std::int32_t>{0, 2, 101, 2, 0, 7});
  CHECK(evaluated(both[1]) == std::vector<std::int32_t>{0, 2, 100, 2, -1, 7});
  Graph plain;
  const ValueId y = plain.add_input("x", {DType::f32, {6}});
  plain.outputs = {apply(plain, ExprOp::floor, y)};
  CHECK(nudged(plain).empty());
}
