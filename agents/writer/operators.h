// What the translations of an expression into C++ share, whatever a value is held in: operators of the language, powers
// that are products and roots, and the walk over the nodes.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "agents/graph/expr.h"

namespace kiln::agents::writer {

// "t1 + t2" for the operations that C++ has an operator for, which vectors and scalars of all types understand alike;
// nothing for the others. Division is not among them: an integer's is a function.
[[nodiscard]] std::optional<std::string> operator_text(graph::ExprOp op, const std::vector<std::string>& args);

// The same for scalars, which have logic and a choice besides.
[[nodiscard]] std::optional<std::string> scalar_operator_text(graph::ExprOp op, const std::vector<std::string>& args);

// Powers that are cheaper, and no less exact, as products and roots of `x`. `sqrt` and `rsqrt` name the functions,
// `one` is the literal. Nothing for other exponents, and for integers.
struct RootNames {
  std::string sqrt, rsqrt, one;
};
[[nodiscard]] std::optional<std::string> constant_power(const graph::Expr& expr, const graph::ExprNode& node,
                                                        const std::string& x, const RootNames& names);

// `<head> expression(vf x0, bool x1, vf& y0)` with the expression as a comment above it and one statement per node.
struct FunctionText {
  std::string head;                                                                          // "inline void"
  std::function<std::string(graph::DType)> type;                                             // of a value
  std::function<std::string(std::size_t node, const std::vector<std::string>& args)> value;  // of a node, no operand
};
[[nodiscard]] std::string expression_function(const graph::Expr& expr, const std::vector<graph::DType>& operand_types,
                                              const FunctionText& text);

// The type that `node` is computed from: of its first argument, or its own where it has none. Throws Error(internal)
// for an operand and for a reduction, which are no operations.
[[nodiscard]] graph::DType argument_type(const graph::Expr& expr, const graph::ExprNode& node);

}  // namespace kiln::agents::writer
