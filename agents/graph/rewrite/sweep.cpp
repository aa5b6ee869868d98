#include "agents/graph/rewrite/sweep.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "agents/graph/interpreter.h"
#include "runtime/base/error.h"

namespace kiln::graph::rewrite {

bool stands_still(const Shape& shape, std::size_t dimensions) {
  const std::size_t last = std::min(dimensions, shape.size());
  return std::all_of(shape.end() - static_cast<std::ptrdiff_t>(last), shape.end(),
                     [](std::int64_t extent) { return extent == 1; });
}

Sweep::Sweep(Graph& target) : graph(target), maker_(target.values.size(), -1), uses_(target.values.size(), 0) {
  for (const Node& node : graph.nodes)
    for (const ValueId id : node.inputs) ++uses_[static_cast<std::size_t>(id)];
  for (const ValueId id : graph.outputs) ++uses_[static_cast<std::size_t>(id)];
}

const Node* Sweep::maker(ValueId id) const {
  const auto index = static_cast<std::size_t>(id);
  return index >= maker_.size() || maker_[index] < 0 ? nullptr : &graph.nodes[static_cast<std::size_t>(maker_[index])];
}

std::optional<ExprOp> single_of(const Pointwise& pointwise) {
  if (pointwise.expr.results.size() != 1) return std::nullopt;
  const auto& nodes = pointwise.expr.nodes;
  const auto root = static_cast<std::size_t>(pointwise.expr.results[0]);
  if (root + 1 != nodes.size()) return std::nullopt;
  std::int32_t next = 0;
  for (int i = 0; i < arity(nodes[root].op); ++i) {
    const ExprNode& argument = nodes[static_cast<std::size_t>(nodes[root].args[static_cast<std::size_t>(i)])];
    if (argument.op != ExprOp::operand || argument.operand != next++) return std::nullopt;
  }
  return nodes[root].op;
}

std::optional<ExprOp> Sweep::single(ValueId id) const {
  const auto* pointwise = made_by<Pointwise>(id);
  return pointwise == nullptr ? std::nullopt : single_of(*pointwise);
}

std::vector<ValueId> Sweep::operands(ValueId id, ExprOp op) const {
  return single(id) == op ? maker(id)->inputs : std::vector<ValueId>{};
}

std::optional<double> Sweep::scalar(ValueId id) const {
  const auto& constant = graph.constants[static_cast<std::size_t>(id)];
  if (!constant || element_count(graph.type(id).shape) != 1) return std::nullopt;
  return load_double(graph.type(id).dtype, constant->bytes.data(), 0);
}

// Room for a new value; sweep() adds the uses of what it replaces.
ValueId Sweep::grow(ValueId id) {
  maker_.resize(graph.values.size(), -1);
  uses_.resize(graph.values.size(), 0);
  return id;
}

ValueId Sweep::add(Op op, std::vector<ValueId> inputs, std::string origin) {
  const ValueId id = grow(graph.add_node(std::move(op), std::move(inputs), std::move(origin))[0]);
  maker_[static_cast<std::size_t>(id)] = static_cast<std::int32_t>(graph.nodes.size() - 1);
  return id;
}

ValueId Sweep::add_scalar(double value, DType type) {
  Tensor tensor = Tensor::zeros({type, {}});
  store_double(type, tensor.bytes.data(), 0, value);
  return add_constant(std::move(tensor));
}

ValueId Sweep::add_constant(Tensor tensor) {
  return grow(graph.add_constant("c" + std::to_string(graph.values.size()), std::move(tensor)));
}

ValueId Sweep::reshaped_constant(ValueId id, Shape shape) {
  const std::optional<Constant> bytes = graph.constants[static_cast<std::size_t>(id)];
  const ValueId out =
      graph.add_value("c" + std::to_string(graph.values.size()), {graph.type(id).dtype, std::move(shape)});
  graph.constants.back() = bytes;
  return grow(out);
}

std::optional<ValueId> Sweep::add_evaluated(const Graph& constants, DType type) {
  const std::vector<Tensor> exact = evaluate(constants, {}, Arithmetic::fp64);
  const Tensor& from = exact.at(0);
  Tensor out = Tensor::zeros({type, from.type.shape});
  for (std::int64_t i = 0; i < out.count(); ++i) {
    store_double(type, out.bytes.data(), i, load_double(from.type.dtype, from.bytes.data(), i));
    if (!std::isfinite(load_double(type, out.bytes.data(), i))) return std::nullopt;
  }
  return add_constant(std::move(out));
}

bool Sweep::all_equal(ValueId id, double value) const {
  const auto& constant = graph.constants[static_cast<std::size_t>(id)];
  if (!constant) return false;
  const TensorType& type = graph.type(id);
  for (std::int64_t i = 0; i < element_count(type.shape); ++i)
    if (load_double(type.dtype, constant->bytes.data(), i) != value) return false;
  return true;
}

ValueId elementwise(Sweep& pass, const std::vector<ValueId>& inputs, DType computed, DType result,
                    const std::string& origin, const Body& body) {
  Pointwise p;
  std::vector<std::int32_t> operands;
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    const std::int32_t operand = p.expr.operand(static_cast<std::int32_t>(i), pass.graph.type(inputs[i]).dtype);
    operands.push_back(p.expr.cast(operand, computed));
  }
  p.expr.results = {p.expr.cast(body(p.expr, operands), result)};
  return pass.add(std::move(p), inputs, origin);
}

ValueId binary(Sweep& pass, ExprOp op, ValueId a, ValueId b, const std::string& origin) {
  const DType type = pass.graph.type(a).dtype;
  return elementwise(pass, {a, b}, type, type, origin,
                     [op](Expr& e, const auto& in) { return e.apply(op, in[0], in[1]); });
}

int sweep(Graph& graph, const Rule& rule) {
  Sweep pass(graph);
  std::vector<ValueId> place(graph.values.size());
  std::iota(place.begin(), place.end(), 0);
  std::vector<Node> before;
  before.swap(graph.nodes);
  int replaced = 0;
  for (Node& node : before) {
    for (ValueId& id : node.inputs) id = place[static_cast<std::size_t>(id)];
    const std::optional<ValueId> other = node.outputs.size() == 1 ? rule(pass, node) : std::nullopt;
    if (other) {
      if (graph.type(*other) != graph.type(node.outputs[0]))
        throw Error(ErrorCode::internal, "cannot rewrite node " + node.origin + ": the replacement has another type");
      place[static_cast<std::size_t>(node.outputs[0])] = *other;
      pass.uses_[static_cast<std::size_t>(*other)] += pass.uses_[static_cast<std::size_t>(node.outputs[0])];
      ++replaced;
      continue;
    }
    graph.nodes.push_back(std::move(node));
    for (const ValueId id : graph.nodes.back().outputs)
      pass.maker_[static_cast<std::size_t>(id)] = static_cast<std::int32_t>(graph.nodes.size() - 1);
  }
  for (ValueId& id : graph.outputs) id = place[static_cast<std::size_t>(id)];
  return replaced;
}

}  // namespace kiln::graph::rewrite
