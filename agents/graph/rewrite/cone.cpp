#include "agents/graph/rewrite/cone.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace kiln::graph::rewrite {
namespace {

std::int32_t place(const Sweep& pass, ValueId id, const TensorType& type, Cone& cone) {
  if (const auto value = pass.scalar(id)) return cone.expr.constant(*value, pass.graph.type(id).dtype);
  if (id == cone.x) return cone.expr.operand(0, type.dtype);
  const auto seen =
      std::find_if(cone.inner.begin(), cone.inner.end(), [&](const auto& item) { return item.first == id; });
  if (seen != cone.inner.end()) ++seen->second;
  const Node* node = pass.maker(id);
  const bool fits = pass.graph.type(id).shape == type.shape &&
                    (pass.graph.type(id).dtype == type.dtype || pass.graph.type(id).dtype == DType::boolean);
  if (node == nullptr || !fits) return -1;
  if (seen == cone.inner.end()) cone.inner.emplace_back(id, 1);
  return compose(pass, *node, type, cone);
}

void add_sources(const Sweep& pass, ValueId id, const TensorType& type, int depth, std::vector<ValueId>& out) {
  if (pass.scalar(id) || depth > kConeNodes || out.size() > 12 || pass.graph.type(id).shape != type.shape) return;
  if (std::find(out.begin(), out.end(), id) != out.end()) return;
  if (pass.graph.type(id) == type) out.push_back(id);
  const Node* node = pass.maker(id);
  if (node == nullptr || !std::holds_alternative<Pointwise>(node->op)) return;
  const std::vector<ValueId> inputs = node->inputs;
  for (const ValueId input : inputs) add_sources(pass, input, type, depth + 1, out);
}

}  // namespace

std::int32_t compose(const Sweep& pass, const Node& node, const TensorType& type, Cone& cone) {
  const auto* pointwise = std::get_if<Pointwise>(&node.op);
  if (pointwise == nullptr || node.outputs.size() != 1 || ++cone.nodes > kConeNodes) return -1;
  std::vector<std::int32_t> arguments;
  for (const ValueId input : node.inputs) {
    arguments.push_back(place(pass, input, type, cone));
    if (arguments.back() < 0) return -1;
  }
  return inline_expr(cone.expr, pointwise->expr, arguments)[0];
}

bool is_read_inside(const Sweep& pass, const Cone& cone) {
  return std::any_of(cone.inner.begin(), cone.inner.end(),
                     [&](const auto& item) { return pass.uses(item.first) > item.second; });
}

std::vector<ValueId> cone_sources(const Sweep& pass, const Node& node, const TensorType& type) {
  std::vector<ValueId> out;
  for (const ValueId input : node.inputs) add_sources(pass, input, type, 0, out);
  return out;
}

double evaluate_at(const Expr& expr, double x) {
  std::vector<double> values;
  for (const ExprNode& node : expr.nodes) {
    const auto arg = [&](std::size_t i) { return values[static_cast<std::size_t>(node.args[i])]; };
    switch (node.op) {
      case ExprOp::operand: values.push_back(x); break;
      case ExprOp::constant: values.push_back(node.value); break;
      case ExprOp::add: values.push_back(arg(0) + arg(1)); break;
      case ExprOp::sub: values.push_back(arg(0) - arg(1)); break;
      case ExprOp::mul: values.push_back(arg(0) * arg(1)); break;
      case ExprOp::div: values.push_back(arg(0) / arg(1)); break;
      case ExprOp::pow: values.push_back(std::pow(arg(0), arg(1))); break;
      case ExprOp::min: values.push_back(std::min(arg(0), arg(1))); break;
      case ExprOp::max: values.push_back(std::max(arg(0), arg(1))); break;
      case ExprOp::neg: values.push_back(-arg(0)); break;
      case ExprOp::abs: values.push_back(std::fabs(arg(0))); break;
      case ExprOp::exp: values.push_back(std::exp(arg(0))); break;
      case ExprOp::log: values.push_back(std::log(arg(0))); break;
      case ExprOp::log1p: values.push_back(std::log1p(arg(0))); break;
      case ExprOp::expm1: values.push_back(std::expm1(arg(0))); break;
      case ExprOp::reciprocal: values.push_back(1 / arg(0)); break;
      case ExprOp::sigmoid: values.push_back(1 / (1 + std::exp(-arg(0)))); break;
      case ExprOp::tanh: values.push_back(std::tanh(arg(0))); break;
      case ExprOp::erf: values.push_back(std::erf(arg(0))); break;
      case ExprOp::equal: values.push_back(arg(0) == arg(1) ? 1 : 0); break;
      case ExprOp::less: values.push_back(arg(0) < arg(1) ? 1 : 0); break;
      case ExprOp::less_equal: values.push_back(arg(0) <= arg(1) ? 1 : 0); break;
      case ExprOp::logical_not: values.push_back(arg(0) == 0 ? 1 : 0); break;
      case ExprOp::select: values.push_back(arg(0) != 0 ? arg(1) : arg(2)); break;
      default: return std::numeric_limits<double>::quiet_NaN();
    }
  }
  return values[static_cast<std::size_t>(expr.results[0])];
}

}  // namespace kiln::graph::rewrite
