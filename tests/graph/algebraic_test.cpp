// Rewrites that change cost: each against the graph as it was written, on the oracle, with values that tell them apart.
#include <doctest/doctest.h>

#include <functional>
#include <limits>

#include "tests/graph/proof.h"

using namespace kiln;
using namespace kiln::graph;
using namespace kiln::graph::test;

namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

Proof rewritten(const Graph& g) {
  Proof proof{g, g, {}};
  rewrite::apply_algebra(proof.after, proof.log);
  validate(proof.after);
  return proof;
}

// awkward(), and values with infinities and NaN among them: what is exact must be exact there too.
std::vector<Tensor> hostile(const Shape& shape) {
  std::vector<Tensor> out = awkward(shape);
  for (const float odd : {kInfinity, -kInfinity, std::numeric_limits<float>::quiet_NaN()}) {
    out.push_back(random_floats(shape, 9));
    auto values = out.back().as<float>();
    for (std::size_t i = 0; i < values.size(); i += 7) values[i] = odd;
  }
  return out;
}

// Over what a sum of `terms` products of the inputs, or of the weights and biases of this file, may reach: constants
// that were summed are rounded to f32.
double relative(const Proof& proof, const std::vector<Tensor>& inputs, double terms) {
  double worst = 0;
  for (const Tensor& x : inputs) {
    double largest = 0;
    for (const float value : x.as<float>()) largest = std::max(largest, std::abs(static_cast<double>(value)));
    worst = std::max(worst, disagreement(proof, {x}) / (std::max(largest, 1.0) * terms));
  }
  return worst;
}

ValueId window(Graph& g, ValueId x, Monoid monoid, Shape kernel, Shape strides, Shape before, Shape extents,
               Shape dilations = {}) {
  const std::size_t rank = kernel.size();
  if (dilations.empty()) dilations = Shape(rank, 1);
  Window op{monoid, std::move(kernel), {std::move(strides), std::move(dilations), before, before}, std::move(extents),
            false, false};
  return g.add_node(std::move(op), {x}, "window")[0];
}

ValueId reduced(Graph& g, ValueId x, Monoid monoid, std::vector<std::int32_t> axes, bool keep) {
  return g.add_node(Reduce{monoid, std::move(axes), keep}, {x}, "reduce")[0];
}

}  // namespace

TEST_CASE("clamp_chain: maxima and minima with constants are one clamp, exact for every value") {
  struct Chain {
    std::vector<std::pair<ExprOp, float>> steps;
  };
  const std::vector<Chain> chains = {
      {{{ExprOp::max, 0}, {ExprOp::min, 6}, {ExprOp::max, -1}}},
      {{{ExprOp::min, 0}, {ExprOp::max, 0}, {ExprOp::min, 1}}},         // one value for all, but NaN
      {{{ExprOp::max, 3}, {ExprOp::min, 2}}},                           // bounds that cross
      {{{ExprOp::max, -2}, {ExprOp::max, 0.5f}}},
      {{{ExprOp::min, kInfinity}, {ExprOp::max, -1}, {ExprOp::min, 1}}}};
  for (const Chain& chain : chains) {
    Graph g;
    ValueId y = g.add_input("x", {DType::f32, {5, 7}});
    for (const auto& [op, bound] : chain.steps) y = apply(g, op, y, scalar(g, bound));
    g.outputs = {y};
    const Proof proof = rewritten(g);
    CHECK(logged(proof.log, "clamp_chain: "));
    CHECK(count<Pointwise>(proof.after) == 1);
    CHECK(disagreement(proof, hostile({5, 7})) == 0);
  }
}

TEST_CASE("clamp_chain: a value that is read in between, or is no clamp, stays") {
  Graph g;
  const ValueId x = g.add_input("x", {DType::f32, {5, 7}});
  const ValueId relu = apply(g, ExprOp::max, x, scalar(g, 0));
  g.outputs = {apply(g, ExprOp::min, relu, scalar(g, 6)), apply(g, ExprOp::tanh, relu)};
  CHECK(rewritten(g).log.empty());
  Graph other;
  const ValueId y = other.add_input("x", {DType::f32, {5, 7}});
  other.outputs = {apply(other, ExprOp::max, apply(other, ExprOp::neg, y), scalar(other, 0))};
  CHECK(rewritten(other).log.empty());
}

