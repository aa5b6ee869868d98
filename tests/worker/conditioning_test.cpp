// How much a right evaluation may err where luck decides, where functions saturate, and next to ties.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>

#include "agents/graph/interpreter.h"
#include "daemon/worker/conditioning.h"
#include "daemon/worker/inputs.h"

using namespace kiln;
using namespace kiln::worker;
using graph::DType;

namespace {

Conditioning conditioning_over(const graph::Graph& g, const std::vector<graph::Tensor>& inputs, bool amplified) {
  const auto plain = [&g](const std::vector<graph::Tensor>& near) {
    return graph::evaluate(g, near, graph::Arithmetic::model);
  };
  return conditioning_of(g, plain, inputs, graph::evaluate(g, inputs, graph::Arithmetic::fp64), amplified, 5, 1).at(0);
}

}  // namespace

TEST_CASE("what a rounding of the inputs does to the answer: much where it cancels, nothing for many elements") {
  using namespace graph;
  const auto sums = [](std::int64_t rows, float left, float right) {
    Graph g;
    const ValueId x = g.add_input("x", {DType::f32, {rows, 2}});
    g.outputs = g.add_node(Reduce{Monoid::sum, {1}, false}, {x}, "sum");
    Tensor input = Tensor::zeros({DType::f32, {rows, 2}});
    for (std::int64_t i = 0; i < rows; ++i) {
      input.as<float>()[static_cast<std::size_t>(2 * i)] = left;
      input.as<float>()[static_cast<std::size_t>(2 * i + 1)] = right;
    }
    return conditioning_over(g, {input}, false);
  };
  // A unit in the last place is 2^-23 of 1 and 2^-24 below it: at most both, over the sum of 0.001, and seven times
  // that for one element.
  const Conditioning cancelled = sums(1, 1.0f, -0.999f);
  CHECK(cancelled.normwise <= 7 * (0x1p-23 + 0x1p-24) / 0.00099);
  CHECK(cancelled.normwise > 0x1p-26 / 0.001);
  const Conditioning plain = sums(1, 1.0f, 1.0f);
  CHECK(plain.normwise <= 7 * 0x1p-23);
  CHECK(sums(64, 1.0f, -0.999f).normwise == 0);
  CHECK(sums(60, 1.0f, -0.999f).normwise > 0);
}

TEST_CASE("amplified inputs: what saturates is as uncertain as its scores, what is linear is not") {
  using namespace graph;
  const auto conditioned = [](bool saturating, bool amplified) {
    Graph g;
    const ValueId x = g.add_input("x", {DType::f32, {2, 1}}), y = g.add_input("y", {DType::f32, {400, 2}});
    const ValueId scores = g.add_node(MatMul{false, false}, {y, x}, "scores")[0];
    g.outputs = saturating ? g.add_node(Softmax{0, false}, {scores}, "softmax") : std::vector<ValueId>{scores};
    std::vector<Tensor> inputs = {make_input(g.type(x), std::nullopt, "amplified", 7, 0),
                                  make_input(g.type(y), std::nullopt, "amplified", 7, 1)};
    // Two scores of 4096 each, equal but for their roundings, above all others.
    inputs[0].as<float>()[0] = 64;
    inputs[0].as<float>()[1] = 0.001f;
    for (float& value : inputs[1].as<float>()) value = std::min(value, 60.0f);
    inputs[1].as<float>()[0] = inputs[1].as<float>()[4] = 64;
    return conditioning_over(g, inputs, amplified);
  };
  // A unit in the last place of 64, times 64, moves a score by 2^-11, and each of two equal weights by a quarter of it.
  CHECK(conditioned(true, true).normwise > 0x1p-16);
  CHECK(conditioned(true, true).normwise < 7 * 0x1p-11);
  CHECK(conditioned(false, true).normwise == 0);  // many elements, each with a rounding of its own
}

