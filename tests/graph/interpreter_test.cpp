#include "agents/graph/interpreter.h"

#include <doctest/doctest.h>

#include <cmath>

#include "runtime/base/error.h"
#include "tests/graph/build.h"

using namespace kiln;
using namespace kiln::graph;
using namespace kiln::graph::test;

namespace {

constexpr float kInf = std::numeric_limits<float>::infinity();

Graph unary_graph(const Op& op, TensorType type) {
  Graph g;
  const ValueId x = g.add_input("x", std::move(type));
  g.outputs = {g.add_node(op, {x}, "op")[0]};
  return g;
}

}  // namespace

TEST_CASE("a product of small integers is exact, for every pair of layouts and tails") {
  for (const std::int64_t m : {1, 4, 7})
    for (const std::int64_t n : {1, 16, 37})
      for (const std::int64_t k : {1, 5, 64})
        for (const bool ta : {false, true})
          for (const bool tb : {false, true}) {
            Graph g;
            const ValueId a = g.add_input("a", {DType::f32, ta ? Shape{k, m} : Shape{m, k}});
            const ValueId b = g.add_input("b", {DType::f32, tb ? Shape{2, n, k} : Shape{2, k, n}});
            g.outputs = g.add_node(MatMul{ta, tb}, {a, b}, "matmul");
            Tensor x = Tensor::zeros(g.type(a)), y = Tensor::zeros(g.type(b));
            for (std::size_t i = 0; i < x.as<float>().size(); ++i)
              x.as<float>()[i] = static_cast<float>(static_cast<int>(i * 7 % 11) - 5);
            for (std::size_t i = 0; i < y.as<float>().size(); ++i)
              y.as<float>()[i] = static_cast<float>(static_cast<int>(i * 5 % 13) - 6);
            const auto out = run64(g, {x, y});
            const auto single = run32(g, {x, y});
            for (std::int64_t s = 0; s < 2; ++s)
              for (std::int64_t i = 0; i < m; ++i)
                for (std::int64_t j = 0; j < n; ++j) {
                  std::int64_t sum = 0;
                  for (std::int64_t p = 0; p < k; ++p)
                    sum +=
                        static_cast<std::int64_t>(x.as<float>()[static_cast<std::size_t>(ta ? p * m + i : i * k + p)]) *
                        static_cast<std::int64_t>(
                            y.as<float>()[static_cast<std::size_t>(s * k * n + (tb ? j * k + p : p * n + j))]);
                  const auto at = static_cast<std::size_t>((s * m + i) * n + j);
                  REQUIRE(out[at] == static_cast<double>(sum));
                  REQUIRE(single[at] == static_cast<float>(sum));
                }
          }
}

TEST_CASE("softmax of equal values is uniform, a shifted row is the same, infinities are defined") {
  const Graph g = unary_graph(Softmax{1, false}, {DType::f32, {3, 4}});
  const auto y = run64(g, {floats({3, 4}, {5, 5, 5, 5, 1000, 1001, 1002, 1003, -kInf, 0, -kInf, 0})});
  for (int i = 0; i < 4; ++i) CHECK(y[static_cast<std::size_t>(i)] == 0.25);
  const double z = 1 + std::exp(1) + std::exp(2) + std::exp(3);
  for (int i = 0; i < 4; ++i)
    CHECK(y[static_cast<std::size_t>(4 + i)] == doctest::Approx(std::exp(i) / z).epsilon(1e-14));
  CHECK(y[8] == 0);
  CHECK(y[9] == 0.5);
  const Graph over_first = unary_graph(Softmax{0, true}, {DType::f32, {2, 2}});
  CHECK(run64(over_first, {floats({2, 2}, {3, 1, 3, 1})})[0] == doctest::Approx(std::log(0.5)).epsilon(1e-15));
}

TEST_CASE("layer normalisation has mean zero and variance one before scale and bias") {
  Graph g;
  const ValueId x = g.add_input("x", {DType::f32, {1, 4}});
  const ValueId scale = g.add_constant("scale", floats({4}, {1, 2, 1, 1}));
  const ValueId bias = g.add_constant("bias", floats({4}, {0, 0, 0, 10}));
  g.outputs = g.add_node(LayerNorm{1, 0.0}, {x, scale, bias}, "norm");
  // mean 2.5, variance 1.25
  const auto y = run64(g, {floats({1, 4}, {1, 2, 3, 4})});
  const double deviation = std::sqrt(1.25);
  CHECK(y[0] == doctest::Approx(-1.5 / deviation).epsilon(1e-15));
  CHECK(y[1] == doctest::Approx(-1.0 / deviation).epsilon(1e-15));
  CHECK(y[3] == doctest::Approx(1.5 / deviation + 10).epsilon(1e-15));
}