TEST_CASE("pool_of_pool: windows of windows are one window") {
  struct Case {
    Monoid monoid;
    std::int64_t in, k1, s1, p1, n1, k2, s2, p2, n2;
    bool joins;
  };
  const std::vector<Case> cases = {
      {Monoid::max, 16, 2, 2, 0, 8, 2, 2, 0, 4, true},
      {Monoid::max, 17, 3, 2, 1, 9, 3, 2, 1, 5, true},     // padding on both sides of both
      {Monoid::min, 17, 3, 1, 1, 17, 2, 2, 0, 8, true},
      {Monoid::max, 16, 2, 3, 0, 5, 2, 1, 0, 4, false},    // elements between windows
      {Monoid::max, 18, 3, 2, 0, 8, 3, 2, 1, 4, true},     // its padding behind is not reached
      {Monoid::max, 18, 3, 2, 0, 8, 2, 2, 1, 5, false},    // it is, and an element that no window covered lies there
      {Monoid::mean, 16, 2, 2, 0, 8, 4, 4, 0, 2, true},
      {Monoid::sum, 18, 3, 3, 0, 6, 2, 2, 0, 3, true},
      {Monoid::mean, 17, 3, 2, 0, 8, 2, 2, 0, 4, false},   // an element counts twice
      {Monoid::mean, 17, 3, 3, 1, 6, 2, 2, 0, 3, false}};  // a mean of fewer at the border
  for (const Case& c : cases) {
    CAPTURE(c.in);
    CAPTURE(c.k1);
    CAPTURE(c.s1);
    CAPTURE(c.k2);
    Graph g;
    const ValueId x = g.add_input("x", {DType::f32, {2, 3, c.in, c.in}});
    const ValueId y = window(g, x, c.monoid, {c.k1, c.k1}, {c.s1, c.s1}, {c.p1, c.p1}, {c.n1, c.n1});
    g.outputs = {window(g, y, c.monoid, {c.k2, c.k2}, {c.s2, c.s2}, {c.p2, c.p2}, {c.n2, c.n2})};
    const Proof proof = rewritten(g);
    CHECK(logged(proof.log, "pool_of_pool: ") == c.joins);
    CHECK(count<Window>(proof.after) == (c.joins ? 1 : 2));
    const bool exact = c.monoid == Monoid::max || c.monoid == Monoid::min;
    if (exact) CHECK(disagreement(proof, hostile({2, 3, c.in, c.in})) == 0);
    else CHECK(relative(proof, awkward({2, 3, c.in, c.in}), 1) < 1e-13);
  }
}

TEST_CASE("pool_of_pool: two that move over different dimensions, one that is read twice, another monoid") {
  Graph g;
  const ValueId x = g.add_input("x", {DType::f32, {2, 12, 10}});
  const ValueId y = window(g, x, Monoid::max, {2}, {2}, {0}, {5});
  g.outputs = {window(g, y, Monoid::max, {3, 1}, {3, 1}, {0, 0}, {4, 5})};
  const Proof proof = rewritten(g);
  CHECK(count<Window>(proof.after) == 1);
  CHECK(disagreement(proof, hostile({2, 12, 10})) == 0);
  g.outputs.push_back(y);
  CHECK(rewritten(g).log.empty());
  Graph other;
  const ValueId z = other.add_input("x", {DType::f32, {2, 16}});
  other.outputs = {
      window(other, window(other, z, Monoid::max, {2}, {2}, {0}, {8}), Monoid::mean, {2}, {2}, {0}, {4})};
  CHECK(rewritten(other).log.empty());
}

