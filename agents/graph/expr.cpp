#include "agents/graph/expr.h"

#include <bit>
#include <cstdio>

#include "runtime/base/error.h"

namespace kiln::graph {
namespace {

struct OpRow {
  std::string_view name;
  int arity;
};
// In the order of the enumeration.
constexpr std::array<OpRow, 56> kOps = {{
    {"operand", 0}, {"constant", 0}, {"cast", 1},
    {"neg", 1}, {"abs", 1}, {"sign", 1}, {"sqrt", 1}, {"rsqrt", 1}, {"reciprocal", 1}, {"exp", 1}, {"log", 1},
    {"tanh", 1}, {"erf", 1}, {"sigmoid", 1}, {"sin", 1}, {"cos", 1}, {"floor", 1}, {"ceil", 1}, {"round", 1},
    {"logical_not", 1},
    {"tan", 1}, {"asin", 1}, {"acos", 1}, {"atan", 1}, {"sinh", 1}, {"cosh", 1}, {"asinh", 1}, {"acosh", 1},
    {"atanh", 1}, {"expm1", 1}, {"log1p", 1}, {"bit_not", 1},
    {"add", 2}, {"sub", 2}, {"mul", 2}, {"div", 2}, {"pow", 2}, {"min", 2}, {"max", 2}, {"mod", 2}, {"fmod", 2},
    {"bit_and", 2}, {"bit_or", 2}, {"bit_xor", 2}, {"shift_left", 2}, {"shift_right", 2}, {"equal", 2},
    {"less", 2}, {"less_equal", 2}, {"logical_and", 2}, {"logical_or", 2}, {"logical_xor", 2},
    {"select", 3},
    {"row_sum", 1}, {"row_max", 1}, {"row_min", 1},
}};
constexpr OpRow kRowProd = {"row_prod", 1};

const OpRow& row(ExprOp op) {
  const auto index = static_cast<std::size_t>(op);
  return index < kOps.size() ? kOps[index] : kRowProd;
}

bool gives_boolean(ExprOp op) {
  return op == ExprOp::logical_not || (op >= ExprOp::equal && op <= ExprOp::logical_xor);
}

bool is_bitwise(ExprOp op) { return op == ExprOp::bit_not || (op >= ExprOp::bit_and && op <= ExprOp::shift_right); }

// NaN constants are equal when their bits are, so that sharing terminates on them too.
bool same(const ExprNode& a, const ExprNode& b) {
  return a.op == b.op && a.type == b.type && a.args == b.args && a.operand == b.operand && a.integer == b.integer &&
         std::bit_cast<std::uint64_t>(a.value) == std::bit_cast<std::uint64_t>(b.value);
}

std::int32_t share(Expr& expr, const ExprNode& node) {
  for (std::size_t i = 0; i < expr.nodes.size(); ++i)
    if (same(expr.nodes[i], node)) return static_cast<std::int32_t>(i);
  expr.nodes.push_back(node);
  return static_cast<std::int32_t>(expr.nodes.size() - 1);
}

std::string operand_name(std::int32_t index) {
  return index < 26 ? std::string(1, static_cast<char>('a' + index)) : "x" + std::to_string(index);
}

std::string number(const ExprNode& node) {
  if (is_integer(node.type)) return std::to_string(node.integer);
  if (node.type == DType::boolean) return node.value != 0 ? "true" : "false";
  char text[32];
  (void)std::snprintf(text, sizeof text, "%.9g", node.value);
  return text;
}

std::string_view infix(ExprOp op) {
  switch (op) {
    case ExprOp::add: return " + ";
    case ExprOp::sub: return " - ";
    case ExprOp::mul: return " * ";
    case ExprOp::div: return " / ";
    case ExprOp::equal: return " == ";
    case ExprOp::less: return " < ";
    case ExprOp::less_equal: return " <= ";
    case ExprOp::logical_and: return " && ";
    case ExprOp::logical_or: return " || ";
    default: return {};
  }
}

// A report is read by people: past this length the text is cut, since a shared DAG may unfold exponentially.
constexpr std::size_t kTextLimit = 2000;

void print(const Expr& expr, std::int32_t index, bool inner, std::string& out) {
  if (out.size() > kTextLimit) return;
  const ExprNode& node = expr.nodes[static_cast<std::size_t>(index)];
  if (node.op == ExprOp::operand) {
    out += operand_name(node.operand);
  } else if (node.op == ExprOp::constant) {
    out += number(node);
  } else if (const std::string_view sign = infix(node.op); !sign.empty()) {
    if (inner) out += '(';
    print(expr, node.args[0], true, out);
    out += sign;
    print(expr, node.args[1], true, out);
    if (inner) out += ')';
  } else {
    out += node.op == ExprOp::cast ? name(node.type) : name(node.op);
    out += '(';
    for (int i = 0; i < arity(node.op); ++i) {
      if (i > 0) out += ", ";
      print(expr, node.args[static_cast<std::size_t>(i)], false, out);
    }
    out += ')';
  }
}

[[noreturn]] void fail(std::size_t node, const std::string& cause) {
  throw Error(ErrorCode::invalid_input, "cannot use the expression at its node " + std::to_string(node) + ": " + cause);
}

void check_types(const Expr& expr, std::size_t index) {
  const ExprNode& node = expr.nodes[index];
  const auto argument = [&](std::size_t i) { return expr.nodes[static_cast<std::size_t>(node.args[i])].type; };
  if (node.op == ExprOp::operand || node.op == ExprOp::constant || node.op == ExprOp::cast) return;
  for (std::size_t i = 0; i < static_cast<std::size_t>(arity(node.op)); ++i)
    if (node.op != ExprOp::select && is_float8(argument(i))) fail(index, "an 8-bit float can only be carried and cast");
  if (node.op == ExprOp::select) {
    if (argument(0) != DType::boolean) fail(index, "the condition of a select is not boolean");
    if (argument(1) != argument(2) || node.type != argument(1)) fail(index, "the branches of a select differ in type");
    return;
  }
  const bool logic =
      node.op == ExprOp::logical_not || (node.op >= ExprOp::logical_and && node.op <= ExprOp::logical_xor);
  if (logic && argument(0) != DType::boolean) fail(index, "logic needs boolean arguments");
  if (is_bitwise(node.op) && !is_integer(argument(0))) fail(index, "bit operations need integer arguments");
  const bool shifts = node.op == ExprOp::shift_left || node.op == ExprOp::shift_right;
  if (shifts && name(argument(0))[0] != 'u') fail(index, "a shift needs unsigned arguments");
  if (arity(node.op) == 2 && argument(0) != argument(1)) fail(index, "the arguments differ in type");
  if (node.type != (gives_boolean(node.op) ? DType::boolean : argument(0)))
    fail(index, "the type is not that of its operation");
}

}  // namespace

std::string_view name(ExprOp op) { return row(op).name; }
int arity(ExprOp op) { return row(op).arity; }
bool is_row_reduction(ExprOp op) { return op >= ExprOp::row_sum; }

ExprOp expr_op_from_name(std::string_view text) {
  for (std::size_t i = 0; i <= kOps.size(); ++i)
    if (name(static_cast<ExprOp>(i)) == text) return static_cast<ExprOp>(i);
  throw Error(ErrorCode::invalid_input,
              "cannot read the operation '" + std::string(text) + "': there is none of that name");
}

std::int32_t Expr::operand(std::int32_t index, DType type) {
  ExprNode node;
  node.type = type;
  node.operand = index;
  return share(*this, node);
}

std::int32_t Expr::constant(double value, DType type) {
  ExprNode node;
  node.op = ExprOp::constant;
  node.type = type;
  if (is_integer(type)) {
    node.integer = static_cast<std::int64_t>(value);
  } else {
    node.value = value;
  }
  return share(*this, node);
}

std::int32_t Expr::integer(std::int64_t value, DType type) {
  if (!is_integer(type)) return constant(static_cast<double>(value), type);
  ExprNode node;
  node.op = ExprOp::constant;
  node.type = type;
  node.integer = value;
  return share(*this, node);
}

std::int32_t Expr::apply(ExprOp op, std::int32_t a, std::int32_t b, std::int32_t c) {
  ExprNode node;
  node.op = op;
  node.args = {a, b, c};
  const auto type_of = [&](std::int32_t i) { return nodes[static_cast<std::size_t>(i)].type; };
  node.type = gives_boolean(op) ? DType::boolean : type_of(op == ExprOp::select ? b : a);
  return share(*this, node);
}

std::int32_t Expr::cast(std::int32_t a, DType type) {
  if (nodes[static_cast<std::size_t>(a)].type == type) return a;
  ExprNode node;
  node.op = ExprOp::cast;
  node.type = type;
  node.args[0] = a;
  return share(*this, node);
}

std::vector<std::int32_t> inline_expr(Expr& caller, const Expr& callee, const std::vector<std::int32_t>& arguments) {
  std::vector<std::int32_t> place(callee.nodes.size());
  for (std::size_t i = 0; i < callee.nodes.size(); ++i) {
    ExprNode node = callee.nodes[i];
    if (node.op == ExprOp::operand) {
      place[i] = arguments.at(static_cast<std::size_t>(node.operand));
      continue;
    }
    for (std::int32_t& argument : node.args)
      if (argument >= 0) argument = place[static_cast<std::size_t>(argument)];
    place[i] = share(caller, node);
  }
  std::vector<std::int32_t> results;
  results.reserve(callee.results.size());
  for (const std::int32_t result : callee.results) results.push_back(place[static_cast<std::size_t>(result)]);
  return results;
}

std::string to_string(const Expr& expr) {
  std::string text;
  for (const std::int32_t result : expr.results) {
    if (!text.empty()) text += "; ";
    print(expr, result, false, text);
  }
  if (text.size() > kTextLimit) text = text.substr(0, kTextLimit) + "...";
  return text;
}

void validate(const Expr& expr, bool row_reductions) {
  for (std::size_t i = 0; i < expr.nodes.size(); ++i) {
    const ExprNode& node = expr.nodes[i];
    if (is_row_reduction(node.op) && !row_reductions) fail(i, "a row reduction stands outside a row kernel");
    const auto count = static_cast<std::size_t>(arity(node.op));
    for (std::size_t a = 0; a < node.args.size(); ++a) {
      if (a >= count && node.args[a] != -1) fail(i, "it has too many arguments");
      if (a < count && (node.args[a] < 0 || static_cast<std::size_t>(node.args[a]) >= i))
        fail(i, "an argument is not an earlier node");
    }
    if ((node.op == ExprOp::operand) != (node.operand >= 0)) fail(i, "its operand index is out of place");
    check_types(expr, i);
  }
  for (const std::int32_t result : expr.results)
    if (result < 0 || static_cast<std::size_t>(result) >= expr.nodes.size())
      fail(expr.nodes.size(), "a result names no node");
}

}  // namespace kiln::graph