TEST_CASE("attention equals its definition in products and softmax, with mask and causal") {
  for (const bool causal : {false, true}) {
    Graph direct, written;
    std::vector<ValueId> d, w;
    const std::vector<Shape> shapes = {{2, 3, 5, 8}, {2, 3, 7, 8}, {2, 3, 7, 4}, {2, 1, 1, 7}};
    for (std::size_t i = 0; i < 4; ++i) {
      d.push_back(direct.add_input("i" + std::to_string(i), {DType::f32, shapes[i]}));
      w.push_back(written.add_input("i" + std::to_string(i), {DType::f32, shapes[i]}));
    }
    direct.outputs = direct.add_node(Attention{0.25, causal}, d, "attention");
    const ValueId raw = written.add_node(MatMul{false, true}, {w[0], w[1]}, "scores")[0];
    ValueId scores = apply(written, ExprOp::add, apply(written, ExprOp::mul, raw, scalar(written, 0.25f)), w[3]);
    if (causal) {
      std::vector<float> mask(35);
      for (int i = 0; i < 5; ++i)
        for (int j = 0; j < 7; ++j) mask[static_cast<std::size_t>(i * 7 + j)] = j > i + 2 ? -kInf : 0;
      scores = apply(written, ExprOp::add, scores, written.add_constant("causal", floats({5, 7}, mask)));
    }
    const ValueId weights = written.add_node(Softmax{3, false}, {scores}, "softmax")[0];
    written.outputs = written.add_node(MatMul{false, false}, {weights, w[2]}, "out");
    const std::vector<Tensor> inputs = {random_floats(shapes[0], 1), random_floats(shapes[1], 2),
                                        random_floats(shapes[2], 3), random_floats(shapes[3], 4)};
    CHECK(difference(run64(direct, inputs), run64(written, inputs)) < 1e-14);
  }
}

TEST_CASE("reductions: integers exact, NaN wins, empty rows give the identity") {
  const Graph top = unary_graph(Reduce{Monoid::max, {1}, false}, {DType::f32, {2, 3}});
  const auto y = run64(top, {floats({2, 3}, {1, NAN, 2, -kInf, -3, -kInf})});
  CHECK(std::isnan(y[0]));
  CHECK(y[1] == -3);
  const Graph sum = unary_graph(Reduce{Monoid::sum, {0}, true}, {DType::f32, {0, 2}});
  CHECK(run64(sum, {Tensor::zeros({DType::f32, {0, 2}})}) == std::vector<double>{0, 0});
  const Graph product = unary_graph(Reduce{Monoid::prod, {0}, false}, {DType::i64, {3}});
  CHECK(evaluate(product, {tensor<std::int64_t>(DType::i64, {3}, {3, -5, 7})}, Arithmetic::fp64)[0]
            .as<std::int64_t>()[0] == -105);
}

TEST_CASE("views and gather move what NumPy would move") {
  const Tensor x = floats({2, 3}, {0, 1, 2, 3, 4, 5});
  CHECK(run32(unary_graph(Transpose{{1, 0}}, x.type), {x}) == std::vector<float>{0, 3, 1, 4, 2, 5});
  CHECK(run32(unary_graph(Slice{{1, 2}, {2, 2}, {-1, -2}}, x.type), {x}) == std::vector<float>{5, 3, 2, 0});
  CHECK(run32(unary_graph(Expand{{2, 2, 3}}, x.type), {x}) == std::vector<float>{0, 1, 2, 3, 4, 5, 0, 1, 2, 3, 4, 5});
  Graph g;
  const ValueId data = g.add_input("data", x.type), at = g.add_input("at", {DType::i64, {2}});
  g.outputs = g.add_node(Gather{1}, {data, at}, "gather");
  CHECK(run32(g, {x, tensor<std::int64_t>(DType::i64, {2}, {-1, 0})}) == std::vector<float>{2, 0, 5, 3});
  for (const std::int64_t bad : {std::int64_t(3), std::int64_t(-4), INT64_MIN})
    CHECK_THROWS_WITH_AS((void)run32(g, {x, tensor<std::int64_t>(DType::i64, {2}, {bad, 0})}),
                         doctest::Contains("outside an axis of 3"), Error);
  Graph c;
  const ValueId a = c.add_input("a", {DType::f32, {2, 1}}), b = c.add_input("b", {DType::f32, {2, 2}});
  c.outputs = c.add_node(Concat{1}, {a, b}, "concat");
  CHECK(run32(c, {floats({2, 1}, {9, 8}), floats({2, 2}, {1, 2, 3, 4})}) == std::vector<float>{9, 1, 2, 8, 3, 4});
}

