// Each recognised pattern gives what the written-out graph gives, on the oracle, for awkward values too.
#include <doctest/doctest.h>

#include <cmath>

#include "agents/graph/rewrite/sweep.h"
#include "tests/graph/proof.h"

using namespace kiln;
using namespace kiln::graph;
using namespace kiln::graph::test;

namespace {

Graph layer_norm(bool by_power, bool reciprocal, std::vector<std::int32_t> second_axes = {1}) {
  Graph g;
  const ValueId x = g.add_input("x", {DType::f32, {5, 16}});
  const ValueId mean = g.add_node(Reduce{Monoid::mean, {1}, true}, {x}, "mean")[0];
  const ValueId d = apply(g, ExprOp::sub, x, mean);
  const ValueId square = by_power ? apply(g, ExprOp::pow, d, scalar(g, 2)) : apply(g, ExprOp::mul, d, d);
  const ValueId variance = g.add_node(Reduce{Monoid::mean, std::move(second_axes), true}, {square}, "variance")[0];
  const ValueId root = apply(g, ExprOp::sqrt, apply(g, ExprOp::add, variance, scalar(g, 1e-5f)));
  const ValueId n =
      reciprocal ? apply(g, ExprOp::mul, d, apply(g, ExprOp::reciprocal, root)) : apply(g, ExprOp::div, d, root);
  const ValueId scaled = apply(g, ExprOp::mul, n, g.add_constant("scale", random_floats({16}, 8)));
  g.outputs = {apply(g, ExprOp::add, scaled, g.add_constant("bias", random_floats({16}, 9)))};
  return g;
}

Graph gelu(int spelling) {
  Graph g;
  const ValueId x = g.add_input("x", {DType::f32, {7, 9}});
  const auto c = [&](double value) { return scalar(g, static_cast<float>(value)); };
  ValueId inner = -1;
  if (spelling < 2) {
    inner = apply(
        g, ExprOp::erf,
        spelling == 0 ? apply(g, ExprOp::div, x, c(std::sqrt(2.0))) : apply(g, ExprOp::mul, x, c(std::sqrt(0.5))));
  } else {
    const ValueId cube =
        spelling == 2 ? apply(g, ExprOp::pow, x, c(3)) : apply(g, ExprOp::mul, x, apply(g, ExprOp::mul, x, x));
    inner = apply(
        g, ExprOp::tanh,
        apply(g, ExprOp::mul, apply(g, ExprOp::add, x, apply(g, ExprOp::mul, cube, c(0.044715))), c(0.7978845608)));
  }
  const ValueId one = apply(g, ExprOp::add, inner, c(1));
  g.outputs = {spelling % 2 == 0 ? apply(g, ExprOp::mul, apply(g, ExprOp::mul, x, one), c(0.5))
                                 : apply(g, ExprOp::mul, apply(g, ExprOp::mul, x, c(0.5)), one)};
  return g;
}

enum class Mask { none, given, causal };

Graph attention(Mask mask, bool scale_on_both, bool scale_before, bool guarded = false, float otherwise = 0) {
  Graph g;
  const ValueId q = g.add_input("q", {DType::f32, {2, 6, 8}}), k = g.add_input("k", {DType::f32, {2, 6, 8}}),
                v = g.add_input("v", {DType::f32, {2, 6, 4}});
  const ValueId kt = g.add_node(Transpose{{0, 2, 1}}, {k}, "kt")[0];
  const float root = std::sqrt(0.125f);
  const ValueId left = scale_on_both  ? apply(g, ExprOp::mul, q, scalar(g, root))
                       : scale_before ? apply(g, ExprOp::div, q, scalar(g, 8))
                                      : q;
  const ValueId right = scale_on_both ? apply(g, ExprOp::mul, kt, scalar(g, root)) : kt;
  ValueId scores = g.add_node(MatMul{false, false}, {left, right}, "scores")[0];
  if (!scale_on_both && !scale_before) scores = apply(g, ExprOp::mul, scalar(g, 0.125f), scores);
  if (mask == Mask::given) scores = apply(g, ExprOp::add, g.add_input("mask", {DType::f32, {2, 1, 6}}), scores);
  if (mask == Mask::causal) {
    std::vector<float> values(36);
    for (std::size_t i = 0; i < 6; ++i) for (std::size_t j = 0; j < 6; ++j) values[i * 6 + j] = j > i ? -INFINITY : 0;
    scores = apply(g, ExprOp::add, scores, g.add_constant("causal", floats({6, 6}, values)));
  }
  ValueId weights = g.add_node(Softmax{2, false}, {scores}, "weights")[0];
  if (guarded) {
    const ValueId is_nan = apply(g, ExprOp::logical_not, apply(g, ExprOp::equal, weights, weights));
    Expr e;
    const auto condition = e.operand(0, DType::boolean), yes = e.operand(1, DType::f32), no = e.operand(2, DType::f32);
    e.results = {e.apply(ExprOp::select, condition, yes, no)};
    weights = g.add_node(Pointwise{e}, {is_nan, scalar(g, otherwise), weights}, "guard")[0];
  }
  g.outputs = g.add_node(MatMul{false, false}, {weights, v}, "out");
  return g;
}

}  // namespace

