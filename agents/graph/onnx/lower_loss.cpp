// Losses over class indices.
#include "agents/graph/onnx/lowering.h"

namespace kiln::graph::onnx {
namespace {

using Outputs = std::vector<ValueId>;

// -weight[target] * x[n, target, d...], reduced. Targets equal to ignore_index have no weight, whatever their value.
ValueId negative_log_likelihood(const Call& call, ValueId x, ValueId target) {
  const Shape shape = call.type(x).shape;
  const DType type = call.type(x).dtype;
  if (shape.size() < 2) malformed("its input has no classes");
  Shape rest = shape;
  rest.erase(rest.begin() + 1);
  if (call.type(target).shape != rest)
    malformed("its target " + to_string(call.type(target).shape) + " is not one class for each of " + to_string(rest));
  ValueId label = call.cast(target, DType::i64), kept = -1;
  if (call.attribute("ignore_index", ::onnx::AttributeProto::INT) != nullptr) {
    kept = call.apply(ExprOp::logical_not,
                      call.apply(ExprOp::equal, label, call.ints({call.get_int("ignore_index", 0)}, {})));
    label = call.apply(ExprOp::select, kept, label, call.ints({0}, {}));
  }
  Shape one = rest;
  one.insert(one.begin() + 1, 1);
  const ValueId at = flat_position(call, call.reshape(label, one), shape, 1);
  const ValueId picked = call.reshape(call.add(Gather{0}, {call.reshape(x, {element_count(shape)}), at}), rest);
  ValueId weight = call.scalar(1, type);
  if (call.has(2)) weight = call.add(Gather{0}, {call.in(2), label});
  if (kept >= 0) weight = call.apply(ExprOp::select, kept, weight, call.scalar(0, type));
  const ValueId loss = call.apply(ExprOp::neg, call.apply(ExprOp::mul, picked, weight));
  const std::string reduction = call.get_text("reduction", "mean");
  if (reduction == "none") return loss;
  if (reduction != "sum" && reduction != "mean") malformed("its reduction '" + reduction + "' is unknown");
  std::vector<std::int32_t> axes;
  for (std::size_t d = 0; d < rest.size(); ++d) axes.push_back(static_cast<std::int32_t>(d));
  const ValueId sum = call.reduce(Monoid::sum, loss, axes, false);
  if (reduction == "sum") return sum;
  return call.apply(ExprOp::div, sum, call.reduce(Monoid::sum, call.expand(weight, rest), axes, false));
}

Outputs nll_loss(const Call& call) { return {negative_log_likelihood(call, call.in(0), call.in(1))}; }

Outputs cross_entropy(const Call& call) {
  const ValueId log = call.add(Softmax{1, true}, {call.in(0)});
  return {negative_log_likelihood(call, log, call.in(1)), log};
}

}  // namespace

std::vector<OperatorRow> loss_operators() {
  return {{"NegativeLogLikelihoodLoss", nll_loss}, {"SoftmaxCrossEntropyLoss", cross_entropy}};
}

}  // namespace kiln::graph::onnx
