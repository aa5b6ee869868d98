#include "agents/writer/operators.h"

#include <fmt/format.h>

#include "runtime/base/error.h"

namespace kiln::agents::writer {

using graph::DType;
using graph::Expr;
using graph::ExprNode;
using graph::ExprOp;

namespace {

const char* infix(ExprOp op) {
  switch (op) {
    case ExprOp::add:
      return "+";
    case ExprOp::sub:
      return "-";
    case ExprOp::mul:
      return "*";
    case ExprOp::equal:
      return "==";
    case ExprOp::less:
      return "<";
    case ExprOp::less_equal:
      return "<=";
    case ExprOp::bit_and:
      return "&";
    case ExprOp::bit_or:
      return "|";
    case ExprOp::bit_xor:
      return "^";
    default:
      return nullptr;
  }
}

}  // namespace

std::optional<std::string> operator_text(ExprOp op, const std::vector<std::string>& args) {
  if (op == ExprOp::neg) return "-" + args[0];
  if (op == ExprOp::bit_not) return "~" + args[0];
  if (const char* between = infix(op)) return fmt::format("{} {} {}", args[0], between, args[1]);
  return std::nullopt;
}

std::optional<std::string> scalar_operator_text(ExprOp op, const std::vector<std::string>& args) {
  switch (op) {
    case ExprOp::logical_and:
      return fmt::format("{} && {}", args[0], args[1]);
    case ExprOp::logical_or:
      return fmt::format("{} || {}", args[0], args[1]);
    case ExprOp::logical_xor:
      return fmt::format("{} != {}", args[0], args[1]);
    case ExprOp::logical_not:
      return "!" + args[0];
    case ExprOp::select:
      return fmt::format("{} ? {} : {}", args[0], args[1], args[2]);
    default:
      return operator_text(op, args);
  }
}

std::optional<std::string> constant_power(const Expr& expr, const ExprNode& node, const std::string& x,
                                          const RootNames& names) {
  const ExprNode& exponent = expr.nodes[static_cast<std::size_t>(node.args[1])];
  if (exponent.op != ExprOp::constant || graph::is_integer(exponent.type)) return std::nullopt;
  if (exponent.value == 1) return x;
  if (exponent.value == 2) return fmt::format("{0} * {0}", x);
  if (exponent.value == 3) return fmt::format("{0} * {0} * {0}", x);
  if (exponent.value == 0.5) return fmt::format("{}({})", names.sqrt, x);
  if (exponent.value == -0.5) return fmt::format("{}({})", names.rsqrt, x);
  if (exponent.value == -1) return fmt::format("{} / {}", names.one, x);
  return std::nullopt;
}

DType argument_type(const Expr& expr, const ExprNode& node) {
  if (node.op == ExprOp::operand || graph::is_row_reduction(node.op))
    throw Error(ErrorCode::internal,
                fmt::format("cannot write '{}' as an operation: it is not one", graph::name(node.op)));
  return graph::arity(node.op) == 0 ? node.type : expr.nodes[static_cast<std::size_t>(node.args[0])].type;
}

std::string expression_function(const Expr& expr, const std::vector<DType>& operand_types, const FunctionText& text) {
  std::string signature;
  for (std::size_t i = 0; i < operand_types.size(); ++i)
    signature += fmt::format("{}[[maybe_unused]] {} x{}", i == 0 ? "" : ", ", text.type(operand_types[i]), i);
  for (std::size_t r = 0; r < expr.results.size(); ++r)
    signature += fmt::format("{}{}& y{}", signature.empty() ? "" : ", ",
                             text.type(expr.nodes[static_cast<std::size_t>(expr.results[r])].type), r);
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
    // Arithmetic on narrow integers promotes to int; the node's own type is the one that counts.
    const std::string type = text.type(node.type), value = text.value(i, args);
    body += graph::is_integer(node.type)
                ? fmt::format("  const {0} {1} = static_cast<{0}>({2});\n", type, names[i], value)
                : fmt::format("  const {} {} = {};\n", type, names[i], value);
  }
  for (std::size_t r = 0; r < expr.results.size(); ++r)
    body += fmt::format("  y{} = {};\n", r, names[static_cast<std::size_t>(expr.results[r])]);
  return fmt::format("// {}\n{} expression({}) {{\n{}}}\n", graph::to_string(expr), text.head, signature, body);
}

}  // namespace kiln::agents::writer
