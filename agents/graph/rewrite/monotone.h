// Whether an expression grows or falls with one of its operands. Private to agents/graph/rewrite.
#pragma once

#include <vector>

#include "agents/graph/expr.h"

namespace kiln::graph::rewrite {

struct Range {
  double low, high;
};

enum class Direction { still, grows, falls, unknown };

// Of the first result, over operand `varying`; `others` bounds every operand (that of `varying` is not read), and each
// of them stands still. What grows may have equal values. Only what holds for infinite operands too, and gives a NaN
// for no x but NaN, counts.
[[nodiscard]] Direction direction_of(const Expr& expr, std::int32_t varying, const std::vector<Range>& others);

}  // namespace kiln::graph::rewrite
