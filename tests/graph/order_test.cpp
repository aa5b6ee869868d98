// Scans, extrema, top-k, scatter and recurrent layers, where the ONNX node tests do not reach.
#include <doctest/doctest.h>

#include <cmath>

#include "agents/graph/domains.h"
#include "runtime/base/error.h"
#include "tests/graph/build.h"

using namespace kiln;
using namespace kiln::graph;
using namespace kiln::graph::test;

namespace {

Graph unary_graph(const Op& op, TensorType type) {
  Graph g;
  const ValueId x = g.add_input("x", std::move(type));
  g.outputs = g.add_node(op, {x}, "op");
  return g;
}

double sigmoid(double x) { return 1 / (1 + std::exp(-x)); }

struct Weights {
  std::int64_t gates, hidden;
  Tensor x, r, bias, h, c, peepholes;
  double r_at(std::int64_t gate, std::int64_t j, std::int64_t k) const {
    return static_cast<double>(r.as<float>()[static_cast<std::size_t>((gate * hidden + j) * hidden + k)]);
  }
};

Weights weights(std::int64_t gates, std::int64_t steps, std::int64_t batch, std::int64_t hidden) {
  return {gates, hidden, random_floats({steps, batch, gates * hidden}, 1), random_floats({gates * hidden, hidden}, 2),
          random_floats({gates * hidden}, 3), random_floats({batch, hidden}, 4), random_floats({batch, hidden}, 5),
          random_floats({3 * hidden}, 6)};
}

// One row of a layer by the formulas of the ONNX operators, one element at a time. Appends h of each step to `y`.
struct Row {
  const Weights& w;
  Cell cell;
  bool reset_after = false;
  std::vector<double> h, c;

