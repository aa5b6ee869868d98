// Decomposed layer normalisation: (x - mean(x)) / sqrt(mean((x - mean(x))^2) + epsilon) * scale [+ bias].
#include <algorithm>

#include "agents/graph/rewrite/rules.h"
#include "agents/graph/rewrite/sweep.h"

namespace kiln::graph::rewrite {
namespace {

struct Normalised {
  ValueId x;
  std::int32_t axis;
  double epsilon;
};

// The trailing dimensions that `id` is a mean over, kept as ones; -1 when it is not such a mean of `x`.
std::int32_t mean_axis(const Sweep& pass, ValueId id, ValueId x) {
  const auto* reduce = pass.made_by<Reduce>(id);
  if (reduce == nullptr || reduce->monoid != Monoid::mean || !reduce->keep_dims || reduce->axes.empty() || pass.maker(id)->inputs[0] != x) return -1;
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

// sqrt(mean(centred^2) + epsilon)
std::optional<Normalised> deviation(const Sweep& pass, ValueId id, ValueId centred) {
  const auto root = pass.operands(id, ExprOp::sqrt);
  if (root.empty()) return std::nullopt;
  const auto sum = pass.operands(root[0], ExprOp::add);
  const auto difference = pass.operands(centred, ExprOp::sub);
  if (sum.empty() || difference.empty()) return std::nullopt;
  for (std::size_t i = 0; i < 2; ++i) {
    const auto epsilon = pass.scalar(sum[1 - i]);
    const Node* variance = pass.maker(sum[i]);
    if (!epsilon || variance == nullptr || variance->inputs.size() != 1 || !is_square(pass, variance->inputs[0], centred)) continue;
    const std::int32_t axis = mean_axis(pass, sum[i], variance->inputs[0]);
    if (axis >= 0 && axis == mean_axis(pass, difference[1], difference[0])) return Normalised{difference[0], axis, *epsilon};
  }
  return std::nullopt;
}

std::optional<Normalised> normalised(const Sweep& pass, ValueId id) {
  if (const auto div = pass.operands(id, ExprOp::div); !div.empty()) return deviation(pass, div[1], div[0]);
  const auto mul = pass.operands(id, ExprOp::mul);
  for (std::size_t i = 0; i < mul.size(); ++i) {
    const auto inverse = pass.operands(mul[i], ExprOp::reciprocal);
    if (inverse.empty()) continue;
    if (auto found = deviation(pass, inverse[0], mul[1 - i])) return found;
  }
  return std::nullopt;
}

// A scale or bias covers exactly the normalised dimensions, so that LayerNorm's own broadcasting reads it alike.
bool is_parameter(const Graph& graph, ValueId id, const Normalised& n) {
  const Shape& shape = graph.type(id).shape;
  const Shape& x = graph.type(n.x).shape;
  return graph.is_constant(id) && shape == Shape(x.begin() + n.axis, x.end());
}

std::optional<ValueId> match(Sweep& pass, const Node& node) {
  // The root is the multiplication by the scale; an addition of a bias extends a LayerNorm made before.
  const auto* pointwise = std::get_if<Pointwise>(&node.op);
  if (pointwise == nullptr || node.inputs.size() != 2 || pointwise->expr.nodes.size() != 3) return std::nullopt;
  const ExprOp op = pointwise->expr.nodes[2].op;
  for (std::size_t i = 0; i < 2; ++i) {
    const ValueId inner = node.inputs[i], parameter = node.inputs[1 - i];
    if (op == ExprOp::mul) {
      const auto found = normalised(pass, inner);
      if (found && is_parameter(pass.graph, parameter, *found) && pass.graph.type(found->x) == pass.graph.type(node.outputs[0]))
        return pass.add(LayerNorm{found->axis, found->epsilon}, {found->x, parameter}, node.origin);
    }
    const auto* norm = op == ExprOp::add ? pass.made_by<LayerNorm>(inner) : nullptr;
    if (norm == nullptr || pass.maker(inner)->inputs.size() != 2 || pass.uses(inner) != 1) continue;
    std::vector<ValueId> inputs = pass.maker(inner)->inputs;
    if (!is_parameter(pass.graph, parameter, {inputs[0], norm->axis, norm->epsilon})) continue;
    inputs.push_back(parameter);
    return pass.add(*norm, inputs, node.origin);
  }
  return std::nullopt;
}

}  // namespace

int recognise_layer_norm(Graph& graph, Log& log) {
  return sweep(graph, [&](Sweep& pass, const Node& node) {
    const auto out = match(pass, node);
    if (out) log.push_back("layer_norm: " + node.origin);
    return out;
  });
}

}  // namespace kiln::graph::rewrite
