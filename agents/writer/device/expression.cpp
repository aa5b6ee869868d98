#include <fmt/format.h>

#include <cmath>
#include <optional>

#include "agents/writer/device/device.h"
#include "runtime/base/error.h"

namespace kiln::agents::writer::device {

using graph::DType;
using graph::Expr;
using graph::ExprNode;
using graph::ExprOp;

bool is_half(DType type) { return type == DType::f16 || type == DType::bf16; }

std::string memory_type(DType type) { return type == DType::boolean ? "u8" : std::string(graph::name(type)); }

std::string value_type(DType type) {
  if (type == DType::boolean) return "bool";
  return is_half(type) ? "f32" : std::string(graph::name(type));
}

namespace {

std::string literal(double value, DType type) {
  const bool wide = type == DType::f64;
  if (std::isnan(value)) return fmt::format("not_a_number<{}>()", wide ? "f64" : "f32");
  if (std::isinf(value)) return fmt::format("{}infinity<{}>()", value < 0 ? "-" : "", wide ? "f64" : "f32");
  return float_literal(value, wide ? DType::f64 : DType::f32);
}

// Powers that are cheaper, and no less exact, as products and roots.
std::optional<std::string> constant_power(const Expr& expr, const ExprNode& node, const std::string& x) {
  const ExprNode& exponent = expr.nodes[static_cast<std::size_t>(node.args[1])];
  if (exponent.op != ExprOp::constant || graph::is_integer(exponent.type)) return std::nullopt;
  if (exponent.value == 1) return x;
  if (exponent.value == 2) return fmt::format("{0} * {0}", x);
  if (exponent.value == 3) return fmt::format("{0} * {0} * {0}", x);
  if (exponent.value == 0.5) return fmt::format("op_sqrt({})", x);
  if (exponent.value == -0.5) return fmt::format("op_rsqrt({})", x);
  if (exponent.value == -1) return fmt::format("{} / {}", literal(1, node.type), x);
  return std::nullopt;
}

}  // namespace

std::string node_text(const Expr& expr, std::size_t index, const std::vector<std::string>& a) {
  const ExprNode& node = expr.nodes[index];
  if (node.op == ExprOp::operand || graph::is_row_reduction(node.op))
    throw Error(ErrorCode::internal,
                fmt::format("cannot write '{}' as an operation: it is not one", graph::name(node.op)));
  const DType from = a.empty() ? node.type : expr.nodes[static_cast<std::size_t>(node.args[0])].type;
  const bool integral = graph::is_integer(from);
  // A value in half precision has errors far above those of the fast functions.
  const std::string_view family = is_half(node.type) ? "fast" : "op";
  switch (node.op) {
    case ExprOp::constant:
      if (node.type == DType::boolean) return node.value != 0 || node.integer != 0 ? "true" : "false";
      if (!graph::is_integer(node.type)) return literal(node.value, node.type);
      if (node.integer == INT64_MIN)
        return fmt::format("static_cast<{}>(-9223372036854775807ll - 1)", value_type(node.type));
      return fmt::format("static_cast<{}>({}ll)", value_type(node.type), node.integer);
    case ExprOp::cast:
      return node.type == DType::boolean ? fmt::format("{} != 0", a[0])
                                         : fmt::format("convert<{}>({})", value_type(node.type), a[0]);
    case ExprOp::neg:
      return "-" + a[0];
    case ExprOp::add:
      return fmt::format("{} + {}", a[0], a[1]);
    case ExprOp::sub:
      return fmt::format("{} - {}", a[0], a[1]);
    case ExprOp::mul:
      return fmt::format("{} * {}", a[0], a[1]);
    case ExprOp::div:
      if (integral) return fmt::format("op_div({}, {})", a[0], a[1]);
      return is_half(node.type) ? fmt::format("fast_div({}, {})", a[0], a[1]) : fmt::format("{} / {}", a[0], a[1]);
    case ExprOp::reciprocal:
      return fmt::format("{} / {}", literal(1, node.type), a[0]);
    case ExprOp::equal:
      return fmt::format("{} == {}", a[0], a[1]);
    case ExprOp::less:
      return fmt::format("{} < {}", a[0], a[1]);
    case ExprOp::less_equal:
      return fmt::format("{} <= {}", a[0], a[1]);
    case ExprOp::logical_and:
      return fmt::format("{} && {}", a[0], a[1]);
    case ExprOp::logical_or:
      return fmt::format("{} || {}", a[0], a[1]);
    case ExprOp::logical_xor:
      return fmt::format("{} != {}", a[0], a[1]);
    case ExprOp::logical_not:
      return "!" + a[0];
    case ExprOp::select:
      return fmt::format("{} ? {} : {}", a[0], a[1], a[2]);
    case ExprOp::bit_not:
      return "~" + a[0];
    case ExprOp::bit_and:
      return fmt::format("{} & {}", a[0], a[1]);
    case ExprOp::bit_or:
      return fmt::format("{} | {}", a[0], a[1]);
    case ExprOp::bit_xor:
      return fmt::format("{} ^ {}", a[0], a[1]);
    case ExprOp::shift_left:
      return fmt::format("shifted_left({}, {})", a[0], a[1]);
    case ExprOp::shift_right:
      return fmt::format("shifted_right({}, {})", a[0], a[1]);
    case ExprOp::fmod:
      return fmt::format("{}_fmod({}, {})", integral ? "integer" : "op", a[0], a[1]);
    case ExprOp::pow:
      if (integral) return fmt::format("integer_power({}, {})", a[0], a[1]);
      if (const auto text = constant_power(expr, node, a[0])) return *text;
      return fmt::format("op_pow({}, {})", a[0], a[1]);
    case ExprOp::floor:
    case ExprOp::ceil:
    case ExprOp::round:
      return integral ? a[0] : fmt::format("op_{}({})", graph::name(node.op), a[0]);
    case ExprOp::exp:
    case ExprOp::log:
    case ExprOp::rsqrt:
    case ExprOp::sigmoid:
      return fmt::format("{}_{}({})", family, graph::name(node.op), a[0]);
    default:
      return a.size() == 2 ? fmt::format("op_{}({}, {})", graph::name(node.op), a[0], a[1])
                           : fmt::format("op_{}({})", graph::name(node.op), a[0]);
  }
}

std::string expression_function(const Expr& expr, const std::vector<DType>& operand_types) {
  std::string signature;
  for (std::size_t i = 0; i < operand_types.size(); ++i)
    signature += fmt::format("{}[[maybe_unused]] {} x{}", i == 0 ? "" : ", ", value_type(operand_types[i]), i);
  for (std::size_t r = 0; r < expr.results.size(); ++r)
    signature += fmt::format("{}{}& y{}", signature.empty() ? "" : ", ",
                             value_type(expr.nodes[static_cast<std::size_t>(expr.results[r])].type), r);
  std::vector<std::string> names(expr.nodes.size());
  std::string body;
  for (std::size_t i = 0; i < expr.nodes.size(); ++i) {
    const ExprNode& node = expr.nodes[i];
    if (node.op == ExprOp::operand) {
      names[i] = fmt::format("x{}", node.operand);
      continue;
    }
    std::vector<std::string> args;
    for (int a = 0; a < graph::arity(node.op); ++a)
      args.push_back(names[static_cast<std::size_t>(node.args[static_cast<std::size_t>(a)])]);
    names[i] = fmt::format("t{}", i);
    const std::string type = value_type(node.type);
    // Arithmetic on narrow integers promotes to int; the node's own type is the one that counts.
    body += fmt::format("  const {0} {1} = static_cast<{0}>({2});\n", type, names[i], node_text(expr, i, args));
  }
  for (std::size_t r = 0; r < expr.results.size(); ++r)
    body += fmt::format("  y{} = {};\n", r, names[static_cast<std::size_t>(expr.results[r])]);
  return fmt::format("// {}\nKILN_DEVICE void expression({}) {{\n{}}}\n", graph::to_string(expr), signature, body);
}

}  // namespace kiln::agents::writer::device
