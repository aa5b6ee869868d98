// A sum or mean over dimensions of a linear operator's result, through the constant that may have been added to it.
// Private to agents/graph/rewrite.
#pragma once

#include <string>
#include <vector>

#include "agents/graph/rewrite/sweep.h"

namespace kiln::graph::rewrite {

// The constant that an addition takes, and the only reader's other operand, which has the sum's type.
struct Addition {
  ValueId x = -1, constant = -1;
};
[[nodiscard]] std::optional<Addition> addition(const Sweep& pass, ValueId id);

struct LinearSum {
  bool mean = false;
  std::vector<bool> over;  // per dimension of the operator's result
  ValueId operation = -1;  // the operator's result
  ValueId bias = -1;       // a constant that broadcasts to it, or -1
};

// `node` as a sum of `operation`, whose maker is not looked at; what lies between is read by nobody else. Of f32 and
// f64 only: what is folded in rounds once, from double precision.
[[nodiscard]] std::optional<LinearSum> linear_sum(const Sweep& pass, const Node& node);

// The bias summed over the dimensions of `sum`, as a constant; where it is broadcast it counts as often as the
// operator's result has elements there. Nothing when a sum is not finite.
[[nodiscard]] std::optional<ValueId> summed_bias(Sweep& pass, const LinearSum& sum);

// `y`, which has the sum's elements in order, in the shape of `node`'s result, with the bias.
[[nodiscard]] std::optional<ValueId> finished(Sweep& pass, ValueId y, const LinearSum& sum, const Node& node);

// A constant copied into a graph of its own, for Sweep::add_evaluated.
[[nodiscard]] ValueId copied(Graph& to, const Graph& from, ValueId constant);
// `x` times `factor`.
[[nodiscard]] ValueId times(Graph& graph, ValueId x, double factor);

}  // namespace kiln::graph::rewrite
