// Scans, places of extrema, top-k, scatter and recurrent layers against the oracle.
#include <doctest/doctest.h>

#include "tests/graph/build.h"
#include "tests/writer/against_oracle.h"

using namespace kiln;
using namespace kiln::graph;

namespace {

const testing::Setting kSetting{2, {}};

Graph of(const Op& op, Shape shape, DType type = DType::f32) {
  Graph g;
  g.outputs = g.add_node(op, {g.add_input("x", {type, std::move(shape)})}, "node");
  return g;
}

Expr function(ExprOp op) {
  Expr e;
  e.results = {e.apply(op, e.operand(0, DType::f32))};
  return e;
}

// T = 5 steps of a batch of 3; hidden 19 leaves a tail in every vector.
struct Layer {
  Cell cell;
  bool reverse, reset_after, input_forget;
  double clip;
};

Graph recurrent(const Layer& l) {
  constexpr std::int64_t kSteps = 5, kBatch = 3, kHidden = 19;
  const std::int64_t gates = l.cell == Cell::rnn ? 1 : l.cell == Cell::gru ? 3 : 4;
  Graph g;
  std::vector<ValueId> inputs = {g.add_input("x", {DType::f32, {kSteps, kBatch, gates * kHidden}})};
  inputs.push_back(g.add_constant("r", test::random_floats({gates * kHidden, kHidden}, 1, 0.2)));
  inputs.push_back(g.add_constant("b", test::random_floats({gates * kHidden}, 2, 0.5)));
  inputs.push_back(g.add_input("h", {DType::f32, {kBatch, kHidden}}));
  inputs.push_back(g.add_constant("lengths", test::tensor<std::int64_t>(DType::i64, {kBatch}, {5, 2, 0})));
  Recurrent op{l.cell, l.reverse, l.reset_after, l.input_forget, l.clip, {}};
  op.activations = {function(ExprOp::sigmoid), function(ExprOp::tanh), function(ExprOp::tanh)};
  op.activations.resize(l.cell == Cell::rnn ? 1 : l.cell == Cell::gru ? 2 : 3);
  if (l.cell == Cell::lstm) {
    inputs.push_back(g.add_input("c", {DType::f32, {kBatch, kHidden}}));
    inputs.push_back(g.add_constant("p", test::random_floats({3 * kHidden}, 3, 0.3)));
  }
  g.outputs = g.add_node(op, inputs, "layer");
  return g;
}

int recurrent_differences(const Layer& l, std::int64_t isa) {
  const Graph g = recurrent(l);
  std::vector<Tensor> inputs;
  for (const ValueId v : g.inputs)
    inputs.push_back(test::random_floats(g.type(v).shape, static_cast<unsigned>(v) + 5));
  testing::Setting setting{2, {}};
  if (isa != 0) setting.tunables["isa"] = isa;
  return testing::differences(g, inputs, "recurrent", "steps", setting, 2e-6);
}

}  // namespace

TEST_CASE("scans: every monoid, both directions, exclusive, along each dimension") {
  const auto check = [](const Graph& g) { CHECK(testing::differences(g, "line", "plain", kSetting) == 0); };
  check(of(Scan{Monoid::sum, 1, false, false}, {3, 7, 10}));
  check(of(Scan{Monoid::sum, 2, true, true}, {3, 4, 9}));
  check(of(Scan{Monoid::max, 0, false, true}, {6, 70}));
  CHECK(testing::differences(of(Scan{Monoid::sum, 0, false, true}, {6, 70}), "line", "plain",
                             {2, {{"columns_per_task", 64}}}) == 0);
  check(of(Scan{Monoid::min, 1, true, false}, {2, 5}));
  check(of(Scan{Monoid::prod, 1, false, false}, {2, 5}, DType::i64));
}

TEST_CASE("scans of what is computed on the way: masked, along each dimension, from the end, broadcast operands") {
  const auto masked = [](const Scan& op, Shape shape, Shape mask) {
    Graph g;
    Expr e;
    const auto x = e.operand(0, DType::f32);
    e.results = {e.apply(ExprOp::mul, e.apply(ExprOp::abs, x), e.cast(e.operand(1, DType::boolean), DType::f32))};
    const ValueId of = g.add_input("x", {DType::f32, std::move(shape)});
    const ValueId by = g.add_input("m", {DType::boolean, std::move(mask)});
    g.outputs = g.add_node(op, {g.add_node(Pointwise{e}, {of, by}, "masked")[0]}, "scan");
    return testing::differences(g, "line", "plain", kSetting);
  };
  CHECK(masked({Monoid::sum, 1, false, false}, {5, 33}, {5, 33}) == 0);
  CHECK(masked({Monoid::sum, 1, true, true}, {3, 7, 10}, {3, 7, 10}) == 0);
  CHECK(masked({Monoid::max, 0, false, true}, {6, 70}, {70}) == 0);
  CHECK(masked({Monoid::sum, 1, false, false}, {5, 33}, {5, 1}) == 0);
}

TEST_CASE("places of extrema: of equals the first or the last, NaN beyond all numbers") {
  const auto check = [](const Graph& g) { CHECK(testing::differences(g, "line", "plain", kSetting) == 0); };
  check(of(Arg{true, 1, true, false}, {3, 33, 5}));
  check(of(Arg{false, 2, false, true}, {2, 3, 33}));
  const Graph g = of(Arg{true, 0, false, false}, {4, 2});
  const Tensor x = test::floats({4, 2}, {1, 9, NAN, 3, 7, NAN, NAN, NAN});
  CHECK(testing::differences(g, {x}, "line", "plain", kSetting) == 0);
}

TEST_CASE("top-k in order with places, along an inner and an outer dimension, and a whole sort") {
  const auto check = [](const Graph& g) { CHECK(testing::differences(g, "line", "plain", kSetting) == 0); };
  check(of(TopK{1, 5, true}, {3, 37}));
  check(of(TopK{0, 3, false}, {13, 6}, DType::i32));
  check(of(TopK{1, 20, true}, {2, 20}));
}

TEST_CASE("scatter: replaced, added and combined rows, the same row twice, indices from the end") {
  for (const Combine combine : {Combine::replace, Combine::add, Combine::mul, Combine::max, Combine::min}) {
    Graph g;
    const ValueId data = g.add_input("data", {DType::f32, {9, 4}});
    const ValueId indices =
        g.add_constant("i", test::tensor<std::int64_t>(DType::i64, {5}, {3, -1, 3, 0, 3}));
    const ValueId updates = g.add_input("updates", {DType::f32, {5, 4}});
    g.outputs = g.add_node(Scatter{combine}, {data, indices, updates}, "scatter");
    CHECK(testing::differences(g, "scatter", "rows", {2, {{"parts", 4}}}) == 0);
  }
}

TEST_CASE("recurrent layers: cells, directions, resets, clipping, peepholes, rows that end early") {
  CHECK(recurrent_differences({Cell::rnn, false, false, false, 0}, 0) == 0);
  CHECK(recurrent_differences({Cell::gru, false, true, false, 0}, 0) == 0);
  CHECK(recurrent_differences({Cell::gru, true, false, false, 0.7}, 128) == 0);
  CHECK(recurrent_differences({Cell::lstm, false, false, false, 0}, 0) == 0);
  CHECK(recurrent_differences({Cell::lstm, true, false, true, 0.5}, 0) == 0);
}
