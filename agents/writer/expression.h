// A scalar expression as C++: over vectors where every node fits lanes of float32, over scalars of any type otherwise.
#pragma once

#include <string>
#include <vector>

#include "agents/graph/expr.h"

namespace kiln::agents::writer {

// How a value is held: one per SIMD lane (vf, or vm for booleans), or one scalar.
enum class Form { vector, scalar };

// Whether all nodes can be computed in lanes of float32.
[[nodiscard]] bool vectorizable(const graph::Expr& expr);
// The same with integers in lanes (integer_prelude()): sums, products, extrema, choices, comparisons and casts of them.
[[nodiscard]] bool vectorizable_with_integers(const graph::Expr& expr);
[[nodiscard]] std::string value_type(graph::DType type, Form form);  // "vf", "vm", "float", "bool"

// The right-hand side of node `index` from the names of its arguments: "vexp(t3)", "std::exp(t3)". Not for operands.
[[nodiscard]] std::string node_text(const graph::Expr& expr, std::size_t index, const std::vector<std::string>& args,
                                    Form form);

// `inline void expression(vf x0, vm x1, vf& y0)`, with the expression as a comment above it.
[[nodiscard]] std::string expression_function(const graph::Expr& expr, Form form,
                                              const std::vector<graph::DType>& operand_types);

// Result nodes that are nothing but operand 0: the expression is the identity.
[[nodiscard]] bool is_identity(const graph::Expr& expr);

// Whether every node has one of the language's own types and none is a reduction along a row.
[[nodiscard]] bool has_memory_types(const graph::Expr& expr);

// The operations that occur, for the choice of the functions that the file must carry.
[[nodiscard]] std::vector<graph::ExprOp> operations(const graph::Expr& expr);

}  // namespace kiln::agents::writer
