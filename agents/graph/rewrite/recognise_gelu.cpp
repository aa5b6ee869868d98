// GELU in any spelling: a cone of pointwise nodes over one value and scalar constants becomes one pointwise node when
// it computes GELU. The cone is composed as it stands, so nothing changes but where intermediate values live; whether it
// *is* GELU is decided by its values at probe points, which no spelling escapes.
#include <algorithm>
#include <cmath>
#include <limits>

#include "agents/graph/rewrite/rules.h"
#include "agents/graph/rewrite/sweep.h"

namespace kiln::graph::rewrite {
namespace {

constexpr int kConeNodes = 16;
constexpr double kPi = 3.14159265358979323846;

struct Cone {
  Expr expr;
  ValueId x = -1;
  std::vector<std::pair<ValueId, int>> inner;  // values made inside, and how often the cone reads them
  int nodes = 0;
  bool bends = false;  // an erf or a tanh is inside
};

// The expression node for `id`, or -1 when the cone would need a second operand or grow too large.
std::int32_t place(const Sweep& pass, ValueId id, const TensorType& type, Cone& cone);

std::int32_t place_node(const Sweep& pass, const Node& node, const TensorType& type, Cone& cone) {
  const auto* pointwise = std::get_if<Pointwise>(&node.op);
  if (pointwise == nullptr || node.outputs.size() != 1 || ++cone.nodes > kConeNodes) return -1;
  for (const ExprNode& item : pointwise->expr.nodes) cone.bends |= item.op == ExprOp::erf || item.op == ExprOp::tanh;
  std::vector<std::int32_t> arguments;
  for (const ValueId input : node.inputs) {
    arguments.push_back(place(pass, input, type, cone));
    if (arguments.back() < 0) return -1;
  }
  return inline_expr(cone.expr, pointwise->expr, arguments)[0];
}

std::int32_t place(const Sweep& pass, ValueId id, const TensorType& type, Cone& cone) {
  if (const auto value = pass.scalar(id)) return cone.expr.constant(*value, pass.graph.type(id).dtype);
  if (id == cone.x) return cone.expr.operand(0, type.dtype);
  const auto seen = std::find_if(cone.inner.begin(), cone.inner.end(), [&](const auto& item) { return item.first == id; });
  if (seen != cone.inner.end()) ++seen->second;
  const Node* node = pass.maker(id);
  if (node == nullptr || pass.graph.type(id) != type) return -1;
  if (seen == cone.inner.end()) cone.inner.emplace_back(id, 1);
  return place_node(pass, *node, type, cone);
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
      case ExprOp::neg: values.push_back(-arg(0)); break;
      case ExprOp::tanh: values.push_back(std::tanh(arg(0))); break;
      case ExprOp::erf: values.push_back(std::erf(arg(0))); break;
      default: return std::numeric_limits<double>::quiet_NaN();
    }
  }
  return values[static_cast<std::size_t>(expr.results[0])];
}

// "erf", "tanh" or nothing.
std::string form_of(const Expr& expr) {
  double exact = 0, approximate = 0;
  for (const double x : {-6.0, -2.5, -1.0, -0.3, 0.0, 0.1, 0.7, 1.3, 3.1, 7.0}) {
    const double value = evaluate_at(expr, x);
    if (std::isnan(value)) return {};
    exact = std::max(exact, std::fabs(value - 0.5 * x * (1 + std::erf(x * std::sqrt(0.5)))));
    approximate = std::max(approximate, std::fabs(value - 0.5 * x * (1 + std::tanh(std::sqrt(2 / kPi) * (x + 0.044715 * x * x * x)))));
  }
  // Constants of the model are at most of 16 bits' precision; the two forms differ by 4e-4.
  if (exact < 1e-4 && exact <= approximate) return "erf";
  return approximate < 1e-4 ? "tanh" : "";
}

// The candidates for x: the non-constant values that the cone's nodes read, nearest first.
void candidates(const Sweep& pass, ValueId id, const TensorType& type, int depth, std::vector<ValueId>& out) {
  if (pass.graph.type(id) != type || pass.scalar(id) || depth > kConeNodes || out.size() > 12) return;
  if (std::find(out.begin(), out.end(), id) != out.end()) return;
  out.push_back(id);
  const Node* node = pass.maker(id);
  if (node == nullptr || !std::holds_alternative<Pointwise>(node->op)) return;
  const std::vector<ValueId> inputs = node->inputs;
  for (const ValueId input : inputs) candidates(pass, input, type, depth + 1, out);
}

std::optional<ValueId> match(Sweep& pass, const Node& node, std::string& form) {
  const TensorType type = pass.graph.type(node.outputs[0]);
  const auto* root = std::get_if<Pointwise>(&node.op);
  if (root == nullptr || !is_float(type.dtype) || root->expr.nodes.back().op != ExprOp::mul || node.inputs.size() > 2) return std::nullopt;
  std::vector<ValueId> sources;
  for (const ValueId input : node.inputs) candidates(pass, input, type, 0, sources);
  for (const ValueId x : sources) {
    Cone cone;
    cone.x = x;
    const std::int32_t result = place_node(pass, node, type, cone);
    if (result < 0 || !cone.bends || cone.nodes < 4) continue;
    // An intermediate value that something else reads would be computed twice.
    if (std::any_of(cone.inner.begin(), cone.inner.end(), [&](const auto& item) { return pass.uses(item.first) > item.second; })) continue;
    cone.expr.results = {result};
    form = form_of(cone.expr);
    if (!form.empty()) return pass.add(Pointwise{std::move(cone.expr)}, {x}, node.origin);
  }
  return std::nullopt;
}

}  // namespace

int recognise_gelu(Graph& graph, Log& log) {
  return sweep(graph, [&](Sweep& pass, const Node& node) {
    std::string form;
    const auto out = match(pass, node, form);
    if (out) log.push_back("gelu (" + form + "): " + node.origin);
    return out;
  });
}

}  // namespace kiln::graph::rewrite