  Row(const Weights& of, Cell kind, std::int64_t b) : w(of), cell(kind) {
    for (std::int64_t j = 0; j < w.hidden; ++j) {
      h.push_back(static_cast<double>(w.h.as<float>()[static_cast<std::size_t>(b * w.hidden + j)]));
      c.push_back(static_cast<double>(w.c.as<float>()[static_cast<std::size_t>(b * w.hidden + j)]));
    }
  }
  double x(std::int64_t t, std::int64_t b, std::int64_t gate, std::int64_t j) const {
    const std::int64_t batch = w.x.type.shape[1];
    return static_cast<double>(
        w.x.as<float>()[static_cast<std::size_t>(((t * batch + b) * w.gates + gate) * w.hidden + j)]);
  }
  double bias(std::int64_t gate, std::int64_t j) const {
    return static_cast<double>(w.bias.as<float>()[static_cast<std::size_t>(gate * w.hidden + j)]);
  }
  double peephole(std::int64_t gate, std::int64_t j) const {
    return static_cast<double>(w.peepholes.as<float>()[static_cast<std::size_t>(gate * w.hidden + j)]);
  }
  double recurrent(const std::vector<double>& state, std::int64_t gate, std::int64_t j) const {
    double sum = bias(gate, j);
    for (std::int64_t k = 0; k < w.hidden; ++k) sum += state[static_cast<std::size_t>(k)] * w.r_at(gate, j, k);
    return sum;
  }
  void step(std::int64_t t, std::int64_t b) {
    std::vector<double> next = h, cell_next = c, z(h.size()), r(h.size()), reset(h.size());
    for (std::int64_t j = 0; j < w.hidden; ++j) {
      const auto at = static_cast<std::size_t>(j);
      if (cell == Cell::rnn) next[at] = std::tanh(x(t, b, 0, j) + recurrent(h, 0, j));
      if (cell == Cell::gru) {
        z[at] = sigmoid(x(t, b, 0, j) + recurrent(h, 0, j));
        r[at] = sigmoid(x(t, b, 1, j) + recurrent(h, 1, j));
        reset[at] = r[at] * h[at];
      }
      if (cell == Cell::lstm) {
        const double i = sigmoid(x(t, b, 0, j) + recurrent(h, 0, j) + peephole(0, j) * c[at]);
        const double f = sigmoid(x(t, b, 2, j) + recurrent(h, 2, j) + peephole(2, j) * c[at]);
        cell_next[at] = f * c[at] + i * std::tanh(x(t, b, 3, j) + recurrent(h, 3, j));
        next[at] =
            sigmoid(x(t, b, 1, j) + recurrent(h, 1, j) + peephole(1, j) * cell_next[at]) * std::tanh(cell_next[at]);
      }
    }
    for (std::int64_t j = 0; j < w.hidden && cell == Cell::gru; ++j) {
      const auto at = static_cast<std::size_t>(j);
      const double inner = reset_after ? r[at] * recurrent(h, 2, j) : recurrent(reset, 2, j);
      next[at] = (1 - z[at]) * std::tanh(x(t, b, 2, j) + inner) + z[at] * h[at];
    }
    h = next;
    c = cell_next;
  }
};

Expr activation(ExprOp op) {
  Expr e;
  e.results = {e.apply(op, e.operand(0, DType::f32))};
  return e;
}

void check_recurrent(Cell cell, bool reverse, bool reset_after) {
  const std::int64_t gates = cell == Cell::lstm ? 4 : cell == Cell::gru ? 3 : 1, steps = 5, batch = 3, hidden = 4;
  const std::vector<std::int64_t> lengths = {5, 2, 3};
  const Weights w = weights(gates, steps, batch, hidden);
  Graph g;
  std::vector<ValueId> inputs;
  std::vector<Tensor> values = {w.x, w.r, w.bias, w.h, tensor<std::int64_t>(DType::i64, {batch}, lengths)};
  if (cell == Cell::lstm) values.insert(values.end(), {w.c, w.peepholes});
  for (std::size_t i = 0; i < values.size(); ++i)
    inputs.push_back(g.add_input("i" + std::to_string(i), values[i].type));
  std::vector<Expr> activations = {activation(cell == Cell::rnn ? ExprOp::tanh : ExprOp::sigmoid)};
  if (cell != Cell::rnn) activations.push_back(activation(ExprOp::tanh));
  if (cell == Cell::lstm) activations.push_back(activation(ExprOp::tanh));
  g.outputs = g.add_node(Recurrent{cell, reverse, reset_after, false, 0, activations}, inputs, "layer");
  const auto out = evaluate(g, values, Arithmetic::fp64, 2);
  for (std::int64_t b = 0; b < batch; ++b) {
    Row row(w, cell, b);
    row.reset_after = reset_after;
    const std::int64_t length = lengths[static_cast<std::size_t>(b)];
    for (std::int64_t s = 0; s < steps; ++s) {
      const std::int64_t t = reverse && s < length ? length - 1 - s : s;
      if (s < length) row.step(t, b);
      for (std::int64_t j = 0; j < hidden; ++j)
        REQUIRE(out[0].as<double>()[static_cast<std::size_t>((t * batch + b) * hidden + j)] ==
                doctest::Approx(s < length ? row.h[static_cast<std::size_t>(j)] : 0).epsilon(1e-12));
    }
    for (std::int64_t j = 0; j < hidden; ++j) {
      const auto at = static_cast<std::size_t>(b * hidden + j);
      REQUIRE(out[1].as<double>()[at] == doctest::Approx(row.h[static_cast<std::size_t>(j)]).epsilon(1e-12));
      if (cell == Cell::lstm)
        REQUIRE(out[2].as<double>()[at] == doctest::Approx(row.c[static_cast<std::size_t>(j)]).epsilon(1e-12));
    }
  }
}

}  // namespace

TEST_CASE("recurrent layers follow their formulas, in both directions, with rows that end early") {
  for (const bool reverse : {false, true}) {
    check_recurrent(Cell::rnn, reverse, false);
    check_recurrent(Cell::gru, reverse, false);
    check_recurrent(Cell::gru, reverse, true);
    check_recurrent(Cell::lstm, reverse, false);
  }
}

TEST_CASE("a scan takes the monoid up to each element, or before it, from either end") {
  const Tensor x = floats({4}, {2, 3, 4, 5});
  const auto scan = [&](Monoid monoid, bool exclusive, bool reverse) {
    return run32(unary_graph(Scan{monoid, 0, exclusive, reverse}, x.type), {x});
  };
  CHECK(scan(Monoid::prod, false, false) == std::vector<float>{2, 6, 24, 120});
  CHECK(scan(Monoid::prod, true, true) == std::vector<float>{60, 20, 5, 1});
  CHECK(scan(Monoid::max, true, false) == std::vector<float>{-INFINITY, 2, 3, 4});
  CHECK(scan(Monoid::min, false, true) == std::vector<float>{2, 3, 4, 5});
}

