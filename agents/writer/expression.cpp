#include "agents/writer/expression.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>

#include "agents/writer/source.h"
#include "runtime/base/error.h"

namespace kiln::agents::writer {

using graph::DType;
using graph::Expr;
using graph::ExprNode;
using graph::ExprOp;

namespace {

bool is_lane_type(DType type) { return type == DType::f32 || type == DType::boolean; }

// Powers that are cheaper, and no less exact, as products and roots.
std::optional<std::string> constant_power(const Expr& expr, const ExprNode& node, const std::string& x) {
  const ExprNode& exponent = expr.nodes[static_cast<std::size_t>(node.args[1])];
  if (exponent.op != ExprOp::constant) return std::nullopt;
  if (exponent.value == 1) return x;
  if (exponent.value == 2) return fmt::format("{0} * {0}", x);
  if (exponent.value == 3) return fmt::format("{0} * {0} * {0}", x);
  if (exponent.value == 0.5) return fmt::format("vsqrt({})", x);
  if (exponent.value == -0.5) return fmt::format("1.0f / vsqrt({})", x);
  if (exponent.value == -1) return fmt::format("1.0f / {}", x);
  return std::nullopt;
}

std::string vector_text(const ExprNode& node, const std::vector<std::string>& a, DType argument_type) {
  switch (node.op) {
    case ExprOp::constant:
      return node.type == DType::boolean
                 ? fmt::format("splat_mask({})", node.value != 0 || node.integer != 0 ? "true" : "false")
                 : fmt::format("splat({})", float_literal(node.value, DType::f32));
    case ExprOp::cast:
      if (node.type == argument_type) return a[0];
      return node.type == DType::boolean ? fmt::format("{} != 0.0f", a[0])
                                         : fmt::format("select({}, splat(1.0f), splat(0.0f))", a[0]);
    case ExprOp::neg: return "-" + a[0];
    case ExprOp::add: return fmt::format("{} + {}", a[0], a[1]);
    case ExprOp::sub: return fmt::format("{} - {}", a[0], a[1]);
    case ExprOp::mul: return fmt::format("{} * {}", a[0], a[1]);
    case ExprOp::div: return fmt::format("{} / {}", a[0], a[1]);
    case ExprOp::reciprocal: return fmt::format("1.0f / {}", a[0]);
    case ExprOp::rsqrt: return fmt::format("1.0f / vsqrt({})", a[0]);
    case ExprOp::equal: return fmt::format("{} == {}", a[0], a[1]);
    case ExprOp::less: return fmt::format("{} < {}", a[0], a[1]);
    case ExprOp::less_equal: return fmt::format("{} <= {}", a[0], a[1]);
    case ExprOp::logical_and: return fmt::format("{} & {}", a[0], a[1]);
    case ExprOp::logical_or: return fmt::format("{} | {}", a[0], a[1]);
    case ExprOp::logical_xor: return fmt::format("{} ^ {}", a[0], a[1]);
    case ExprOp::logical_not: return fmt::format("~{}", a[0]);
    case ExprOp::select: return fmt::format("select({}, {}, {})", a[0], a[1], a[2]);
    case ExprOp::pow: return fmt::format("vpow({}, {})", a[0], a[1]);
    case ExprOp::mod: return fmt::format("vmod({}, {})", a[0], a[1]);
    case ExprOp::fmod: return fmt::format("vfmod({}, {})", a[0], a[1]);
    case ExprOp::min: return fmt::format("vmin({}, {})", a[0], a[1]);
    case ExprOp::max: return fmt::format("vmax({}, {})", a[0], a[1]);
    default: return fmt::format("v{}({})", graph::name(node.op), a[0]);
  }
}

std::string scalar_text(const ExprNode& node, const std::vector<std::string>& a, DType argument_type) {
  const bool integral = graph::is_integer(argument_type);
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
    case ExprOp::neg: return "-" + a[0];
    case ExprOp::add: return fmt::format("{} + {}", a[0], a[1]);
    case ExprOp::sub: return fmt::format("{} - {}", a[0], a[1]);
    case ExprOp::mul: return fmt::format("{} * {}", a[0], a[1]);
    case ExprOp::div: return integral ? fmt::format("divide({}, {})", a[0], a[1]) : fmt::format("{} / {}", a[0], a[1]);
    case ExprOp::reciprocal: return fmt::format("{} / {}", one(), a[0]);
    case ExprOp::rsqrt: return fmt::format("{} / std::sqrt({})", one(), a[0]);
    case ExprOp::equal: return fmt::format("{} == {}", a[0], a[1]);
    case ExprOp::less: return fmt::format("{} < {}", a[0], a[1]);
    case ExprOp::less_equal: return fmt::format("{} <= {}", a[0], a[1]);
    case ExprOp::logical_and: return fmt::format("{} && {}", a[0], a[1]);
    case ExprOp::logical_or: return fmt::format("{} || {}", a[0], a[1]);
    case ExprOp::logical_xor: return fmt::format("{} != {}", a[0], a[1]);
    case ExprOp::logical_not: return fmt::format("!{}", a[0]);
    case ExprOp::select: return fmt::format("{} ? {} : {}", a[0], a[1], a[2]);
    case ExprOp::pow:
      return integral ? fmt::format("power({}, {})", a[0], a[1]) : fmt::format("std::pow({}, {})", a[0], a[1]);
    case ExprOp::mod: return fmt::format("remainder_of({}, {})", a[0], a[1]);
    case ExprOp::fmod: return integral ? fmt::format("remainder_toward_zero({}, {})", a[0], a[1])
                                       : fmt::format("std::fmod({}, {})", a[0], a[1]);
    case ExprOp::bit_not: return "~" + a[0];
    case ExprOp::bit_and: return fmt::format("{} & {}", a[0], a[1]);
    case ExprOp::bit_or: return fmt::format("{} | {}", a[0], a[1]);
    case ExprOp::bit_xor: return fmt::format("{} ^ {}", a[0], a[1]);
    case ExprOp::shift_left: return fmt::format("shifted_left({}, {})", a[0], a[1]);
    case ExprOp::shift_right: return fmt::format("shifted_right({}, {})", a[0], a[1]);
    case ExprOp::min: return fmt::format("least({}, {})", a[0], a[1]);
    case ExprOp::max: return fmt::format("greatest({}, {})", a[0], a[1]);
    case ExprOp::abs: return fmt::format("absolute({})", a[0]);
    case ExprOp::sign: return fmt::format("sign_of({})", a[0]);
    case ExprOp::sigmoid: return fmt::format("{0} / ({0} + std::exp(-{1}))", one(), a[0]);
    case ExprOp::round: return integral ? a[0] : fmt::format("std::nearbyint({})", a[0]);
    case ExprOp::floor:
    case ExprOp::ceil:
      if (integral) return a[0];
      [[fallthrough]];
    default: return fmt::format("std::{}({})", graph::name(node.op), a[0]);
  }
}

}  // namespace