TEST_CASE("decomposed layer normalisation is one node with the same result") {
  for (const bool by_power : {false, true}) for (const bool reciprocal : {false, true}) {
    const Proof p = simplified(layer_norm(by_power, reciprocal));
    CHECK(count<LayerNorm>(p.after) == 1);
    CHECK(p.after.nodes.size() == 1);
    CHECK(logged(p.log, "layer_norm: "));
    for (const Tensor& x : awkward({5, 16})) CHECK(difference(run64(p.before, {x}), run64(p.after, {x})) < 1e-9);
  }
}

TEST_CASE("what only resembles layer normalisation stays") {
  const Proof p = simplified(layer_norm(true, false, {0}));
  CHECK(count<LayerNorm>(p.after) == 0);
}

TEST_CASE("every spelling of GELU is one pointwise node with the very same values") {
  for (int spelling = 0; spelling < 4; ++spelling) {
    const Proof p = simplified(gelu(spelling));
    CHECK(p.after.nodes.size() == 1);
    CHECK(logged(p.log, spelling < 2 ? "gelu (erf): " : "gelu (tanh): "));
    for (Tensor& x : awkward({7, 9})) {
      x.as<float>()[0] = INFINITY;
      x.as<float>()[1] = NAN;
      CHECK(difference(run64(p.before, {x}), run64(p.after, {x})) == 0);
    }
  }
}

TEST_CASE("what is no GELU, or is read in the middle, stays") {
  Graph other = gelu(0);
  for (std::size_t i = 0; i < other.constants.size(); ++i)
    if (other.constants[i] && *reinterpret_cast<const float*>(other.constants[i]->bytes.data()) == 0.5f) {
      const auto wrong = std::make_shared<const std::vector<float>>(1, 0.75f);
      other.constants[i] = Constant{wrong, std::as_bytes(std::span(*wrong))};
    }
  CHECK_FALSE(logged(simplified(other).log, "gelu"));
  Graph read = gelu(0);
  read.outputs.push_back(read.nodes[1].outputs[0]);  // the erf
  CHECK_FALSE(logged(simplified(read).log, "gelu"));
}

TEST_CASE("decomposed softmax is one node") {
  Graph g;
  const ValueId x = g.add_input("x", {DType::f32, {4, 10}});
  const ValueId e =
      apply(g, ExprOp::exp, apply(g, ExprOp::sub, x, g.add_node(Reduce{Monoid::max, {1}, true}, {x}, "max")[0]));
  g.outputs = {apply(g, ExprOp::div, e, g.add_node(Reduce{Monoid::sum, {1}, true}, {e}, "sum")[0])};
  const Proof p = simplified(g);
  CHECK(p.after.nodes.size() == 1);
  CHECK(count<Softmax>(p.after) == 1);
  for (Tensor& input : awkward({4, 10})) {
    input.as<float>()[3] = -INFINITY;
    CHECK(difference(run64(p.before, {input}), run64(p.after, {input})) < 1e-15);
  }
}

