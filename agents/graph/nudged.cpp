#include "agents/graph/nudged.h"

#include <algorithm>
#include <cmath>

namespace kiln::graph {
namespace {

constexpr double kSteps = 128;

// What a value of the type may err by, relative to it.
double least_error(DType type) {
  switch (type) {
    case DType::f64: return 0x1p-49;
    case DType::f32: return 0x1p-20;
    case DType::f16: return 0x1p-11;
    default: return 0x1p-8;
  }
}

bool rounds_to_integers(const Expr& expr, const ExprNode& node) {
  if (node.op == ExprOp::round) return is_float(node.type);
  if (node.op != ExprOp::cast || !is_integer(node.type)) return false;
  const DType from = expr.nodes[static_cast<std::size_t>(node.args[0])].type;
  return is_float(from) && !is_float8(from);
}

// x + by * max(|x|, kSteps), but where 2 x is whole.
std::int32_t moved(Expr& e, std::int32_t x, DType type, double by) {
  const auto size = e.apply(ExprOp::max, e.apply(ExprOp::abs, x), e.constant(kSteps, type));
  const auto twice = e.apply(ExprOp::add, x, x);
  const auto whole = e.apply(ExprOp::equal, twice, e.apply(ExprOp::floor, twice));
  return e.apply(ExprOp::select, whole, x, e.apply(ExprOp::add, x, e.apply(ExprOp::mul, size, e.constant(by, type))));
}

Expr moved(const Expr& from, double direction) {
  Expr to;
  std::vector<std::int32_t> place;
  for (ExprNode node : from.nodes) {
    const bool rounds = rounds_to_integers(from, node);
    for (std::int32_t& argument : node.args)
      if (argument >= 0) argument = place[static_cast<std::size_t>(argument)];
    if (rounds) {
      const DType type = to.nodes[static_cast<std::size_t>(node.args[0])].type;
      node.args[0] = moved(to, node.args[0], type, direction * least_error(type));
    }
    to.nodes.push_back(node);
    place.push_back(static_cast<std::int32_t>(to.nodes.size()) - 1);
  }
  for (const std::int32_t result : from.results) to.results.push_back(place[static_cast<std::size_t>(result)]);
  return to;
}

bool rounds_to_integers(const Node& node) {
  const auto* op = std::get_if<Pointwise>(&node.op);
  return op != nullptr && std::any_of(op->expr.nodes.begin(), op->expr.nodes.end(), [&](const ExprNode& n) {
           return rounds_to_integers(op->expr, n);
         });
}

}  // namespace

std::vector<Graph> nudged(const Graph& graph) {
  if (std::none_of(graph.nodes.begin(), graph.nodes.end(), [](const Node& n) { return rounds_to_integers(n); }))
    return {};
  std::vector<Graph> out;
  for (const double direction : {1.0, -1.0}) {
    out.push_back(graph);
    for (Node& node : out.back().nodes)
      if (rounds_to_integers(node)) node.op = Pointwise{moved(std::get<Pointwise>(node.op).expr, direction)};
  }
  return out;
}

}  // namespace kiln::graph
