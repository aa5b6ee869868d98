// A scalar expression DAG: what one element of a pointwise node, a kernel's prologue or its epilogue computes.
//
// Invariants: (1) nodes are in topological order, arguments point backwards; (2) every node has a type; implicit
// conversion does not exist, `cast` is a node; (3) `results` index nodes.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "agents/graph/types.h"

namespace kiln::graph {

enum class ExprOp : std::uint8_t {
  operand,   // ExprNode::operand says which
  constant,  // ExprNode::value (floats, bool) or ::integer (integers)
  cast,
  // unary
  neg, abs, sign, sqrt, rsqrt, reciprocal, exp, log, tanh, erf, sigmoid, sin, cos, floor, ceil, round, logical_not,
  tan, asin, acos, atan, sinh, cosh, asinh, acosh, atanh, expm1, log1p, bit_not,
  // binary; `mod` has the sign of the divisor and `fmod` that of the dividend; a shift by the width or more gives zero
  add, sub, mul, div, pow, min, max, mod, fmod, bit_and, bit_or, bit_xor, shift_left, shift_right, equal, less,
  less_equal, logical_and, logical_or, logical_xor,
  // ternary: condition, then, otherwise
  select,
  // Row reductions: allowed only in a RowKernel (agents/region/kernel.h); the argument varies along the row, the
  // result is one value per row.
  row_sum, row_max, row_min, row_prod,
};

[[nodiscard]] std::string_view name(ExprOp op);
[[nodiscard]] ExprOp expr_op_from_name(std::string_view text);
[[nodiscard]] int arity(ExprOp op);
[[nodiscard]] bool is_row_reduction(ExprOp op);

struct ExprNode {
  ExprOp op = ExprOp::operand;
  DType type = DType::f32;
  std::array<std::int32_t, 3> args = {-1, -1, -1};
  std::int32_t operand = -1;
  double value = 0;
  std::int64_t integer = 0;
  friend bool operator==(const ExprNode&, const ExprNode&) = default;
};

struct Expr {
  std::vector<ExprNode> nodes;
  std::vector<std::int32_t> results;

  std::int32_t operand(std::int32_t index, DType type);
  std::int32_t constant(double value, DType type);
  std::int32_t integer(std::int64_t value, DType type);
  // The result's type: boolean for comparisons and logic, `select` that of its second argument, else that of the first.
  std::int32_t apply(ExprOp op, std::int32_t a, std::int32_t b = -1, std::int32_t c = -1);
  std::int32_t cast(std::int32_t a, DType type);
  friend bool operator==(const Expr&, const Expr&) = default;
};

// Appends `callee` to `caller` with callee's operand i replaced by caller's node arguments[i]; equal nodes are shared.
// Returns the caller's nodes for callee.results.
std::vector<std::int32_t> inline_expr(Expr& caller, const Expr& callee, const std::vector<std::int32_t>& arguments);

// Throws Error(invalid_input) when an invariant does not hold, and on row reductions unless they are allowed.
void validate(const Expr& expr, bool row_reductions);

// "max(a + b, 0)" with operands named a, b, ...; for reports and generated comments.
[[nodiscard]] std::string to_string(const Expr& expr);

}  // namespace kiln::graph