namespace {

constexpr std::int64_t kRows = 64, kColumns = 2048;

// softmax((x - mean) / deviation), each column with a mean and a deviation of its own; `by_root`: the deviation is the
// root of a variance and an epsilon.
graph::Graph normalised_softmax(bool by_root) {
  using namespace graph;
  Graph g;
  const ValueId x = g.add_input("x", {DType::f32, {kRows, kColumns}});
  const ValueId mean = g.add_input("mean", {DType::f32, {1, kColumns}});
  const ValueId deviation = g.add_input("deviation", {DType::f32, {1, kColumns}});
  Expr e;
  const auto centred = e.apply(ExprOp::sub, e.operand(0, DType::f32), e.operand(1, DType::f32));
  auto divisor = e.operand(2, DType::f32);
  if (by_root)
    divisor = e.apply(ExprOp::sqrt, e.apply(ExprOp::add, e.apply(ExprOp::abs, divisor), e.constant(1e-5, DType::f32)));
  e.results = {e.apply(ExprOp::div, centred, divisor)};
  const ValueId scores = g.add_node(Pointwise{e}, {x, mean, deviation}, "normalise")[0];
  g.outputs = g.add_node(Softmax{1, false}, {scores}, "softmax");
  return g;
}

double norm_of_difference(const graph::Tensor& a, const graph::Tensor& b) {
  double squares = 0, norm = 0;
  for (std::int64_t i = 0; i < a.count(); ++i) {
    const double want = graph::load_double(b.type.dtype, b.bytes.data(), i);
    const double apart = graph::load_double(a.type.dtype, a.bytes.data(), i) - want;
    squares += apart * apart;
    norm += want * want;
  }
  return std::sqrt(squares / norm);
}

}  // namespace

TEST_CASE("what saturates behind a division by a drawn input may err as its scores do, in every family") {
  using namespace graph;
  for (const bool by_root : {false, true}) {
    int by_luck = 0;  // past twice what the plain evaluation errs by, which is what many independent errors are held to
    for (std::uint64_t seed = 1; seed <= (by_root || KILN_SANITIZED ? 2 : 16); ++seed) {
      CAPTURE(seed);
      const Graph g = normalised_softmax(by_root);
      std::vector<Tensor> inputs;
      for (std::size_t i = 0; i < g.inputs.size(); ++i)
        inputs.push_back(make_input(g.type(g.inputs[i]), std::nullopt, "normal", seed, i));
      const Tensor right = evaluate(g, inputs, Arithmetic::fp64)[0];
      const double plain = norm_of_difference(evaluate(g, inputs, Arithmetic::model)[0], right);
      const double allowed = conditioning_over(g, inputs, false).normwise;
      CHECK(allowed < 0.01);  // a wrong row of 64 is more
      // As right as the plain evaluation: x / deviation - mean / deviation, and by the reciprocal of the deviation.
      for (const bool by_reciprocal : {false, true}) {
        Graph other = g;
        Expr& e = std::get<Pointwise>(other.nodes[0].op).expr;
        const ExprNode division = e.nodes[static_cast<std::size_t>(e.results[0])];
        const ExprNode centred = e.nodes[static_cast<std::size_t>(division.args[0])];
        if (by_reciprocal)
          e.results = {e.apply(ExprOp::mul, division.args[0], e.apply(ExprOp::reciprocal, division.args[1]))};
        else
          e.results = {e.apply(ExprOp::sub, e.apply(ExprOp::div, centred.args[0], division.args[1]),
                               e.apply(ExprOp::div, centred.args[1], division.args[1]))};
        const double error = norm_of_difference(evaluate(other, inputs, Arithmetic::model)[0], right);
        CHECK(error <= 2 * std::max(plain, allowed));
        by_luck += error > 2 * std::max(plain, 4 * 0x1p-24) ? 1 : 0;
      }
    }
    if (!by_root && !KILN_SANITIZED) CHECK(by_luck > 0);
  }
}

TEST_CASE("a divisor that is kept from zero, or is reduced, makes nothing saturate") {
  using namespace graph;
  const auto allowed = [](bool silu) {
    Graph g;
    const ValueId x = g.add_input("x", {DType::f32, {512, 64}});
    Expr e;
    const auto value = e.operand(0, DType::f32);
    if (silu) {
      const auto above_one = e.apply(ExprOp::add, e.constant(1, DType::f32),
                                     e.apply(ExprOp::exp, e.apply(ExprOp::neg, value)));
      e.results = {e.apply(ExprOp::div, value, above_one)};
    } else {
      e.results = {e.apply(ExprOp::div, value, e.operand(1, DType::f32))};
    }
    const ValueId most = g.add_node(Reduce{Monoid::max, {1}, true}, {x}, "largest")[0];
    const ValueId scaled = g.add_node(Pointwise{e}, silu ? std::vector{x} : std::vector{x, most}, "scale")[0];
    g.outputs = g.add_node(Softmax{1, false}, {scaled}, "softmax");
    return conditioning_over(g, {make_input(g.type(x), std::nullopt, "normal", 1, 0)}, false).normwise;
  };
  CHECK(allowed(true) == 0);
  CHECK(allowed(false) == 0);
}

