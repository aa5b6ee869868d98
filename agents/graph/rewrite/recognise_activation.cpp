// Activations in any spelling: a cone of pointwise nodes that computes one of the list becomes one pointwise node. The
// cone is composed as it stands, so nothing changes but where intermediate values live.
#include <algorithm>
#include <array>
#include <cmath>

#include "agents/graph/rewrite/cone.h"
#include "agents/graph/rewrite/rules.h"

namespace kiln::graph::rewrite {
namespace {

constexpr double kPi = 3.14159265358979323846;

double sigmoid(double x) { return 1 / (1 + std::exp(-x)); }

struct Activation {
  const char* name;
  double (*value)(double);
};

// Told apart by values: the two forms of GELU differ by 4e-4, every other pair by more.
constexpr std::array<Activation, 8> kActivations = {{
    {"gelu (erf)", [](double x) { return 0.5 * x * (1 + std::erf(x * std::sqrt(0.5))); }},
    {"gelu (tanh)",
     [](double x) { return 0.5 * x * (1 + std::tanh(std::sqrt(2 / kPi) * (x + 0.044715 * x * x * x))); }},
    {"gelu (sigmoid)", [](double x) { return x * sigmoid(1.702 * x); }},
    {"silu", [](double x) { return x * sigmoid(x); }},
    {"mish", [](double x) { return x * std::tanh(std::log1p(std::exp(x))); }},
    {"hard_swish", [](double x) { return x * std::clamp(x / 6 + 0.5, 0.0, 1.0); }},
    {"hard_sigmoid", [](double x) { return std::clamp(x / 6 + 0.5, 0.0, 1.0); }},
    {"softplus", [](double x) { return std::log1p(std::exp(x)); }},
}};

// The nearest of the list within what constants of 16 bits' precision leave, or nothing.
std::string name_of(const Expr& expr) {
  double nearest = 1e-4;
  std::string found;
  for (const Activation& activation : kActivations) {
    double distance = 0;
    for (const double x : {-6.0, -3.5, -2.5, -1.0, -0.3, 0.0, 0.1, 0.7, 1.3, 3.1, 7.0}) {
      const double value = evaluate_at(expr, x);
      distance = std::isnan(value) ? 1 : std::max(distance, std::fabs(value - activation.value(x)));
    }
    if (distance >= nearest) continue;
    nearest = distance;
    found = activation.name;
  }
  return found;
}

bool may_end(ExprOp op) {
  return op == ExprOp::mul || op == ExprOp::div || op == ExprOp::log || op == ExprOp::add || op == ExprOp::min ||
         op == ExprOp::max;
}

std::optional<ValueId> match(Sweep& pass, const Node& node, std::string& name) {
  const TensorType type = pass.graph.type(node.outputs[0]);
  const auto* root = std::get_if<Pointwise>(&node.op);
  if (root == nullptr || !is_float(type.dtype) || !may_end(root->expr.nodes.back().op) || node.inputs.size() > 2)
    return std::nullopt;
  for (const ValueId x : cone_sources(pass, node, type)) {
    Cone cone;
    cone.x = x;
    const std::int32_t result = compose(pass, node, type, cone);
    if (result < 0 || cone.nodes < 2 || is_read_inside(pass, cone)) continue;
    cone.expr.results = {result};
    name = name_of(cone.expr);
    if (!name.empty()) return pass.add(Pointwise{std::move(cone.expr)}, {x}, node.origin);
  }
  return std::nullopt;
}

}  // namespace

int recognise_activation(Graph& graph, Log& log) {
  return sweep(graph, [&](Sweep& pass, const Node& node) {
    std::string name;
    const auto out = match(pass, node, name);
    if (out) log.push_back(name + ": " + node.origin);
    return out;
  });
}

}  // namespace kiln::graph::rewrite