TEST_CASE("attention is one node, however its scale and mask are written, its weights guarded or not") {
  for (const Mask mask : {Mask::none, Mask::given, Mask::causal}) for (const int form : {0, 1, 2, 3, 4}) {
    const bool guarded = form > 2;
    const Proof p = simplified(attention(mask, form % 3 == 1, form % 3 == 2, guarded));
    REQUIRE(count<Attention>(p.after) == 1);
    CHECK(p.after.nodes.size() == 1);  // the transposition of k is gone with its inverse
    const auto& op = std::get<Attention>(p.after.nodes[0].op);
    CHECK(op.causal == (mask == Mask::causal));
    CHECK(op.guarded == guarded);
    CHECK(op.scale == doctest::Approx(0.125).epsilon(1e-6));
    for (const double scale : {1.0, 100.0}) {
      std::vector<Tensor> inputs = {random_floats({2, 6, 8}, 1, scale), random_floats({2, 6, 8}, 2),
                                    random_floats({2, 6, 4}, 3)};
      if (mask == Mask::given) {
        inputs.push_back(random_floats({2, 1, 6}, 4));
        for (std::size_t i = 0; i < 6; ++i) inputs.back().as<float>()[i] = i < 5 ? -INFINITY : 0;
        for (std::size_t i = 6; i < 12; ++i) inputs.back().as<float>()[i] = -INFINITY;  // a row of nothing: NaN in both
      }
      if (guarded) inputs[0].as<float>()[1] = NAN, inputs[1].as<float>()[50] = INFINITY;
      CHECK(difference(run64(p.before, inputs), run64(p.after, inputs)) < 1e-4 * scale * 1e-3 + 1e-6);
    }
  }
}

TEST_CASE("attention whose weights are read elsewhere stays in parts") {
  Graph g = attention(Mask::none, false, false);
  g.outputs.push_back(g.nodes[g.nodes.size() - 2].outputs[0]);
  CHECK(count<Attention>(simplified(g).after) == 0);
  for (const ExprOp read : {ExprOp::select, ExprOp::logical_not, ExprOp::equal}) {
    Graph guarded = attention(Mask::none, false, false, true);
    for (const Node& node : guarded.nodes) {
      const auto* pointwise = std::get_if<Pointwise>(&node.op);
      if (pointwise != nullptr && rewrite::single_of(*pointwise) == read) guarded.outputs.push_back(node.outputs[0]);
    }
    REQUIRE(guarded.outputs.size() == 2);
    CHECK(count<Attention>(simplified(guarded).after) == 0);
  }
}

TEST_CASE("weights guarded by another value than 0 stay in parts") {
  const Graph g = attention(Mask::none, false, false, true, 1);
  CHECK(count<Attention>(simplified(g).after) == 0);
}

TEST_CASE("views of views merge, equal nodes are one, dead ones go") {
  Graph g;
  const ValueId x = g.add_input("x", {DType::f32, {2, 3, 4}});
  ValueId y = g.add_node(Transpose{{0, 2, 1}}, {x}, "t")[0];
  y = g.add_node(Transpose{{0, 2, 1}}, {y}, "t")[0];
  y = g.add_node(Reshape{{6, 4}}, {y}, "r")[0];
  y = g.add_node(Reshape{{24}}, {y}, "r")[0];
  const ValueId a = apply(g, ExprOp::exp, y), b = apply(g, ExprOp::exp, y);
  (void)apply(g, ExprOp::log, y);
  g.outputs = {apply(g, ExprOp::add, a, b)};
  const Proof p = simplified(g);
  CHECK(p.after.nodes.size() == 3);  // reshape, exp, add
  CHECK(p.after.values.size() == 4);
  const Tensor input = random_floats({2, 3, 4}, 1);
  CHECK(run64(p.before, {input}) == run64(p.after, {input}));
}

TEST_CASE("a gather of indices that step evenly is a slice, and no other gather is") {
  struct Case { Shape shape; std::vector<std::int64_t> indices; bool sliced; };
  for (const Case& c :
       {Case{{}, {1}, true}, Case{{}, {-1}, true}, Case{{2}, {0, 2}, true}, Case{{1, 3}, {1, 2, 3}, true},
        Case{{2}, {2, 0}, false}, Case{{3}, {0, 1, 3}, false}, Case{{2}, {1, 1}, false}}) {
    Graph g;
    const ValueId x = g.add_input("x", {DType::f32, {3, 4, 5}});
    Tensor indices = Tensor::zeros({DType::i64, c.shape});
    for (std::size_t i = 0; i < c.indices.size(); ++i) indices.as<std::int64_t>()[i] = c.indices[i];
    g.outputs = {g.add_node(Gather{1}, {x, g.add_constant("i", std::move(indices))}, "gather")[0]};
    const Proof p = simplified(g);
    CHECK(count<Gather>(p.after) == (c.sliced ? 0 : 1));
    const Tensor input = random_floats({3, 4, 5}, 1);
    CHECK(run64(p.before, {input}) == run64(p.after, {input}));
  }
}
