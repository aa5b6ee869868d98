// Maxima and minima with constants over one value, however many and in whatever order, are one clamp: a lattice
// polynomial f of one variable on a chain is the median of f(-inf), x and f(inf) (Marichal, "Weighted lattice
// polynomials", 2009, section 2). Exact for every x, infinities and NaN among them.
#include <algorithm>
#include <cmath>
#include <limits>

#include "agents/graph/rewrite/cone.h"
#include "agents/graph/rewrite/rules.h"

namespace kiln::graph::rewrite {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

bool only_clamps(const Expr& expr) {
  return std::all_of(expr.nodes.begin(), expr.nodes.end(), [](const ExprNode& node) {
    return node.op == ExprOp::operand || node.op == ExprOp::min || node.op == ExprOp::max ||
           (node.op == ExprOp::constant && !std::isnan(node.value));
  });
}

Expr clamp(double low, double high, DType type) {
  Expr e;
  std::int32_t x = e.operand(0, type);
  if (low > -kInfinity) x = e.apply(ExprOp::max, x, e.constant(low, type));
  if (high < kInfinity) x = e.apply(ExprOp::min, x, e.constant(high, type));
  e.results = {x};
  return e;
}

std::optional<ValueId> rule(Sweep& pass, const Node& node) {
  const TensorType type = pass.graph.type(node.outputs[0]);
  if (!std::holds_alternative<Pointwise>(node.op) || !is_float(type.dtype)) return std::nullopt;
  std::vector<ValueId> sources = cone_sources(pass, node, type);
  std::reverse(sources.begin(), sources.end());  // the longest chain
  for (const ValueId x : sources) {
    Cone cone;
    cone.x = x;
    const std::int32_t result = compose(pass, node, type, cone);
    if (result < 0 || cone.nodes < 2 || is_read_inside(pass, cone) || !only_clamps(cone.expr)) continue;
    cone.expr.results = {result};
    const double low = evaluate_at(cone.expr, -kInfinity), high = evaluate_at(cone.expr, kInfinity);
    return pass.add(Pointwise{clamp(low, high, type.dtype)}, {x}, node.origin);
  }
  return std::nullopt;
}

}  // namespace

int merge_clamps(Graph& graph, Log& log) {
  return sweep(graph, [&](Sweep& pass, const Node& node) {
    const auto out = rule(pass, node);
    if (out) log.push_back("clamp_chain: " + node.origin);
    return out;
  });
}

}  // namespace kiln::graph::rewrite
