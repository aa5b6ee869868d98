// What an expression computes, in double precision, for the recognition of vendor operations: an expression equals an
// operation when both agree at sample points that no other operation of the list shares.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "agents/graph/expr.h"

namespace kiln::agents::writer {

// One value per element of a row. Operand i is operands[i]; rows of one value are broadcast. Row reductions are over
// the row.
using Values = std::vector<double>;
[[nodiscard]] std::optional<Values> evaluate_rows(const graph::Expr& expr, const std::vector<Values>& operands,
                                                  std::size_t length, std::int32_t root, std::int32_t free_node = -1,
                                                  const Values* free_value = nullptr);

// A function of one value that oneDNN has: dnnl_algorithm name without "algorithm::", and its two parameters.
struct Eltwise {
  std::string algorithm;
  double alpha = 0, beta = 0;
};
// The function by which node `root` depends on node `of`, when it depends on nothing else and oneDNN has it.
[[nodiscard]] std::optional<Eltwise> eltwise_of(const graph::Expr& expr, std::int32_t root, std::int32_t of);

// A chain of operations applied to operand 0: functions of one value, and binary operations with another operand.
struct Step {
  std::string algorithm;  // "eltwise_relu" or "binary_add"
  double alpha = 0, beta = 0;
  std::int32_t operand = -1;  // of a binary step
};
[[nodiscard]] std::optional<std::vector<Step>> chain_of(const graph::Expr& expr, std::int32_t root);

}  // namespace kiln::agents::writer
