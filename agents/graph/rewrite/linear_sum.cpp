#include "agents/graph/rewrite/linear_sum.h"

namespace kiln::graph::rewrite {
namespace {

// A copy of the constant with leading dimensions of 1.
ValueId aligned(Graph& to, const Graph& from, ValueId constant, std::size_t rank) {
  const ValueId id = copied(to, from, constant);
  Shape shape = to.type(id).shape;
  shape.insert(shape.begin(), rank - shape.size(), 1);
  return to.add_node(Reshape{std::move(shape)}, {id}, "aligned")[0];
}

}  // namespace

std::optional<Addition> addition(const Sweep& pass, ValueId id) {
  const std::vector<ValueId> operands = pass.operands(id, ExprOp::add);
  for (std::size_t i = 0; i < operands.size(); ++i) {
    const ValueId x = operands[i], constant = operands[1 - i];
    if (pass.graph.is_constant(constant) && pass.graph.type(x) == pass.graph.type(id) && pass.uses(x) == 1)
      return Addition{x, constant};
  }
  return std::nullopt;
}

ValueId copied(Graph& to, const Graph& from, ValueId constant) {
  const ValueId id = to.add_value("", from.type(constant));
  to.constants[static_cast<std::size_t>(id)] = from.constants[static_cast<std::size_t>(constant)];
  return id;
}

ValueId times(Graph& graph, ValueId x, double factor) {
  Expr e;
  const DType type = graph.type(x).dtype;
  e.results = {e.apply(ExprOp::mul, e.operand(0, type), e.constant(factor, type))};
  return graph.add_node(Pointwise{std::move(e)}, {x}, "times")[0];
}

std::optional<LinearSum> linear_sum(const Sweep& pass, const Node& node) {
  const auto* reduce = std::get_if<Reduce>(&node.op);
  if (reduce == nullptr || (reduce->monoid != Monoid::sum && reduce->monoid != Monoid::mean)) return std::nullopt;
  const ValueId x = node.inputs[0];
  const TensorType& type = pass.graph.type(x);
  if ((type.dtype != DType::f32 && type.dtype != DType::f64) || element_count(type.shape) == 0 || pass.uses(x) > 1)
    return std::nullopt;
  LinearSum out{reduce->monoid == Monoid::mean, std::vector<bool>(type.shape.size(), false), x, -1};
  for (const std::int32_t axis : reduce->axes) out.over[static_cast<std::size_t>(axis)] = true;
  if (const auto added = addition(pass, x)) {
    out.operation = added->x;
    out.bias = added->constant;
  }
  return out;
}

std::optional<ValueId> summed_bias(Sweep& pass, const LinearSum& sum) {
  const TensorType& type = pass.graph.type(sum.operation);
  Graph g;
  ValueId bias = aligned(g, pass.graph, sum.bias, type.shape.size());
  const Shape shape = g.type(bias).shape;
  Reduce reduce{sum.mean ? Monoid::mean : Monoid::sum, {}, true};
  double times_each = 1;
  for (std::size_t d = 0; d < shape.size(); ++d) {
    if (!sum.over[d]) continue;
    if (shape[d] > 1) reduce.axes.push_back(static_cast<std::int32_t>(d));
    else if (!sum.mean) times_each *= static_cast<double>(type.shape[d]);
  }
  if (!reduce.axes.empty()) bias = g.add_node(std::move(reduce), {bias}, "summed")[0];
  g.outputs = {times_each == 1 ? bias : times(g, bias, times_each)};
  return pass.add_evaluated(g, type.dtype);
}

std::optional<ValueId> finished(Sweep& pass, ValueId y, const LinearSum& sum, const Node& node) {
  const Shape result = pass.graph.type(node.outputs[0]).shape;
  if (sum.bias >= 0) {
    Shape kept = pass.graph.type(sum.operation).shape;
    for (std::size_t d = 0; d < kept.size(); ++d)
      if (sum.over[d]) kept[d] = 1;
    const std::optional<ValueId> bias = summed_bias(pass, sum);
    if (!bias) return std::nullopt;
    const DType type = pass.graph.type(y).dtype;
    if (pass.graph.type(y).shape != kept) y = pass.add(Reshape{kept}, {y}, node.origin);
    Pointwise add;
    add.expr.results = {add.expr.apply(ExprOp::add, add.expr.operand(0, type), add.expr.operand(1, type))};
    y = pass.add(std::move(add), {y, *bias}, node.origin);
  }
  return pass.graph.type(y).shape == result ? y : pass.add(Reshape{result}, {y}, node.origin);
}

}  // namespace kiln::graph::rewrite