TEST_CASE("monotone_pool: a function that grows or falls goes behind the window") {
  const auto leaky = [](Graph& g, ValueId x, double slope) {
    Expr e;
    const auto a = e.operand(0, DType::f32);
    e.results = {e.apply(ExprOp::select, e.apply(ExprOp::less, a, e.constant(0, DType::f32)),
                         e.apply(ExprOp::mul, a, e.constant(slope, DType::f32)), a)};
    return g.add_node(Pointwise{e}, {x}, "leaky")[0];
  };
  const auto channels = [](Graph& g, std::vector<float> values) {
    const auto n = static_cast<std::int64_t>(values.size());
    return g.add_constant("p", floats({n, 1, 1}, values));
  };
  const auto positive_root = [](Graph& g, ValueId x) {
    Expr e;
    e.results = {e.apply(ExprOp::sqrt, e.apply(ExprOp::max, e.operand(0, DType::f32), e.constant(0, DType::f32)))};
    return g.add_node(Pointwise{e}, {x}, "root")[0];
  };
  using Function = std::function<ValueId(Graph&, ValueId)>;
  const std::vector<std::pair<bool, Function>> functions = {
      {true, [](Graph& g, ValueId x) { return apply(g, ExprOp::tanh, x); }},
      {true, [](Graph& g, ValueId x) { return apply(g, ExprOp::neg, apply(g, ExprOp::sigmoid, x)); }},  // falls
      {true, [&](Graph& g, ValueId x) { return apply(g, ExprOp::mul, x, channels(g, {2, 0.5f, 3})); }},
      {true, [&](Graph& g, ValueId x) { return apply(g, ExprOp::sub, channels(g, {2, -1, 0}), x); }},   // falls
      {true, [&](Graph& g, ValueId x) { return leaky(g, x, 0.01); }},
      {true, positive_root},
      {false, [&](Graph& g, ValueId x) { return leaky(g, x, -0.5); }},
      {false, [](Graph& g, ValueId x) { return apply(g, ExprOp::sqrt, x); }},  // a NaN below zero would be lost
      {false, [](Graph& g, ValueId x) { return apply(g, ExprOp::sin, x); }},
      {false, [](Graph& g, ValueId x) { return apply(g, ExprOp::mul, x, apply(g, ExprOp::sigmoid, x)); }},
      {false, [&](Graph& g, ValueId x) { return apply(g, ExprOp::mul, x, channels(g, {2, -1, 3})); }},
      {false, [&](Graph& g, ValueId x) { return apply(g, ExprOp::mul, x, channels(g, {2, 0, 3})); }},
      {false, [&](Graph& g, ValueId x) { return apply(g, ExprOp::add, x, channels(g, {2, kInfinity, 3})); }}};
  for (std::size_t f = 0; f < functions.size(); ++f)
    for (const Monoid monoid : {Monoid::max, Monoid::min}) {
      CAPTURE(f);
      Graph g;
      const ValueId x = g.add_input("x", {DType::f32, {2, 3, 8, 9}});
      g.outputs = {window(g, functions[f].second(g, x), monoid, {3, 2}, {2, 2}, {1, 0}, {4, 4})};
      const Proof proof = rewritten(g);
      CHECK(logged(proof.log, "monotone_pool: ") == functions[f].first);
      if (!functions[f].first) continue;
      CHECK(proof.after.type(proof.after.nodes.front().outputs[0]).shape == Shape{2, 3, 4, 4});
      CHECK(disagreement(proof, hostile({2, 3, 8, 9})) < 1e-12);
    }
}

TEST_CASE("monotone_pool: what a convolution's kernel does on the way, and windows of nothing but padding, stay") {
  Graph g;
  const ValueId x = g.add_input("x", {DType::f32, {1, 2, 8, 8}});
  const ValueId w = g.add_constant("w", random_floats({3, 2, 1, 1}, 2));
  const ValueId y = g.add_node(Convolution{{{1, 1}, {1, 1}, {0, 0}, {0, 0}}, 1, false, {0, 0}}, {x, w}, "conv")[0];
  const ValueId biased = apply(g, ExprOp::add, y, g.add_constant("b", random_floats({3, 1, 1}, 3)));
  g.outputs = {window(g, apply(g, ExprOp::tanh, biased), Monoid::max, {2, 2}, {2, 2}, {0, 0}, {4, 4})};
  CHECK(rewritten(g).log.empty());
  Graph padded;
  const ValueId z = padded.add_input("x", {DType::f32, {1, 2, 9}});
  padded.outputs = {window(padded, apply(padded, ExprOp::tanh, z), Monoid::max, {2}, {3}, {2}, {4})};
  CHECK(rewritten(padded).log.empty());
}