TEST_CASE("equal elements give the first index or the last, and a NaN is beyond every number") {
  const Tensor x = floats({2, 4}, {3, 7, 7, 1, 1, NAN, 9, NAN});
  const auto at = [&](bool largest, bool last) {
    const auto out = evaluate(unary_graph(Arg{largest, 1, false, last}, x.type), {x}, Arithmetic::fp64);
    return std::vector<std::int64_t>{out[0].as<std::int64_t>()[0], out[0].as<std::int64_t>()[1]};
  };
  CHECK(at(true, false) == std::vector<std::int64_t>{1, 1});
  CHECK(at(true, true) == std::vector<std::int64_t>{2, 3});
  CHECK(at(false, false) == std::vector<std::int64_t>{3, 1});
}

TEST_CASE("top-k orders by value, then by index") {
  const Tensor x = floats({6}, {1, 5, 5, 0, 5, 2});
  const auto largest = evaluate(unary_graph(TopK{0, 4, true}, x.type), {x}, Arithmetic::fp64);
  CHECK(largest[0].as<double>()[3] == 2);
  for (std::size_t i = 0; i < 4; ++i)
    CHECK(largest[1].as<std::int64_t>()[i] == std::vector<std::int64_t>{1, 2, 4, 5}[i]);
  const auto sorted = evaluate(unary_graph(TopK{0, 6, false}, x.type), {x}, Arithmetic::fp64);
  for (std::size_t i = 0; i < 6; ++i)
    CHECK(sorted[1].as<std::int64_t>()[i] == std::vector<std::int64_t>{3, 0, 5, 1, 2, 4}[i]);
}

TEST_CASE("a scatter combines in order, counts from the end, and refuses an index outside") {
  Graph g;
  const ValueId data = g.add_input("data", {DType::f32, {3, 2}}), at = g.add_input("at", {DType::i64, {3}});
  const ValueId updates = g.add_input("updates", {DType::f32, {3, 2}});
  g.outputs = {g.add_node(Scatter{Combine::replace}, {data, at, updates}, "replace")[0],
               g.add_node(Scatter{Combine::add}, {data, at, updates}, "add")[0]};
  const auto run = [&](std::vector<std::int64_t> indices) {
    return evaluate(g,
                    {floats({3, 2}, {1, 2, 3, 4, 5, 6}), tensor<std::int64_t>(DType::i64, {3}, indices),
                     floats({3, 2}, {10, 20, 30, 40, 50, 60})},
                    Arithmetic::fp64);
  };
  const auto out = run({-1, 0, 2});
  const std::vector<double> replaced = {30, 40, 3, 4, 50, 60}, added = {31, 42, 3, 4, 65, 86};
  for (std::size_t i = 0; i < 6; ++i) {
    CHECK(out[0].as<double>()[i] == replaced[i]);
    CHECK(out[1].as<double>()[i] == added[i]);
  }
  CHECK_THROWS_WITH_AS((void)run({0, 3, 0}), doctest::Contains("outside an axis of 3"), Error);
  CHECK(input_domains(g)[1]->high == 2);
}

TEST_CASE("rows of a recurrent layer may end at any step; as a model's constants they have all") {
  Graph g;
  const std::vector<ValueId> inputs = {
      g.add_input("x", {DType::f32, {7, 2, 3}}), g.add_input("r", {DType::f32, {3, 3}}),
      g.add_input("bias", {DType::f32, {3}}), g.add_input("h", {DType::f32, {2, 3}}),
      g.add_input("lengths", {DType::i64, {2}})};
  Expr tanh;
  tanh.results = {tanh.apply(ExprOp::tanh, tanh.operand(0, DType::f32))};
  g.outputs = g.add_node(Recurrent{Cell::rnn, false, false, false, 0, {tanh}}, inputs, "layer");
  CHECK(input_domains(g)[4]->low == 0);
  CHECK(input_domains(g)[4]->high == 7);
  CHECK(weight_domains(g)[4]->low == 7);
  CHECK(weight_domains(g)[4]->high == 7);
}
