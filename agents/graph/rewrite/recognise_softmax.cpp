// Decomposed softmax: exp(x - max(x)) / sum(exp(x - max(x))) along one axis.
#include "agents/graph/rewrite/rules.h"
#include "agents/graph/rewrite/sweep.h"

namespace kiln::graph::rewrite {
namespace {

std::int32_t reduced_axis(const Sweep& pass, ValueId id, Monoid monoid, ValueId x) {
  const auto* reduce = pass.made_by<Reduce>(id);
  const bool fits = reduce != nullptr && reduce->monoid == monoid && reduce->keep_dims && reduce->axes.size() == 1 &&
                    pass.maker(id)->inputs[0] == x;
  return fits ? reduce->axes[0] : -1;
}

std::optional<ValueId> match(Sweep& pass, const Node& node) {
  const auto* pointwise = std::get_if<Pointwise>(&node.op);
  if (pointwise == nullptr || node.inputs.size() != 2 || pointwise->expr.nodes.back().op != ExprOp::div ||
      pointwise->expr.nodes.size() != 3)
    return std::nullopt;
  if (pointwise->expr.nodes[0].operand != 0) return std::nullopt;
  const auto raised = pass.operands(node.inputs[0], ExprOp::exp);
  if (raised.empty()) return std::nullopt;
  const auto shifted = pass.operands(raised[0], ExprOp::sub);
  if (shifted.empty()) return std::nullopt;
  const std::int32_t axis = reduced_axis(pass, node.inputs[1], Monoid::sum, node.inputs[0]);
  if (axis < 0 || axis != reduced_axis(pass, shifted[1], Monoid::max, shifted[0])) return std::nullopt;
  return pass.add(Softmax{axis, false}, {shifted[0]}, node.origin);
}

}  // namespace

int recognise_softmax(Graph& graph, Log& log) {
  return sweep(graph, [&](Sweep& pass, const Node& node) {
    const auto out = match(pass, node);
    if (out) log.push_back("softmax: " + node.origin);
    return out;
  });
}

}  // namespace kiln::graph::rewrite
