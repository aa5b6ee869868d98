// A cone of pointwise nodes over one value and scalar constants, composed into one expression. What a cone computes is
// decided by its values at probe points, which no spelling escapes. Private to agents/graph/rewrite.
#pragma once

#include <utility>
#include <vector>

#include "agents/graph/rewrite/sweep.h"

namespace kiln::graph::rewrite {

inline constexpr int kConeNodes = 16;

struct Cone {
  Expr expr;
  ValueId x = -1;
  std::vector<std::pair<ValueId, int>> inner;  // values made inside, and how often the cone reads them
  int nodes = 0;
};

// Fills cone.expr up to `node`, whose values all have `type`, over cone.x. Returns its result, or -1 when the cone
// would need a second operand or grow past kConeNodes.
[[nodiscard]] std::int32_t compose(const Sweep& pass, const Node& node, const TensorType& type, Cone& cone);

// Whether something outside the cone reads a value made inside, which would then be computed twice.
[[nodiscard]] bool is_read_inside(const Sweep& pass, const Cone& cone);

// The values that a cone ending in `node` may be over: the non-constant ones that its nodes read, nearest first.
[[nodiscard]] std::vector<ValueId> cone_sources(const Sweep& pass, const Node& node, const TensorType& type);

// The first result at x = `x`, in double precision. NaN for operations that no rule looks for.
[[nodiscard]] double evaluate_at(const Expr& expr, double x);

}  // namespace kiln::graph::rewrite
