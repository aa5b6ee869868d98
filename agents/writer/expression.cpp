#include "agents/writer/expression.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdint>

#include "agents/writer/operators.h"
#include "agents/writer/source.h"

namespace kiln::agents::writer {

using graph::DType;
using graph::Expr;
using graph::ExprNode;
using graph::ExprOp;

namespace {

std::string vector_text(const ExprNode& node, const std::vector<std::string>& a, DType from) {
  switch (node.op) {
    case ExprOp::constant:
      return node.type == DType::boolean
                 ? fmt::format("splat_mask({})", node.value != 0 || node.integer != 0 ? "true" : "false")
                 : fmt::format("splat({})", float_literal(node.value, DType::f32));
    case ExprOp::cast:
      if ((node.type == DType::boolean) == (from == DType::boolean)) return a[0];
      return node.type == DType::boolean ? fmt::format("{} != 0.0f", a[0])
                                         : fmt::format("select({}, splat(1.0f), splat(0.0f))", a[0]);
    case ExprOp::div:
      return fmt::format("{} / {}", a[0], a[1]);
    case ExprOp::reciprocal:
      return fmt::format("1.0f / {}", a[0]);
    case ExprOp::rsqrt:
      return fmt::format("1.0f / vsqrt({})", a[0]);
    case ExprOp::logical_and:
      return fmt::format("{} & {}", a[0], a[1]);
    case ExprOp::logical_or:
      return fmt::format("{} | {}", a[0], a[1]);
    case ExprOp::logical_xor:
      return fmt::format("{} ^ {}", a[0], a[1]);
    case ExprOp::logical_not:
      return fmt::format("~{}", a[0]);
    case ExprOp::select:
      return fmt::format("select({}, {}, {})", a[0], a[1], a[2]);
    case ExprOp::pow:
      return fmt::format("vpow({}, {})", a[0], a[1]);
    case ExprOp::mod:
      return fmt::format("vmod({}, {})", a[0], a[1]);
    case ExprOp::fmod:
      return fmt::format("vfmod({}, {})", a[0], a[1]);
    case ExprOp::min:
      return fmt::format("vmin({}, {})", a[0], a[1]);
    case ExprOp::max:
      return fmt::format("vmax({}, {})", a[0], a[1]);
    default:
      return fmt::format("v{}({})", graph::name(node.op), a[0]);
  }
}

// Whether a node that is, or is made from, integers can be computed in lanes.
bool is_lane_operation(const Expr& expr, const ExprNode& node) {
  switch (node.op) {
    case ExprOp::operand:
    case ExprOp::constant:
    case ExprOp::cast:
    case ExprOp::min:
    case ExprOp::max:
    case ExprOp::select:
    case ExprOp::equal:
    case ExprOp::less:
    case ExprOp::less_equal:
      return true;
    case ExprOp::add:
    case ExprOp::sub:
    case ExprOp::mul:  // narrower ones wrap sooner
      return argument_type(expr, node) == DType::i32;
    default:
      return false;
  }
}

// A node whose result is an integer, or a cast from one.
std::string integer_text(const ExprNode& node, const std::vector<std::string>& a, DType from) {
  switch (node.op) {
    case ExprOp::constant:
      return fmt::format("splat_integer({})",
                         node.integer == INT32_MIN ? "-2147483647 - 1" : std::to_string(node.integer));
    case ExprOp::cast:
      if (graph::is_integer(from)) {
        if (node.type == DType::boolean) return fmt::format("{} != 0", a[0]);
        if (graph::is_float(node.type)) return fmt::format("floats({})", a[0]);
        return node.type == DType::i32 || node.type == from
                   ? a[0]
                   : fmt::format("wrapped<{}>({})", scalar_type(node.type), a[0]);
      }
      return from == DType::boolean ? fmt::format("-{}", a[0])  // a mask is 0 or -1
                                    : fmt::format("integers<{}>({})", scalar_type(node.type), a[0]);
    case ExprOp::select:
      return fmt::format("select({}, {}, {})", a[0], a[1], a[2]);
    default:
      return fmt::format("v{}({}, {})", graph::name(node.op), a[0], a[1]);
  }
}

std::string scalar_text(const ExprNode& node, const std::vector<std::string>& a, DType from) {
  const bool integral = graph::is_integer(from);
  const auto one = [&] { return float_literal(1, node.type); };
  switch (node.op) {
    case ExprOp::constant:
      if (node.type == DType::boolean) return node.value != 0 || node.integer != 0 ? "true" : "false";
      if (graph::is_integer(node.type))
        return fmt::format("static_cast<{}>({}ll)", scalar_type(node.type), node.integer);
      return float_literal(node.value, node.type);
    case ExprOp::cast:
      return node.type == DType::boolean ? fmt::format("{} != 0", a[0])
                                         : fmt::format("convert<{}>({})", scalar_type(node.type), a[0]);
    case ExprOp::div:
      return integral ? fmt::format("divide({}, {})", a[0], a[1]) : fmt::format("{} / {}", a[0], a[1]);
    case ExprOp::reciprocal:
      return fmt::format("{} / {}", one(), a[0]);
    case ExprOp::rsqrt:
      return fmt::format("{} / std::sqrt({})", one(), a[0]);
    case ExprOp::pow:
      return integral ? fmt::format("power({}, {})", a[0], a[1]) : fmt::format("std::pow({}, {})", a[0], a[1]);
    case ExprOp::mod:
      return fmt::format("remainder_of({}, {})", a[0], a[1]);
    case ExprOp::fmod:
      return integral ? fmt::format("remainder_toward_zero({}, {})", a[0], a[1])
                      : fmt::format("std::fmod({}, {})", a[0], a[1]);
    case ExprOp::shift_left:
      return fmt::format("shifted_left({}, {})", a[0], a[1]);
    case ExprOp::shift_right:
      return fmt::format("shifted_right({}, {})", a[0], a[1]);
    case ExprOp::min:
      return fmt::format("least({}, {})", a[0], a[1]);
    case ExprOp::max:
      return fmt::format("greatest({}, {})", a[0], a[1]);
    case ExprOp::abs:
      return fmt::format("absolute({})", a[0]);
    case ExprOp::sign:
      return fmt::format("sign_of({})", a[0]);
    case ExprOp::sigmoid:
      return fmt::format("{0} / ({0} + std::exp(-{1}))", one(), a[0]);
    case ExprOp::round:
      return integral ? a[0] : fmt::format("std::nearbyint({})", a[0]);
    case ExprOp::floor:
    case ExprOp::ceil:
      if (integral) return a[0];
      [[fallthrough]];
    default:
      return fmt::format("std::{}({})", graph::name(node.op), a[0]);
  }
}

}  // namespace

bool vectorizable(const Expr& expr) {
  return std::all_of(expr.nodes.begin(), expr.nodes.end(),
                     [](const ExprNode& node) { return is_lane_type(node.type); });
}

bool vectorizable_with_integers(const Expr& expr) {
  return std::all_of(expr.nodes.begin(), expr.nodes.end(), [&](const ExprNode& node) {
    if (graph::is_row_reduction(node.op)) return false;
    const bool from_integer = graph::arity(node.op) > 0 && graph::is_integer(argument_type(expr, node));
    if (!is_lane_integer(node.type) && !is_lane_type(node.type)) return false;
    return (!from_integer && !graph::is_integer(node.type)) || is_lane_operation(expr, node);
  });
}

std::string value_type(DType type, Form form) {
  if (form == Form::scalar) return std::string(scalar_type(type));
  return type == DType::boolean || graph::is_integer(type) ? "vm" : "vf";
}

std::string node_text(const Expr& expr, std::size_t index, const std::vector<std::string>& args, Form form) {
  const ExprNode& node = expr.nodes[index];
  const DType from = argument_type(expr, node);
  if (form == Form::vector && (graph::is_integer(node.type) || (node.op == ExprOp::cast && graph::is_integer(from))))
    return integer_text(node, args, from);
  if (const auto text = form == Form::scalar ? scalar_operator_text(node.op, args) : operator_text(node.op, args))
    return *text;
  if (form == Form::scalar) return scalar_text(node, args, from);
  if (node.op == ExprOp::pow)
    if (const auto text = constant_power(expr, node, args[0], {"vsqrt", "1.0f / vsqrt", "1.0f"})) return *text;
  return vector_text(node, args, from);
}

std::string expression_function(const Expr& expr, Form form, const std::vector<DType>& operand_types) {
  return expression_function(expr, operand_types,
                             {"inline void", [form](DType type) { return value_type(type, form); },
                              [&, form](std::size_t node, const std::vector<std::string>& args) {
                                return node_text(expr, node, args, form);
                              }});
}

bool has_memory_types(const Expr& expr) {
  return std::all_of(expr.nodes.begin(), expr.nodes.end(), [](const ExprNode& n) {
    return has_memory_type(n.type) && !graph::is_row_reduction(n.op);
  });
}

bool is_identity(const Expr& expr) {
  return expr.results.size() == 1 && expr.nodes[static_cast<std::size_t>(expr.results[0])].op == ExprOp::operand &&
         expr.nodes[static_cast<std::size_t>(expr.results[0])].operand == 0;
}

std::vector<ExprOp> operations(const Expr& expr) {
  std::vector<ExprOp> ops;
  for (const ExprNode& node : expr.nodes)
    if (std::find(ops.begin(), ops.end(), node.op) == ops.end()) ops.push_back(node.op);
  return ops;
}

}  // namespace kiln::agents::writer
