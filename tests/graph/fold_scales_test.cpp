// Scales and biases that go into weights: each against the graph as it was written, on the oracle.
#include <doctest/doctest.h>

#include <cmath>
#include <limits>

#include "tests/graph/proof.h"

using namespace kiln;
using namespace kiln::graph;
using namespace kiln::graph::test;

namespace {

ValueId channels(Graph& g, std::int64_t count, std::uint64_t seed) {
  return g.add_constant("p" + std::to_string(seed), random_floats({count, 1, 1}, seed));
}

ValueId convolution(Graph& g, ValueId x, Shape weights, std::int64_t groups, bool transposed) {
  const ValueId w = g.add_constant("w", random_floats(std::move(weights), 2));
  return g.add_node(Convolution{{{2, 1}, {1, 1}, {1, 0}, {1, 0}}, groups, transposed, {0, 0}}, {x, w}, "conv")[0];
}

int additions(const Graph& g) { return count<Pointwise>(g); }

// Of the largest result, over all inputs.
double relative(const Proof& proof, const std::vector<Tensor>& inputs) {
  double worst = 0;
  for (const Tensor& x : inputs) {
    double largest = 0;
    for (const double y : run64(proof.before, {x})) largest = std::max(largest, std::abs(y));
    worst = std::max(worst, disagreement(proof, {x}) / std::max(largest, 1e-300));
  }
  return worst;
}

}  // namespace

TEST_CASE("a batch norm after a convolution leaves a convolution and one bias") {
  for (const bool bias : {false, true})
    for (const bool transposed : {false, true})
      for (const std::int64_t groups : {1, 2}) {
        CAPTURE(bias);
        CAPTURE(transposed);
        CAPTURE(groups);
        Graph g;
        const ValueId x = g.add_input("x", {DType::f32, {2, 4, 5, 6}});
        const Shape weights = transposed ? Shape{4, 6 / groups, 3, 2} : Shape{6, 4 / groups, 3, 2};
        ValueId y = convolution(g, x, weights, groups, transposed);
        if (bias) y = apply(g, ExprOp::add, channels(g, 6, 3), y);
        y = apply(g, ExprOp::mul, y, channels(g, 6, 4));
        g.outputs = {apply(g, ExprOp::add, y, channels(g, 6, 5))};
        const Proof proof = simplified(g);
        CHECK(logged(proof.log, "fold_scales"));
        CHECK(count<Convolution>(proof.after) == 1);
        CHECK(additions(proof.after) == 1);
        CHECK(relative(proof, awkward({2, 4, 5, 6})) < 1e-6);
      }
}

TEST_CASE("a scale per column goes into the weights of a product, either way round") {
  for (const bool turned : {false, true}) {
    Graph g;
    const ValueId x = g.add_input("x", {DType::f32, {3, 5}});
    const ValueId w = g.add_constant("w", random_floats(turned ? Shape{4, 5} : Shape{5, 4}, 2));
    const ValueId y = g.add_node(MatMul{false, turned}, {x, w}, "product")[0];
    g.outputs = {apply(g, ExprOp::mul, g.add_constant("s", random_floats({4}, 3)), y)};
    const Proof proof = simplified(g);
    CHECK(logged(proof.log, "fold_scales"));
    CHECK(additions(proof.after) == 0);
    CHECK(relative(proof, awkward({3, 5})) < 1e-6);
  }
}

TEST_CASE("a scale stays where folding would change more than rounding, or cost a second convolution") {
  const auto kept = [](Tensor scale, bool read_twice, Shape shape = {6, 1, 1}) {
    Graph g;
    const ValueId x = g.add_input("x", {DType::f32, {2, 4, 5, 6}});
    const ValueId y = convolution(g, x, {6, 4, 3, 2}, 1, false);
    scale.type.shape = std::move(shape);
    g.outputs = {apply(g, ExprOp::mul, y, g.add_constant("s", std::move(scale)))};
    if (read_twice) g.outputs.push_back(y);
    const Proof proof = simplified(g);
    return !logged(proof.log, "fold_scales") && additions(proof.after) == 1;
  };
  CHECK_FALSE(kept(random_floats({6}, 3), false));
  CHECK(kept(random_floats({6}, 3), true));
  CHECK(kept(floats({6}, std::vector<float>(6, 1e-38f)), false));  // denormal weights
  CHECK(kept(floats({6}, std::vector<float>(6, std::numeric_limits<float>::infinity())), false));
  CHECK(kept(random_floats({5}, 3), false, {1, 5}));  // per column of the image
}
