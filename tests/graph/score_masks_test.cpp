#include <doctest/doctest.h>

#include <algorithm>

#include "tests/graph/proof.h"

using namespace kiln;
using namespace kiln::graph;
using namespace kiln::graph::test;

namespace {

constexpr std::int64_t kHeads = 2, kRows = 4, kDepth = 5;

ValueId reshape(Graph& g, ValueId x, Shape shape) { return g.add_node(Reshape{std::move(shape)}, {x}, "view")[0]; }

// 0 within a window's regions, `outside` between them.
Tensor window_mask(Shape shape, float outside) {
  Tensor mask = random_floats(std::move(shape), 11);
  for (float& value : mask.as<float>()) value = value > 0.5f ? outside : 0;
  return mask;
}

struct Windows {
  std::int64_t images = 1, windows = 3;
  float outside = -100;
  bool constant = true;       // the windows' mask; else an input
  bool merged = false;        // the windows' mask is added where images and windows are one dimension, per head
  bool mask_first = false;    // operands of the additions the other way round
  bool bias = true;
};

// Attention within windows, as Swin has it: a bias per head, then a mask per window, where the windows of all images
// are one batch dimension before and after.
Graph windowed(const Windows& w) {
  Graph g;
  const std::int64_t batch = w.images * w.windows;
  const Shape whole = {batch, kHeads, kRows, kRows}, apart = {w.images, w.windows, kHeads, kRows, kRows};
  const ValueId q = g.add_input("q", {DType::f32, {batch, kHeads, kRows, kDepth}});
  const ValueId k = g.add_input("k", {DType::f32, {batch, kHeads, kRows, kDepth}});
  const ValueId v = g.add_input("v", {DType::f32, {batch, kHeads, kRows, 3}});
  const auto add = [&](ValueId scores, ValueId mask) {
    return w.mask_first ? apply(g, ExprOp::add, mask, scores) : apply(g, ExprOp::add, scores, mask);
  };
  ValueId scores = g.add_node(MatMul{false, true}, {q, k}, "scores")[0];
  if (w.bias) scores = add(scores, g.add_constant("bias", random_floats({1, kHeads, kRows, kRows}, 5)));
  const Shape mask = w.merged ? Shape{w.windows * kHeads, kRows, kRows} : Shape{1, w.windows, 1, kRows, kRows};
  scores = reshape(g, scores, w.merged ? Shape{w.images, w.windows * kHeads, kRows, kRows} : apart);
  scores = add(scores, w.constant ? g.add_constant("windows", window_mask(mask, w.outside))
                                  : g.add_input("windows", {DType::f32, mask}));
  scores = reshape(g, scores, whole);
  const ValueId weights = g.add_node(Softmax{3, false}, {scores}, "weights")[0];
  g.outputs = g.add_node(MatMul{false, false}, {weights, v}, "out");
  return g;
}

double error_of(const Proof& p) {
  double worst = 0;
  for (const double scale : {1.0, 30.0, 1e-6}) {
    std::vector<Tensor> inputs;
    for (std::size_t i = 0; i < p.before.inputs.size(); ++i)
      inputs.push_back(random_floats(p.before.type(p.before.inputs[i]).shape, static_cast<unsigned>(i), scale));
    worst = std::max(worst, difference(run64(p.before, inputs), run64(p.after, inputs)) / (1 + scale));
  }
  return worst;
}

}  // namespace

TEST_CASE("constant masks under batch dimensions that split and merge between them are one mask of an attention") {
  for (const std::int64_t images : {1, 3}) for (const bool merged : {false, true}) {
    for (const float outside : {-100.0f, -INFINITY}) {
      CAPTURE(images);
      CAPTURE(merged);
      const Proof p = simplified(windowed({images, 3, outside, true, merged, images == 1}));
      REQUIRE(count<Attention>(p.after) == 1);
      CHECK(count<Softmax>(p.after) == 0);
      CHECK(count<MatMul>(p.after) == 0);
      CHECK(count<Pointwise>(p.after) == 0);
      CHECK(logged(p.log, "sum_masks: out"));
      CHECK(logged(p.log, "attention: out"));
      CHECK(error_of(p) < 1e-6);  // the sum of the masks is rounded once more, to f32
    }
  }
}

TEST_CASE("the sum of the masks is no larger than what they broadcast to: one image's, whatever the batch") {
  const Proof p = simplified(windowed({4, 3}));
  const auto attention = std::find_if(p.after.nodes.begin(), p.after.nodes.end(),
                                      [](const Node& n) { return std::holds_alternative<Attention>(n.op); });
  REQUIRE(attention != p.after.nodes.end());
  REQUIRE(attention->inputs.size() == 4);
  CHECK(element_count(p.after.type(attention->inputs[3]).shape) == 3 * kHeads * kRows * kRows);
}

TEST_CASE("one mask that is computed goes through the reshapes as it is; with another one it stays apart") {
  CHECK(count<Attention>(simplified(windowed({2, 3, -100, false})).after) == 0);
  Windows alone{2, 3, -100, false};
  alone.bias = false;
  const Proof p = simplified(windowed(alone));
  CHECK(count<Attention>(p.after) == 1);
  CHECK_FALSE(logged(p.log, "sum_masks"));
  CHECK(error_of(p) < 1e-9);
}

TEST_CASE("masks whose sum is no number, and reshapes that no common batch dimensions express, stay in parts") {
  Graph g = windowed({1, 3, -INFINITY});
  for (std::size_t v = 0; v < g.values.size(); ++v) {
    if (g.values[v].name != "bias") continue;
    const auto infinite = std::make_shared<const Tensor>(floats({1, 1, 1, 1}, {INFINITY}));
    g.values[v].type = infinite->type;
    g.constants[v] = Constant{infinite, infinite->bytes};
  }
  CHECK(count<Attention>(simplified(g).after) == 0);

  Graph crossed;
  const ValueId q = crossed.add_input("q", {DType::f32, {6, 4, kRows, kDepth}});
  ValueId scores = crossed.add_node(MatMul{false, true}, {q, q}, "scores")[0];
  scores = reshape(crossed, scores, {4, 6, kRows, kRows});
  scores = apply(crossed, ExprOp::add, scores, crossed.add_constant("m", random_floats({4, 1, kRows, kRows}, 1)));
  scores = reshape(crossed, scores, {6, 4, kRows, kRows});
  crossed.outputs = crossed.add_node(MatMul{false, false},
                                     {crossed.add_node(Softmax{3, false}, {scores}, "weights")[0], q}, "out");
  CHECK(count<Attention>(simplified(crossed).after) == 0);
}