TEST_CASE("what is rounded to integers may take a step next to a tie, and stays on one") {
  using namespace graph;
  constexpr std::int64_t rows = 256, columns = 192, depth = 128;
  // round(x w / step) as i32, the products summed at once or in two halves: both are right.
  const auto quantised = [&](bool halves, double step) {
    Graph g;
    const ValueId x = g.add_input("x", {DType::f32, {rows, depth}});
    const ValueId w = g.add_input("w", {DType::f32, {depth, columns}});
    const auto part = [&](std::int64_t begin, std::int64_t extent) {
      const ValueId a = g.add_node(Slice{{0, begin}, {rows, extent}, {1, 1}}, {x}, "left")[0];
      const ValueId b = g.add_node(Slice{{begin, 0}, {extent, columns}, {1, 1}}, {w}, "right")[0];
      return g.add_node(MatMul{false, false}, {a, b}, "product")[0];
    };
    const ValueId first = part(0, halves ? depth / 2 : depth), second = halves ? part(depth / 2, depth / 2) : first;
    Expr e;
    auto sum = e.operand(0, DType::f32);
    if (halves) sum = e.apply(ExprOp::add, sum, e.operand(1, DType::f32));
    const auto quotient = e.apply(ExprOp::div, sum, e.constant(step, DType::f32));
    const auto moved = e.apply(ExprOp::add, e.apply(ExprOp::round, quotient), e.constant(128, DType::f32));
    e.results = {e.cast(moved, DType::i32)};
    g.outputs = g.add_node(Pointwise{e}, halves ? std::vector{first, second} : std::vector{first}, "quantise");
    return g;
  };
  const auto allowed = [&](const Graph& g, const std::vector<Tensor>& inputs, const std::vector<Tensor>& expected) {
    std::vector<Conditioning> figures(1);
    allow_for_ties(
        g, [&](const Graph& nudged) { return evaluate(nudged, inputs, Arithmetic::model); }, expected, figures);
    return figures[0].normwise;
  };
  const auto error = [](const Tensor& got, const Tensor& want) {
    double squares = 0, norm = 0;
    for (std::int64_t i = 0; i < want.count(); ++i) {
      const double right = load_double(want.type.dtype, want.bytes.data(), i);
      const double difference = load_double(got.type.dtype, got.bytes.data(), i) - right;
      squares += difference * difference;
      norm += right * right;
    }
    return std::sqrt(squares / norm);
  };
  const Graph g = quantised(false, 0.01), other = quantised(true, 0.01);
  int steps = 0;
  for (std::uint64_t seed = 1; seed <= 8; ++seed) {
    const std::vector<Tensor> inputs = {make_input({DType::f32, {rows, depth}}, std::nullopt, "normal", seed, 0),
                                        make_input({DType::f32, {depth, columns}}, std::nullopt, "normal", seed, 1)};
    const std::vector<Tensor> expected = evaluate(g, inputs, Arithmetic::fp64);
    const double of_other = error(evaluate(other, inputs, Arithmetic::model)[0], expected[0]);
    steps += of_other > 0;
    CHECK(of_other <= allowed(g, inputs, expected));
    CHECK(allowed(g, inputs, expected) < 2e-4);  // rounding down errs by 6e-4
  }
  CHECK(steps > 0);
  // Small integers and a step of a power of two: half of all values lie on ties, and all are exact.
  const Graph exact = quantised(false, 2);
  const std::vector<Tensor> inputs = {make_input({DType::f32, {rows, depth}}, std::nullopt, "integers", 3, 0),
                                      make_input({DType::f32, {depth, columns}}, std::nullopt, "integers", 3, 1)};
  CHECK(allowed(exact, inputs, evaluate(exact, inputs, Arithmetic::fp64)) == 0);
}
