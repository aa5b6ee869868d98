// How the graphs of graphs.h are put together.
#pragma once

#include <functional>

#include "tests/cuda/graphs.h"

namespace kiln::testing {

using graph::DType;
using graph::Expr;
using graph::ExprOp;
using graph::Graph;
using graph::Monoid;
using graph::Shape;
using graph::ValueId;

inline ValueId input(Graph& g, Shape shape, DType type = DType::f32) {
  return g.add_input("x" + std::to_string(g.inputs.size()), {type, std::move(shape)});
}

inline ValueId add_node(Graph& g, graph::Op op, std::vector<ValueId> inputs) {
  return g.add_node(std::move(op), std::move(inputs), "test").at(0);
}

inline ValueId add_transpose(Graph& g, ValueId x, std::vector<std::int32_t> permutation) {
  return add_node(g, graph::Transpose{std::move(permutation)}, {x});
}

using Body = std::function<std::int32_t(Expr&, const std::vector<std::int32_t>&)>;
inline ValueId pointwise(Graph& g, const std::vector<ValueId>& inputs, const Body& body) {
  graph::Pointwise p;
  std::vector<std::int32_t> operands;
  for (std::size_t i = 0; i < inputs.size(); ++i)
    operands.push_back(p.expr.operand(static_cast<std::int32_t>(i), g.type(inputs[i]).dtype));
  p.expr.results = {body(p.expr, operands)};
  return add_node(g, p, inputs);
}

inline ValueId unary(Graph& g, ValueId x, ExprOp op) {
  return pointwise(g, {x}, [&](Expr& e, const auto& in) { return e.apply(op, in[0]); });
}
inline ValueId binary(Graph& g, ValueId x, ValueId y, ExprOp op) {
  return pointwise(g, {x, y}, [&](Expr& e, const auto& in) { return e.apply(op, in[0], in[1]); });
}
inline ValueId silu(Graph& g, ValueId x) {
  return pointwise(
      g, {x}, [](Expr& e, const auto& in) { return e.apply(ExprOp::mul, in[0], e.apply(ExprOp::sigmoid, in[0])); });
}
// x / 2 (1 + erf(x / sqrt 2))
inline ValueId gelu(Graph& g, ValueId x) {
  const DType type = g.type(x).dtype;
  return pointwise(g, {x}, [&](Expr& e, const auto& in) {
    const auto erf = e.apply(ExprOp::erf, e.apply(ExprOp::mul, in[0], e.constant(0.7071067811865476, type)));
    return e.apply(ExprOp::mul, e.apply(ExprOp::mul, in[0], e.constant(0.5, type)),
                   e.apply(ExprOp::add, erf, e.constant(1, type)));
  });
}
// x / sqrt(mean(x^2) + eps) * scale
inline ValueId rms_norm(Graph& g, ValueId x, ValueId scale) {
  const auto rank = static_cast<std::int32_t>(g.type(x).shape.size());
  const ValueId mean = add_node(g, graph::Reduce{Monoid::mean, {rank - 1}, true}, {binary(g, x, x, ExprOp::mul)});
  return pointwise(g, {x, mean, scale}, [&](Expr& e, const auto& in) {
    const auto inverse = e.apply(ExprOp::rsqrt, e.apply(ExprOp::add, in[1], e.constant(1e-5, g.type(x).dtype)));
    return e.apply(ExprOp::mul, e.apply(ExprOp::mul, in[0], inverse), in[2]);
  });
}

class Collection {
 public:
  void add(const std::string& name, const std::function<ValueId(Graph&)>& body) {
    Graph g;
    g.name = name;
    g.outputs = {body(g)};
    graph::validate(g);
    graphs.push_back({name, std::move(g)});
  }
  // The same for a node of several outputs.
  void add_outputs(const std::string& name, const std::function<std::vector<ValueId>(Graph&)>& body) {
    Graph g;
    g.name = name;
    g.outputs = body(g);
    graph::validate(g);
    graphs.push_back({name, std::move(g)});
  }
  std::vector<NamedGraph> graphs;
};

// Parts of device_graphs().
void add_windows(Collection& c);
void add_lines(Collection& c);
void add_convolutions(Collection& c);
void add_fused(Collection& c);
void add_streamed_products(Collection& c);
void add_recurrent(Collection& c);

// One direction of a recurrent layer, all of it inputs.
struct Layer {
  graph::Cell cell;
  std::int64_t steps, batch, hidden;
  bool reverse = false, reset_after = false, input_forget = false;
  double clip = 0;
  DType type = DType::f32;
};
std::vector<ValueId> recurrent_layer(Graph& g, const Layer& layer);

}  // namespace kiln::testing