TEST_CASE("integer arithmetic wraps to its width; division by zero is an error") {
  Graph g;
  const ValueId a = g.add_input("a", {DType::i8, {2}}), b = g.add_input("b", {DType::i8, {2}});
  g.outputs = {apply(g, ExprOp::add, a, b), apply(g, ExprOp::div, a, b), apply(g, ExprOp::mod, a, b)};
  const auto out =
      evaluate(g, {tensor<std::int8_t>(DType::i8, {2}, {127, -7}), tensor<std::int8_t>(DType::i8, {2}, {1, 3})},
               Arithmetic::model);
  CHECK(out[0].as<std::int8_t>()[0] == -128);
  CHECK(out[1].as<std::int8_t>()[1] == -2);
  CHECK(out[2].as<std::int8_t>()[1] == 2);  // the divisor's sign, as in Python
  CHECK_THROWS_AS(
      (void)evaluate(g, {Tensor::zeros({DType::i8, {2}}), Tensor::zeros({DType::i8, {2}})}, Arithmetic::model), Error);
}

TEST_CASE("a half-precision node is rounded in model arithmetic and not by the oracle") {
  Graph g;
  const ValueId x = g.add_input("x", {DType::f16, {1}});
  g.outputs = {apply(g, ExprOp::add, x, x)};
  Expr e;
  e.results = {e.apply(ExprOp::div, e.operand(0, DType::f16), e.constant(3, DType::f16))};
  g.outputs = {g.add_node(Pointwise{e}, {x}, "third")[0]};
  Tensor one = Tensor::zeros({DType::f16, {1}});
  store_double(DType::f16, one.bytes.data(), 0, 1);
  CHECK(evaluate(g, {one}, Arithmetic::model)[0].as<std::uint16_t>()[0] == 0x3555);
  CHECK(run64(g, {one})[0] == 1.0 / 3);
}

TEST_CASE("a model's own sum is sequential in its type, the oracle's is not lost") {
  const Graph g = unary_graph(Reduce{Monoid::sum, {0}, false}, {DType::f32, {3}});
  const Tensor x = floats({3}, {16777216, 1, 1});
  CHECK(run32(g, {x})[0] == 16777216);
  CHECK(run64(g, {x})[0] == 16777218);
}

TEST_CASE("inputs of another shape, type or number are refused by name") {
  const Graph g = unary_graph(Softmax{0, false}, {DType::f32, {2}});
  CHECK_THROWS_WITH_AS((void)evaluate(g, {floats({1}, {1})}, Arithmetic::model),
                       doctest::Contains("input 'x' needs f32 [2]"), Error);
  CHECK_THROWS_AS((void)evaluate(g, {}, Arithmetic::model), Error);
  Tensor cut = floats({2}, {1, 2});
  cut.bytes.pop_back();
  CHECK_THROWS_AS((void)evaluate(g, {cut}, Arithmetic::model), Error);
}

TEST_CASE("several threads give the bytes that one gives") {
  Graph g;
  const ValueId a = g.add_input("a", {DType::f32, {3, 65, 70}}), b = g.add_input("b", {DType::f32, {70, 130}});
  const ValueId c = g.add_node(MatMul{false, false}, {a, b}, "matmul")[0];
  g.outputs = {apply(g, ExprOp::tanh, c)};
  const std::vector<Tensor> inputs = {random_floats({3, 65, 70}, 1), random_floats({70, 130}, 2)};
  CHECK(evaluate(g, inputs, Arithmetic::model, 1)[0].bytes == evaluate(g, inputs, Arithmetic::model, 5)[0].bytes);
}
