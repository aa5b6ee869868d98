#include <fmt/format.h>

#include <cmath>

#include "agents/writer/device/device.h"
#include "agents/writer/operators.h"

namespace kiln::agents::writer::device {

using graph::DType;
using graph::Expr;
using graph::ExprNode;
using graph::ExprOp;

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

}  // namespace

std::string node_text(const Expr& expr, std::size_t index, const std::vector<std::string>& a) {
  const ExprNode& node = expr.nodes[index];
  const DType from = argument_type(expr, node);
  const bool integral = graph::is_integer(from);
  // A value in half precision has errors far above those of the fast functions.
  const std::string_view family = is_half(node.type) ? "fast" : "op";
  if (const auto text = scalar_operator_text(node.op, a)) return *text;
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
    case ExprOp::div:
      if (integral) return fmt::format("op_div({}, {})", a[0], a[1]);
      return is_half(node.type) ? fmt::format("fast_div({}, {})", a[0], a[1]) : fmt::format("{} / {}", a[0], a[1]);
    case ExprOp::reciprocal:
      return fmt::format("{} / {}", literal(1, node.type), a[0]);
    case ExprOp::shift_left:
      return fmt::format("shifted_left({}, {})", a[0], a[1]);
    case ExprOp::shift_right:
      return fmt::format("shifted_right({}, {})", a[0], a[1]);
    case ExprOp::fmod:
      return fmt::format("{}_fmod({}, {})", integral ? "integer" : "op", a[0], a[1]);
    case ExprOp::pow:
      if (integral) return fmt::format("integer_power({}, {})", a[0], a[1]);
      if (const auto text = constant_power(expr, node, a[0], {"op_sqrt", "op_rsqrt", literal(1, node.type)}))
        return *text;
      return fmt::format("op_pow({}, {})", a[0], a[1]);
    case ExprOp::floor:
    case ExprOp::ceil:
    case ExprOp::round:
      return integral ? a[0] : fmt::format("op_{}({})", graph::name(node.op), a[0]);
    case ExprOp::exp:
    case ExprOp::log:
    case ExprOp::rsqrt:
    case ExprOp::sigmoid:
    case ExprOp::erf:
      return fmt::format("{}_{}({})", family, graph::name(node.op), a[0]);
    default:
      return a.size() == 2 ? fmt::format("op_{}({}, {})", graph::name(node.op), a[0], a[1])
                           : fmt::format("op_{}({})", graph::name(node.op), a[0]);
  }
}

std::string expression_function(const Expr& expr, const std::vector<DType>& operand_types) {
  return writer::expression_function(
      expr, operand_types,
      {"KILN_DEVICE void", [](DType type) { return value_type(type); },
       [&](std::size_t node, const std::vector<std::string>& args) { return node_text(expr, node, args); }});
}

}  // namespace kiln::agents::writer::device
