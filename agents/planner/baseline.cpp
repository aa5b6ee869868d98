// The baseline's graph: composites as a framework runs them, one library call after the other.
#include <cmath>
#include <limits>
#include <map>

#include "agents/planner/planner.h"

namespace kiln::agents {
namespace {

using graph::ExprOp;
using graph::ValueId;

// Position j > i + (T - S) is excluded: added minus infinity, whose exponential is exactly zero.
ValueId causal_mask(graph::Graph& g, graph::DType type, std::int64_t s, std::int64_t t) {
  graph::Tensor mask = graph::Tensor::zeros({type, {s, t}});
  for (std::int64_t i = 0; i < s; ++i)
    for (std::int64_t j = i + (t - s) + 1; j < t; ++j)
      if (j >= 0) graph::store_double(type, mask.bytes.data(), i * t + j, -std::numeric_limits<double>::infinity());
  return g.add_constant("causal_mask_" + std::to_string(g.values.size()), std::move(mask));
}

ValueId attention(graph::Graph& g, const graph::Attention& op, const std::vector<ValueId>& inputs,
                  const std::string& origin) {
  const ValueId scores = g.add_node(graph::MatMul{false, true}, {inputs[0], inputs[1]}, origin + " q k^T")[0];
  const graph::TensorType type = g.type(scores);
  std::vector<ValueId> operands = {scores};
  graph::Pointwise scaled;
  graph::Expr& e = scaled.expr;
  std::int32_t sum = e.apply(ExprOp::mul, e.operand(0, type.dtype), e.constant(op.scale, type.dtype));
  const auto add = [&](ValueId mask) {
    sum = e.apply(ExprOp::add, sum, e.operand(static_cast<std::int32_t>(operands.size()), type.dtype));
    operands.push_back(mask);
  };
  if (inputs.size() > 3) add(inputs[3]);
  if (op.causal) add(causal_mask(g, type.dtype, type.shape[type.shape.size() - 2], type.shape.back()));
  e.results = {sum};
  const ValueId masked = g.add_node(std::move(scaled), operands, origin + " scale and mask")[0];
  const auto last = static_cast<std::int32_t>(type.shape.size()) - 1;
  ValueId weights = g.add_node(graph::Softmax{last, false}, {masked}, origin + " softmax")[0];
  if (op.guarded) {
    graph::Pointwise guard;
    const std::int32_t weight = guard.expr.operand(0, type.dtype);
    guard.expr.results = {guard.expr.apply(ExprOp::select, guard.expr.apply(ExprOp::equal, weight, weight), weight,
                                           guard.expr.constant(0, type.dtype))};
    weights = g.add_node(std::move(guard), {weights}, origin + " guard")[0];
  }
  return g.add_node(graph::MatMul{false, false}, {weights, inputs[2]}, origin + " weights v")[0];
}

}  // namespace

graph::Graph expand_composites(const graph::Graph& workload) {
  graph::Graph out;
  out.name = workload.name;
  std::vector<ValueId> moved(workload.values.size(), -1);
  std::vector<bool> made(workload.values.size(), false);
  for (const graph::Node& node : workload.nodes)
    for (const ValueId v : node.outputs) made[static_cast<std::size_t>(v)] = true;
  // Constants in the same order and with the same bytes, so that what both graphs have lies in the same blob layout.
  for (std::size_t v = 0; v < workload.values.size(); ++v) {
    if (made[v]) continue;
    moved[v] = out.add_value(workload.values[v].name, workload.values[v].type);
    out.constants[static_cast<std::size_t>(moved[v])] = workload.constants[v];
  }
  for (const ValueId v : workload.inputs) out.inputs.push_back(moved[static_cast<std::size_t>(v)]);
  for (const graph::Node& node : workload.nodes) {
    std::vector<ValueId> inputs;
    for (const ValueId v : node.inputs) inputs.push_back(moved[static_cast<std::size_t>(v)]);
    const auto* op = std::get_if<graph::Attention>(&node.op);
    const std::vector<ValueId> results = op ? std::vector<ValueId>{attention(out, *op, inputs, node.origin)}
                                            : out.add_node(node.op, inputs, node.origin);
    for (std::size_t i = 0; i < results.size(); ++i) {
      moved[static_cast<std::size_t>(node.outputs[i])] = results[i];
      out.values[static_cast<std::size_t>(results[i])].name =
          workload.values[static_cast<std::size_t>(node.outputs[i])].name;
    }
  }
  for (const ValueId v : workload.outputs) out.outputs.push_back(moved[static_cast<std::size_t>(v)]);
  return out;
}

Baseline baseline(const graph::Graph& workload, const Buildable& buildable) {
  Baseline b;
  b.graph = expand_composites(workload);
  b.partition = partition_op_by_op(b.graph, buildable);
  return b;
}

}  // namespace kiln::agents
