// Types of the nodes that go along one dimension in order: scans, arguments of extrema, top-k, scatter, recurrence.
#include "agents/graph/infer.h"

namespace kiln::graph::inference {

Types infer(const Scan& op, const Types& inputs) {
  need(inputs.size() == 1 && inputs[0].dtype != DType::boolean, "a scan takes one numeric input");
  need(op.monoid != Monoid::mean && op.monoid != Monoid::log_sum_exp, "a scan of means or log-sum-exps is not defined");
  (void)checked_axis(op.axis, inputs[0]);
  return {inputs[0]};
}

Types infer(const Arg& op, const Types& inputs) {
  need(inputs.size() == 1 && inputs[0].dtype != DType::boolean, "the argument of an extremum takes one numeric input");
  const std::size_t axis = checked_axis(op.axis, inputs[0]);
  Shape shape = inputs[0].shape;
  need(shape[axis] >= 1, "an empty dimension has no extremum");
  shape[axis] = 1;
  if (!op.keep_dims) shape.erase(shape.begin() + static_cast<std::ptrdiff_t>(axis));
  return {{DType::i64, shape}};
}

Types infer(const TopK& op, const Types& inputs) {
  need(inputs.size() == 1 && inputs[0].dtype != DType::boolean, "top-k takes one numeric input");
  const std::size_t axis = checked_axis(op.axis, inputs[0]);
  Shape shape = inputs[0].shape;
  need(op.k >= 0 && op.k <= shape[axis], "top-k asks for more elements than its axis has");
  shape[axis] = op.k;
  return {{inputs[0].dtype, shape}, {DType::i64, shape}};
}

Types infer(const Scatter& op, const Types& inputs) {
  need(inputs.size() == 3 && is_integer(inputs[1].dtype), "a scatter takes data, integer indices and updates");
  const TensorType& data = inputs[0];
  need(!data.shape.empty() && inputs[1].shape.size() == 1, "a scatter needs rows of data and a list of indices");
  need(op.combine == Combine::replace || data.dtype != DType::boolean, "booleans can only be replaced");
  Shape updates = data.shape;
  updates[0] = inputs[1].shape[0];
  need(inputs[2] == TensorType{data.dtype, updates}, "the updates of a scatter are not one row per index");
  return {data};
}

Types infer(const Recurrent& op, const Types& inputs) {
  const bool lstm = op.cell == Cell::lstm;
  need(inputs.size() == (lstm ? 7u : 5u), "a recurrent layer has another number of inputs than its cell");
  const TensorType& x = inputs[0];
  need(is_float(x.dtype) && x.shape.size() == 3 && inputs[1].shape.size() == 2,
       "a recurrent layer takes x [T, B, G H] and r [G H, H]");
  const std::int64_t gates = lstm ? 4 : op.cell == Cell::gru ? 3 : 1;
  const std::int64_t steps = x.shape[0], batch = x.shape[1], hidden = inputs[1].shape[1];
  const DType type = x.dtype;
  need(hidden >= 1 && hidden <= (std::int64_t(1) << 30), "a recurrent layer has no hidden elements, or too many");
  need(x.shape[2] == gates * hidden && inputs[1] == TensorType{type, {gates * hidden, hidden}},
       "x and r differ from the gates of the cell");
  need(inputs[2] == TensorType{type, {gates * hidden}}, "the recurrent bias is not one element per gate");
  need(inputs[3] == TensorType{type, {batch, hidden}}, "the initial hidden state is not [B, H]");
  need(inputs[4] == TensorType{DType::i64, {batch}}, "the lengths are not one i64 per row");
  if (lstm)
    need(inputs[5] == inputs[3] && inputs[6] == TensorType{type, {3 * hidden}},
         "the cell or the peepholes of an LSTM do not fit");
  need(op.activations.size() == (lstm                   ? 3u
                                 : op.cell == Cell::gru ? 2u
                                                        : 1u),
       "a recurrent layer has another number of activations than its cell");
  for (const Expr& expr : op.activations) {
    need(expr.results.size() == 1, "an activation has one result");
    for (const ExprNode& node : expr.nodes)
      need(node.op != ExprOp::operand || (node.operand == 0 && node.type == type),
           "an activation has one operand of the type of x");
    validate(expr, false);
    need(expr.nodes[static_cast<std::size_t>(expr.results[0])].type == type, "an activation changes the type");
  }
  Types out = {{type, {steps, batch, hidden}}, inputs[3]};
  if (lstm) out.push_back(inputs[3]);
  return out;
}

}  // namespace kiln::graph::inference
