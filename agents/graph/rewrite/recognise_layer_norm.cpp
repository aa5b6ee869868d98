// Decomposed layer normalisation: (x - mean(x)) / sqrt(mean((x - mean(x))^2) + epsilon), and RMSNorm: x /
// sqrt(mean(x^2) + epsilon). A constant scale that follows, and then a bias, become parameters of the node.
#include <algorithm>

#include "agents/graph/rewrite/rules.h"
#include "agents/graph/rewrite/sweep.h"

namespace kiln::graph::rewrite {
namespace {

struct Normalised {
  ValueId x;
  std::int32_t axis;
  double epsilon;
  bool centred;
};

// The trailing dimensions that `id` is a mean over, kept as ones; -1 when it is not such a mean of `x`.
std::int32_t mean_axis(const Sweep& pass, ValueId id, ValueId x) {
  const auto* reduce = pass.made_by<Reduce>(id);
  if (reduce == nullptr || reduce->monoid != Monoid::mean || !reduce->keep_dims || reduce->axes.empty() ||
      pass.maker(id)->inputs[0] != x)
    return -1;
  std::vector<std::int32_t> axes = reduce->axes;
  std::sort(axes.begin(), axes.end());
  const auto rank = static_cast<std::int32_t>(pass.graph.type(x).shape.size());
  return axes.back() == rank - 1 && axes.front() == rank - static_cast<std::int32_t>(axes.size()) ? axes.front() : -1;
}

bool is_square(const Sweep& pass, ValueId id, ValueId of) {
  if (const auto mul = pass.operands(id, ExprOp::mul); !mul.empty()) return mul[0] == of && mul[1] == of;
  // x * x reads one input twice, which the exporter may also write as one operand.
  const auto power = pass.operands(id, ExprOp::pow);
  return !power.empty() && power[0] == of && pass.scalar(power[1]) == 2.0;
}

// `id` is sqrt(mean(over^2) + epsilon), where `over` is x, or x with its mean taken off over the same dimensions.
std::optional<Normalised> deviation(const Sweep& pass, ValueId id, ValueId over) {
  const auto root = pass.operands(id, ExprOp::sqrt);
  if (root.empty()) return std::nullopt;
  const auto sum = pass.operands(root[0], ExprOp::add);
  if (sum.empty()) return std::nullopt;
  const auto difference = pass.operands(over, ExprOp::sub);
  for (std::size_t i = 0; i < 2; ++i) {
    const auto epsilon = pass.scalar(sum[1 - i]);
    const Node* square = pass.maker(sum[i]);
    if (!epsilon || square == nullptr || square->inputs.size() != 1 || !is_square(pass, square->inputs[0], over))
      continue;
    const std::int32_t axis = mean_axis(pass, sum[i], square->inputs[0]);
    if (axis < 0) continue;
    if (!difference.empty() && mean_axis(pass, difference[1], difference[0]) == axis)
      return Normalised{difference[0], axis, *epsilon, true};
    return Normalised{over, axis, *epsilon, false};
  }
  return std::nullopt;
}

// over / deviation, or over times its inverse.
std::optional<Normalised> normalised(const Sweep& pass, const Node& node, ExprOp op) {
  if (op == ExprOp::div) return deviation(pass, node.inputs[1], node.inputs[0]);
  for (std::size_t i = 0; i < 2; ++i) {
    auto inverse = pass.operands(node.inputs[i], ExprOp::reciprocal);
    const auto quotient = pass.operands(node.inputs[i], ExprOp::div);
    if (inverse.empty() && !quotient.empty() && pass.scalar(quotient[0]) == 1.0) inverse = {quotient[1]};
    if (inverse.empty()) continue;
    if (auto found = deviation(pass, inverse[0], node.inputs[1 - i])) return found;
  }
  return std::nullopt;
}

// A constant that follows a norm becomes its scale (after a multiplication) or its bias.
std::optional<ValueId> with_parameter(Sweep& pass, const Node& node, ExprOp op) {
  for (std::size_t i = 0; i < 2; ++i) {
    const ValueId inner = node.inputs[i], parameter = node.inputs[1 - i];
    const auto* norm = pass.made_by<LayerNorm>(inner);
    if (norm == nullptr || pass.uses(inner) != 1 || !pass.graph.is_constant(parameter)) continue;
    const LayerNorm kept = *norm;
    std::vector<ValueId> inputs = pass.maker(inner)->inputs;
    if (inputs.size() > 2 && !pass.all_equal(inputs[2], 0)) continue;
    const TensorType& x = pass.graph.type(inputs[0]);
    if (pass.graph.type(node.outputs[0]) != x || pass.graph.type(parameter).dtype != x.dtype) continue;
    if (op == ExprOp::mul && !pass.all_equal(inputs[1], 1)) continue;
    if (op == ExprOp::mul) inputs[1] = parameter;
    inputs.resize(2);
    if (op == ExprOp::add) inputs.push_back(parameter);
    return pass.add(kept, inputs, node.origin);
  }
  return std::nullopt;
}

std::optional<ValueId> match(Sweep& pass, const Node& node, std::string& name) {
  const auto* pointwise = std::get_if<Pointwise>(&node.op);
  if (pointwise == nullptr || node.inputs.size() != 2) return std::nullopt;
  const std::optional<ExprOp> op = single_of(*pointwise);
  if (!op) return std::nullopt;
  if (*op == ExprOp::div || *op == ExprOp::mul) {
    const auto found = normalised(pass, node, *op);
    if (found && pass.graph.type(found->x) == pass.graph.type(node.outputs[0])) {
      name = found->centred ? "layer_norm" : "rms_norm";
      const ValueId one = pass.add_scalar(1, pass.graph.type(found->x).dtype);
      return pass.add(LayerNorm{found->axis, found->epsilon, found->centred}, {found->x, one}, node.origin);
    }
  }
  if (*op == ExprOp::mul || *op == ExprOp::add) return with_parameter(pass, node, *op);
  return std::nullopt;
}

}  // namespace

int recognise_layer_norm(Graph& graph, Log& log) {
  return sweep(graph, [&](Sweep& pass, const Node& node) {
    std::string name;
    const auto out = match(pass, node, name);
    if (!name.empty()) log.push_back(name + ": " + node.origin);
    return out;
  });
}

}  // namespace kiln::graph::rewrite
