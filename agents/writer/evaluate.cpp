#include "agents/writer/evaluate.h"

#include <algorithm>
#include <cmath>

namespace kiln::agents::writer {

using graph::DType;
using graph::Expr;
using graph::ExprNode;
using graph::ExprOp;

namespace {

std::size_t index(std::int32_t i) { return static_cast<std::size_t>(i); }

double unary(ExprOp op, double x) {
  switch (op) {
    case ExprOp::neg: return -x;
    case ExprOp::abs: return std::fabs(x);
    case ExprOp::sign: return x > 0 ? 1 : x < 0 ? -1 : x;
    case ExprOp::sqrt: return std::sqrt(x);
    case ExprOp::rsqrt: return 1 / std::sqrt(x);
    case ExprOp::reciprocal: return 1 / x;
    case ExprOp::exp: return std::exp(x);
    case ExprOp::log: return std::log(x);
    case ExprOp::tanh: return std::tanh(x);
    case ExprOp::erf: return std::erf(x);
    case ExprOp::sigmoid: return 1 / (1 + std::exp(-x));
    case ExprOp::sin: return std::sin(x);
    case ExprOp::cos: return std::cos(x);
    case ExprOp::floor: return std::floor(x);
    case ExprOp::ceil: return std::ceil(x);
    case ExprOp::round: return std::nearbyint(x);
    case ExprOp::logical_not: return x == 0;
    default: return std::nan("");
  }
}

double binary(ExprOp op, double a, double b) {
  switch (op) {
    case ExprOp::add: return a + b;
    case ExprOp::sub: return a - b;
    case ExprOp::mul: return a * b;
    case ExprOp::div: return a / b;
    case ExprOp::pow: return std::pow(a, b);
    case ExprOp::min: return std::min(a, b);
    case ExprOp::max: return std::max(a, b);
    case ExprOp::equal: return a == b;
    case ExprOp::less: return a < b;
    case ExprOp::less_equal: return a <= b;
    case ExprOp::logical_and: return a != 0 && b != 0;
    case ExprOp::logical_or: return a != 0 || b != 0;
    case ExprOp::logical_xor: return (a != 0) != (b != 0);
    default: return std::nan("");
  }
}

double reduced(ExprOp op, const Values& x, std::size_t length) {
  const auto at = [&](std::size_t i) { return x.size() == 1 ? x[0] : x[i]; };
  double r = at(0);
  for (std::size_t i = 1; i < length; ++i) {
    switch (op) {
      case ExprOp::row_max: r = std::max(r, at(i)); break;
      case ExprOp::row_min: r = std::min(r, at(i)); break;
      case ExprOp::row_prod: r *= at(i); break;
      default: r += at(i); break;
    }
  }
  return r;
}

bool close(double a, double b) { return std::fabs(a - b) <= 1e-6 * (std::fabs(a) + std::fabs(b)) + 1e-9; }

// Positive first, so that functions with a domain are told apart there; both sides of every kink of the list.
const Values& sample_points() {
  static const Values points = {0.25, 0.7, 1, 1.3, 2.1, 3.4, 5.2, 7.5, -0.3, -0.9, -1.7, -2.6, -3.9, -6.1, 0};
  return points;
}

using Function = double (*)(double);
struct Known {
  const char* algorithm;
  double alpha, beta;
  Function f;
};
const Known kKnown[] = {
    {"eltwise_relu", 0, 0, [](double x) { return x > 0 ? x : 0; }},
    {"eltwise_gelu_erf", 0, 0, [](double x) { return 0.5 * x * (1 + std::erf(x / std::sqrt(2.0))); }},
    {"eltwise_gelu_tanh", 0, 0,
     [](double x) {
       return 0.5 * x * (1 + std::tanh(std::sqrt(2 / 3.14159265358979323846) * (x + 0.044715 * x * x * x)));
     }},
    {"eltwise_tanh", 0, 0, [](double x) { return std::tanh(x); }},
    {"eltwise_logistic", 0, 0, [](double x) { return 1 / (1 + std::exp(-x)); }},
    {"eltwise_swish", 1, 0, [](double x) { return x / (1 + std::exp(-x)); }},
    {"eltwise_exp", 0, 0, [](double x) { return std::exp(x); }},
    {"eltwise_log", 0, 0, [](double x) { return std::log(x); }},
    {"eltwise_sqrt", 0, 0, [](double x) { return std::sqrt(x); }},
    {"eltwise_abs", 0, 0, [](double x) { return std::fabs(x); }},
    {"eltwise_square", 0, 0, [](double x) { return x * x; }},
    {"eltwise_pow", 1, -0.5, [](double x) { return 1 / std::sqrt(x); }},
    {"eltwise_pow", 1, -1, [](double x) { return 1 / x; }},
    {"eltwise_pow", 1, 3, [](double x) { return x * x * x; }},
    {"eltwise_round", 0, 0, [](double x) { return std::nearbyint(x); }},
};

bool agree(const Values& got, Function f) {
  for (std::size_t i = 0; i < sample_points().size(); ++i) {
    const double want = f(sample_points()[i]), have = got.size() == 1 ? got[0] : got[i];
    if (std::isfinite(want) != std::isfinite(have)) return false;
    if (std::isfinite(want) && !close(want, have)) return false;
  }
  return true;
}

// Whether `root` reaches a leaf that is neither a constant nor `of`.
bool depends_on_others(const Expr& expr, std::int32_t root, std::int32_t of) {
  if (root == of) return false;
  const ExprNode& node = expr.nodes[index(root)];
  if (node.op == ExprOp::operand || graph::is_row_reduction(node.op)) return true;
  for (int a = 0; a < graph::arity(node.op); ++a)
    if (depends_on_others(expr, node.args[index(a)], of)) return true;
  return false;
}

bool float_only(const Expr& expr) {
  return std::all_of(expr.nodes.begin(), expr.nodes.end(), [](const ExprNode& n) { return n.type == DType::f32; });
}

std::optional<std::string> binary_algorithm(ExprOp op) {
  switch (op) {
    case ExprOp::add: return "binary_add";
    case ExprOp::sub: return "binary_sub";
    case ExprOp::mul: return "binary_mul";
    case ExprOp::div: return "binary_div";
    case ExprOp::min: return "binary_min";
    case ExprOp::max: return "binary_max";
    default: return std::nullopt;
  }
}

}  // namespace

std::optional<Values> evaluate_rows(const Expr& expr, const std::vector<Values>& operands, std::size_t length,
                                    std::int32_t root, std::int32_t free_node, const Values* free_value) {
  std::vector<Values> values(expr.nodes.size());
  for (std::size_t i = 0; i <= index(root); ++i) {
    const ExprNode& node = expr.nodes[i];
    if (static_cast<std::int32_t>(i) == free_node) {
      values[i] = *free_value;
      continue;
    }
    if (node.op == ExprOp::operand) {
      values[i] = index(node.operand) < operands.size() ? operands[index(node.operand)] : Values{std::nan("")};
      continue;
    }
    if (node.op == ExprOp::constant) {
      values[i] = {graph::is_integer(node.type) ? static_cast<double>(node.integer) : node.value};
      continue;
    }
    const Values& a = values[index(node.args[0])];
    if (graph::is_row_reduction(node.op)) {
      values[i] = {reduced(node.op, a, length)};
      continue;
    }
    std::size_t count = 1;
    for (int k = 0; k < graph::arity(node.op); ++k) count = std::max(count, values[index(node.args[index(k)])].size());
    const auto argument = [&](int k, std::size_t at) {
      const Values& v = values[index(node.args[index(k)])];
      return v.size() == 1 ? v[0] : v[at];
    };
    for (std::size_t at = 0; at < count; ++at) {
      if (node.op == ExprOp::cast) {
        if (graph::is_integer(node.type)) return std::nullopt;
        values[i].push_back(node.type == DType::boolean ? argument(0, at) != 0 : argument(0, at));
      } else if (node.op == ExprOp::select) {
        values[i].push_back(argument(0, at) != 0 ? argument(1, at) : argument(2, at));
      } else if (graph::arity(node.op) == 1) {
        values[i].push_back(unary(node.op, argument(0, at)));
      } else {
        values[i].push_back(binary(node.op, argument(0, at), argument(1, at)));
      }
    }
  }
  return values[index(root)];
}

std::optional<Eltwise> eltwise_of(const Expr& expr, std::int32_t root, std::int32_t of) {
  if (depends_on_others(expr, root, of)) return std::nullopt;
  const std::optional<Values> got = evaluate_rows(expr, {}, sample_points().size(), root, of, &sample_points());
  if (!got || got->size() == 1) return std::nullopt;
  for (const Known& known : kKnown)
    if (agree(*got, known.f)) return Eltwise{known.algorithm, known.alpha, known.beta};
  // alpha x + beta; the last point is 0.
  const double beta = got->back(), alpha = (*got)[2] - beta;
  for (std::size_t i = 0; i < got->size(); ++i)
    if (!close((*got)[i], alpha * sample_points()[i] + beta)) return std::nullopt;
  return Eltwise{"eltwise_linear", alpha, beta};
}

std::optional<std::vector<Step>> chain_of(const Expr& expr, std::int32_t root) {
  if (!float_only(expr)) return std::nullopt;
  const ExprNode& node = expr.nodes[index(root)];
  if (node.op == ExprOp::operand) return node.operand == 0 ? std::optional(std::vector<Step>{}) : std::nullopt;
  // A function of the earliest node that explains it: nodes are in topological order.
  for (std::int32_t of = 0; of < root; ++of) {
    if (expr.nodes[index(of)].op == ExprOp::constant) continue;
    const std::optional<Eltwise> f = eltwise_of(expr, root, of);
    if (!f) continue;
    std::optional<std::vector<Step>> chain = chain_of(expr, of);
    if (!chain) continue;
    chain->push_back({f->algorithm, f->alpha, f->beta, -1});
    return chain;
  }
  const std::optional<std::string> algorithm = binary_algorithm(node.op);
  if (!algorithm) return std::nullopt;
  const bool commutes = node.op != ExprOp::sub && node.op != ExprOp::div;
  for (int side = 0; side < (commutes ? 2 : 1); ++side) {
    const ExprNode& other = expr.nodes[index(node.args[index(1 - side)])];
    if (other.op != ExprOp::operand || other.operand == 0) continue;
    std::optional<std::vector<Step>> chain = chain_of(expr, node.args[index(side)]);
    if (!chain) continue;
    chain->push_back({*algorithm, 0, 0, other.operand});
    return chain;
  }
  return std::nullopt;
}

}  // namespace kiln::agents::writer