TEST_CASE("mean_of_product: sums of rows, of columns and of both, with a bias and without") {
  for (const Monoid monoid : {Monoid::mean, Monoid::sum})
    for (const bool turned_a : {false, true})
      for (const bool turned_b : {false, true})
        for (const int bias : {0, 1, 2})  // none, per column, a whole matrix
          for (const std::vector<std::int32_t>& axes :
               {std::vector<std::int32_t>{2}, {1}, {0, 1}, {1, 2}, {0, 1, 2}}) {
            Graph g;
            const Shape shape = turned_a ? Shape{2, 8, 6} : Shape{2, 6, 8};
            const ValueId x = g.add_input("x", {DType::f32, shape});
            const ValueId w = g.add_constant("w", random_floats(turned_b ? Shape{5, 8} : Shape{8, 5}, 2));
            ValueId y = g.add_node(MatMul{turned_a, turned_b}, {x, w}, "product")[0];
            if (bias > 0)
              y = apply(g, ExprOp::add, y, g.add_constant("b", random_floats(bias == 1 ? Shape{5} : Shape{6, 5}, 3)));
            g.outputs = {reduced(g, y, monoid, axes, turned_b)};
            const Proof proof = rewritten(g);
            REQUIRE(logged(proof.log, "mean_of_product: "));
            for (const Node& node : proof.after.nodes)
              if (std::holds_alternative<MatMul>(node.op))
                CHECK(element_count(proof.after.type(node.outputs[0]).shape) < 60);
            CHECK(relative(proof, awkward(shape), 8 * 60) < 1e-7);
          }
}

TEST_CASE("mean_of_product: matrices per batch, products that are read twice, small ones") {
  const auto found = [](Shape a, Shape b, bool constant, std::vector<std::int32_t> axes, bool twice) {
    Graph g;
    const ValueId x = g.add_input("x", {DType::f32, a});
    const ValueId w = constant ? g.add_constant("w", random_floats(b, 2)) : g.add_input("w", {DType::f32, b});
    const ValueId y = g.add_node(MatMul{false, false}, {x, w}, "product")[0];
    g.outputs = {reduced(g, y, Monoid::mean, std::move(axes), false)};
    if (twice) g.outputs.push_back(y);
    const Proof proof = rewritten(g);
    std::vector<Tensor> inputs = {random_floats(a, 5)};
    if (!constant) inputs.push_back(random_floats(b, 6));
    CHECK(difference(run64(proof.before, inputs), run64(proof.after, inputs)) < 1e-6);
    return logged(proof.log, "mean_of_product: ");
  };
  CHECK(found({2, 6, 8}, {2, 8, 5}, false, {2}, false));
  CHECK(found({2, 6, 8}, {2, 8, 5}, false, {1}, false));
  CHECK_FALSE(found({2, 6, 8}, {2, 8, 5}, false, {0, 1}, false));
  CHECK_FALSE(found({6, 8}, {8, 5}, true, {1}, true));
  CHECK_FALSE(found({6, 8}, {8, 2}, true, {1}, false));
  CHECK_FALSE(found({2, 8}, {8, 5}, false, {1}, false));
}

