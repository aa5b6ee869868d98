// Which outputs double with which inputs: by the definition of each operator, and by the oracle itself, to the last
// bit.
#include <doctest/doctest.h>

#include <cmath>

#include "agents/graph/homogeneity.h"
#include "agents/graph/interpreter.h"
#include "tests/graph/build.h"

using namespace kiln;
using namespace kiln::graph;

namespace {

constexpr DType f32 = DType::f32;

// Evaluates over some inputs and over the doubled ones, in the model's type, and compares bits.
void check_doubling(const Graph& g, const Homogeneity& powers) {
  std::vector<Tensor> once, twice;
  for (std::size_t i = 0; i < g.inputs.size(); ++i) {
    Tensor t = Tensor::zeros(g.type(g.inputs[i]));
    for (std::int64_t e = 0; e < t.count(); ++e)
      store_double(t.type.dtype, t.bytes.data(), e, std::sin(static_cast<double>(7 * e + 3) * (1 + 0.1 * double(i))));
    once.push_back(t);
    for (std::int64_t e = 0; e < t.count(); ++e)
      store_double(t.type.dtype, t.bytes.data(), e,
                   std::ldexp(load_double(t.type.dtype, t.bytes.data(), e), powers.inputs[i]));
    twice.push_back(t);
  }
  const auto a = evaluate(g, once, Arithmetic::model), b = evaluate(g, twice, Arithmetic::model);
  for (std::size_t o = 0; o < a.size(); ++o)
    for (std::int64_t e = 0; e < a[o].count(); ++e)
      CHECK(load_double(b[o].type.dtype, b[o].bytes.data(), e) ==
            std::ldexp(load_double(a[o].type.dtype, a[o].bytes.data(), e), powers.outputs[o]));
}

std::vector<int> both(const Graph& g) {
  const auto powers = homogeneity_of(g);
  if (!powers) return {};
  check_doubling(g, *powers);
  std::vector<int> out = powers->inputs;
  out.insert(out.end(), powers->outputs.begin(), powers->outputs.end());
  return out;
}

Graph product_and_bias(bool constant_bias, ExprOp then) {
  Graph g;
  const ValueId a = g.add_input("a", {f32, {5, 7}}), w = g.add_input("w", {f32, {7, 3}});
  Tensor ones = Tensor::zeros({f32, {3}});
  for (float& x : ones.as<float>()) x = 1;
  const ValueId bias = constant_bias ? g.add_constant("bias", ones) : g.add_input("bias", {f32, {3}});
  const ValueId product = g.add_node(MatMul{false, false}, {a, w}, "product")[0];
  Expr e;
  e.results = {e.apply(then, e.apply(ExprOp::add, e.operand(0, f32), e.operand(1, f32)), e.constant(0, f32))};
  g.outputs = g.add_node(Pointwise{e}, {product, bias}, "bias");
  return g;
}

}  // namespace

TEST_CASE("a product doubles with either factor, and with the bias that is added to it") {
  CHECK(both(product_and_bias(false, ExprOp::max)) == std::vector{0, 1, 1, 1});  // w and bias; a alone would do as well
  CHECK(both(product_and_bias(true, ExprOp::max)).empty());                      // a constant bias does not double
  Graph g;
  const ValueId a = g.add_input("a", {f32, {5, 7}}), w = g.add_input("w", {f32, {7, 3}});
  g.outputs = g.add_node(MatMul{false, false}, {a, w}, "product");
  CHECK(both(g) == std::vector{1, 1, 2});
}

TEST_CASE("attention is linear in its values alone, softmax in nothing, a norm in its scale and bias") {
  Graph g;
  const ValueId q = g.add_input("q", {f32, {2, 4, 3}}), k = g.add_input("k", {f32, {2, 5, 3}}),
                v = g.add_input("v", {f32, {2, 5, 6}});
  g.outputs = g.add_node(Attention{0.5, false}, {q, k, v}, "attention");
  CHECK(both(g) == std::vector{0, 0, 1, 1});
  Graph s;
  s.outputs = s.add_node(Softmax{1, false}, {s.add_input("x", {f32, {3, 4}})}, "softmax");
  CHECK(both(s).empty());
  Graph n;
  const ValueId x = n.add_input("x", {f32, {3, 4}}), scale = n.add_input("scale", {f32, {4}}),
                bias = n.add_input("bias", {f32, {4}});
  n.outputs = n.add_node(LayerNorm{1, 1e-5}, {x, scale, bias}, "norm");
  CHECK(both(n) == std::vector{0, 1, 1, 1});
}

TEST_CASE("reductions, moves and positions") {
  Graph g;
  const ValueId x = g.add_input("x", {f32, {3, 8}});
  const ValueId sum = g.add_node(Reduce{Monoid::sum, {1}, false}, {x}, "sum")[0];
  const ValueId most = g.add_node(Reduce{Monoid::max, {1}, false}, {x}, "maximum")[0];
  const ValueId where = g.add_node(Arg{true, 1, false, false}, {x}, "where")[0];
  const ValueId turned = g.add_node(Transpose{{1, 0}}, {x}, "transpose")[0];
  g.outputs = {sum, most, where, turned};
  CHECK(both(g) == std::vector{1, 1, 1, 0, 1});
  Graph p;
  p.outputs = p.add_node(Reduce{Monoid::prod, {1}, false}, {p.add_input("x", {f32, {3, 8}})}, "product");
  CHECK(both(p).empty());
}

TEST_CASE("types that overflow when they are doubled are left alone") {
  Graph g;
  g.outputs = g.add_node(Transpose{{1, 0}}, {g.add_input("x", {DType::f16, {3, 8}})}, "transpose");
  CHECK(both(g).empty());
  const auto rounded = [](DType between) {
    Graph c;
    Expr e;
    e.results = {e.cast(e.cast(e.operand(0, f32), between), f32)};
    c.outputs = c.add_node(Pointwise{e}, {c.add_input("x", {f32, {3, 8}})}, "rounded");
    return both(c);
  };
  CHECK(rounded(DType::bf16) == std::vector{1, 1});
  CHECK(rounded(DType::f16).empty());
}
