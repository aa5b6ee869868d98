// log(sum(exp(x - s))) + s, where s is the maximum of x, or zero where that is infinite: one reduction. Without that
// guard a row of infinities gives NaN, which the reduction would not, so that the unguarded form stays.
#include <cmath>
#include <limits>

#include "agents/graph/rewrite/cone.h"
#include "agents/graph/rewrite/rules.h"

namespace kiln::graph::rewrite {
namespace {

const Reduce* reduction(const Sweep& pass, ValueId id, Monoid monoid) {
  const auto* reduce = pass.made_by<Reduce>(id);
  return reduce != nullptr && reduce->monoid == monoid && reduce->keep_dims ? reduce : nullptr;
}

bool is_guard(const Expr& expr) {
  const double infinity = std::numeric_limits<double>::infinity();
  for (const double x : {-3.5, 0.0, 1e30, -1e-30})
    if (evaluate_at(expr, x) != x) return false;
  return evaluate_at(expr, infinity) == 0 && evaluate_at(expr, -infinity) == 0;
}

// The value whose infinities `shift` replaces by zero.
std::optional<ValueId> guarded(const Sweep& pass, ValueId shift) {
  const Node* node = pass.maker(shift);
  if (node == nullptr) return std::nullopt;
  const TensorType type = pass.graph.type(shift);
  for (const ValueId source : cone_sources(pass, *node, type)) {
    Cone cone;
    cone.x = source;
    const std::int32_t result = compose(pass, *node, type, cone);
    if (result < 0) continue;
    cone.expr.results = {result};
    if (is_guard(cone.expr)) return source;
  }
  return std::nullopt;
}

std::optional<ValueId> match(Sweep& pass, const Node& node) {
  const auto* pointwise = std::get_if<Pointwise>(&node.op);
  if (pointwise == nullptr || node.inputs.size() != 2 || single_of(*pointwise) != ExprOp::add) return std::nullopt;
  for (std::size_t i = 0; i < 2; ++i) {
    const ValueId shift = node.inputs[1 - i];
    const auto logarithm = pass.operands(node.inputs[i], ExprOp::log);
    if (logarithm.empty()) continue;
    const Reduce* sum = reduction(pass, logarithm[0], Monoid::sum);
    if (sum == nullptr) continue;
    const auto power = pass.operands(pass.maker(logarithm[0])->inputs[0], ExprOp::exp);
    if (power.empty()) continue;
    const auto difference = pass.operands(power[0], ExprOp::sub);
    if (difference.empty() || difference[1] != shift) continue;
    const auto top = guarded(pass, shift);
    if (!top) continue;
    const Reduce* maximum = reduction(pass, *top, Monoid::max);
    if (maximum == nullptr || maximum->axes != sum->axes || pass.maker(*top)->inputs[0] != difference[0]) continue;
    return pass.add(Reduce{Monoid::log_sum_exp, sum->axes, true}, {difference[0]}, node.origin);
  }
  return std::nullopt;
}

}  // namespace

int recognise_log_sum_exp(Graph& graph, Log& log) {
  return sweep(graph, [&](Sweep& pass, const Node& node) {
    const auto out = match(pass, node);
    if (out) log.push_back("log_sum_exp: " + node.origin);
    return out;
  });
}

}  // namespace kiln::graph::rewrite