bool vectorizable(const Expr& expr) {
  return std::all_of(expr.nodes.begin(), expr.nodes.end(),
                     [](const ExprNode& node) { return is_lane_type(node.type); });
}

std::string value_type(DType type, Form form) {
  if (form == Form::scalar) return std::string(scalar_type(type));
  return type == DType::boolean ? "vm" : "vf";
}

std::string node_text(const Expr& expr, std::size_t index, const std::vector<std::string>& args, Form form) {
  const ExprNode& node = expr.nodes[index];
  if (node.op == ExprOp::operand || graph::is_row_reduction(node.op))
    throw Error(ErrorCode::internal,
                fmt::format("cannot write '{}' as an operation: it is not one", graph::name(node.op)));
  const DType argument_type = args.empty() ? node.type : expr.nodes[static_cast<std::size_t>(node.args[0])].type;
  if (form == Form::scalar) return scalar_text(node, args, argument_type);
  if (node.op == ExprOp::pow)
    if (const std::optional<std::string> text = constant_power(expr, node, args[0])) return *text;
  return vector_text(node, args, argument_type);
}

std::string expression_function(const Expr& expr, int operands, Form form, const std::vector<DType>& operand_types) {
  std::string signature;
  for (int i = 0; i < operands; ++i)
    signature += fmt::format("{}[[maybe_unused]] {} x{}", i == 0 ? "" : ", ",
                             value_type(operand_types[static_cast<std::size_t>(i)], form), i);
  for (std::size_t r = 0; r < expr.results.size(); ++r)
    signature +=
        fmt::format(", {}& y{}", value_type(expr.nodes[static_cast<std::size_t>(expr.results[r])].type, form), r);
  if (operands == 0) signature.erase(0, 2);

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
    const std::string type = value_type(node.type, form);
    const std::string text = node_text(expr, i, args, form);
    // Arithmetic on narrow integers promotes to int; the node's own type is the one that counts.
    body += form == Form::scalar && graph::is_integer(node.type)
                ? fmt::format("  const {0} {1} = static_cast<{0}>({2});\n", type, names[i], text)
                : fmt::format("  const {} {} = {};\n", type, names[i], text);
  }
  for (std::size_t r = 0; r < expr.results.size(); ++r)
    body += fmt::format("  y{} = {};\n", r, names[static_cast<std::size_t>(expr.results[r])]);
  return fmt::format("// {}\ninline void expression({}) {{\n{}}}\n", graph::to_string(expr), signature, body);
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