TEST_CASE("mean_of_convolution: of all results of a channel") {
  for (const Monoid monoid : {Monoid::mean, Monoid::sum})
    for (const bool transposed : {false, true})
      for (const std::int64_t groups : {1, 2})
        for (const bool bias : {false, true}) {
          CAPTURE(transposed);
          CAPTURE(groups);
          Graph g;
          const Shape shape = {2, 4, 9, 8};
          const ValueId x = g.add_input("x", {DType::f32, shape});
          const Shape weights = transposed ? Shape{4, 16 / groups, 3, 2} : Shape{16, 4 / groups, 3, 2};
          const ValueId w = g.add_constant("w", random_floats(weights, 2));
          Convolution op{{{2, 1}, {1, 2}, {1, 1}, {2, 0}}, groups, transposed, {transposed ? 1 : 0, 0}};
          ValueId y = g.add_node(op, {x, w}, "conv")[0];
          const Shape out = g.type(y).shape;
          if (bias) y = apply(g, ExprOp::add, g.add_constant("b", random_floats({16, 1, 1}, 3)), y);
          g.outputs = {reduced(g, y, monoid, {2, 3}, bias)};
          const Proof proof = rewritten(g);
          CHECK(logged(proof.log, "mean_of_convolution: "));
          CHECK(count<Convolution>(proof.after) == 0);
          const double terms = 24.0 * static_cast<double>(monoid == Monoid::sum ? out[2] * out[3] : 1);
          CHECK(relative(proof, awkward(shape), terms) < 1e-7);
        }
}

TEST_CASE("mean_of_convolution: one and three dimensions, and a sum of some dimensions, which stays") {
  for (const std::size_t rank : {std::size_t(1), std::size_t(3)}) {
    Graph g;
    Shape shape = {1, 3}, weights = {24, 3};
    shape.insert(shape.end(), rank, 7);
    weights.insert(weights.end(), rank, 3);
    const ValueId x = g.add_input("x", {DType::f32, shape});
    const ValueId w = g.add_constant("w", random_floats(weights, 2));
    const Shape ones(rank, 1), none(rank, 0);
    const ValueId y = g.add_node(Convolution{{ones, ones, ones, none}, 1, false, none}, {x, w}, "conv")[0];
    std::vector<std::int32_t> axes;
    for (std::size_t d = 0; d < rank; ++d) axes.push_back(static_cast<std::int32_t>(d + 2));
    g.outputs = {reduced(g, y, Monoid::mean, axes, false)};
    const Proof proof = rewritten(g);
    CHECK(logged(proof.log, "mean_of_convolution: "));
    CHECK(relative(proof, awkward(shape), 81) < 1e-7);
    if (rank == 1) continue;
    g.outputs = {reduced(g, y, Monoid::mean, {2, 4}, false)};
    CHECK(rewritten(g).log.empty());
  }
}

TEST_CASE("mean_of_convolution: windows of means and sums are a convolution with more taps") {
  struct Case {
    std::int64_t stride, before, kernel, step, extent;
    bool joins;
  };
  const std::vector<Case> cases = {
      {1, 1, 2, 2, 8, true},    // 3x3, then 2x2 by 2: 4x4 by 2
      {1, 0, 4, 4, 3, true},    // results that no window takes
      {2, 1, 2, 2, 4, true},
      {1, 1, 2, 1, 15, false},  // nothing gained
      {1, 1, 3, 3, 6, false}};  // the last window leaves the results
  for (const Case& c : cases)
    for (const Monoid monoid : {Monoid::mean, Monoid::sum})
      for (const std::int64_t groups : {1, 2}) {
        CAPTURE(c.kernel);
        CAPTURE(c.stride);
        Graph g;
        const Shape shape = {2, 4, 16, 16};
        const ValueId x = g.add_input("x", {DType::f32, shape});
        const ValueId w = g.add_constant("w", random_floats({6, 4 / groups, 3, 3}, 2));
        const Convolution op{{{c.stride, c.stride}, {1, 1}, {c.before, c.before}, {c.before, c.before}}, groups, false,
                             {0, 0}};
        ValueId y = g.add_node(op, {x, w}, "conv")[0];
        if (groups == 2) y = apply(g, ExprOp::add, y, g.add_constant("b", random_floats({6, 1, 1}, 3)));
        g.outputs = {window(g, y, monoid, {c.kernel, c.kernel}, {c.step, c.step}, {0, 0}, {c.extent, c.extent})};
        const Proof proof = rewritten(g);
        CHECK(logged(proof.log, "mean_of_convolution: ") == c.joins);
        CHECK(count<Window>(proof.after) == (c.joins ? 0 : 1));
        CHECK(relative(proof, awkward(shape), 36.0 * 16) < 1e-7);
      }
}
