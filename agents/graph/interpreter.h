// The oracle: executes a graph naively and independently of every kernel template and vendor library.
#pragma once

#include <vector>

#include "agents/graph/graph.h"

namespace kiln::graph {

enum class Arithmetic {
  fp64,   // floating-point values are carried and returned as f64, whatever the graph says: the oracle
  model,  // plain evaluation in the types of the graph, sequential sums: what a candidate's error is compared with
};

// Inputs in the order of graph.inputs, with exactly their types; outputs in the order of graph.outputs (with
// Arithmetic::fp64 the floating-point ones are f64). Uses up to `threads` threads. Throws Error(invalid_input) for a
// mismatch and for a Gather index outside its axis.
[[nodiscard]] std::vector<Tensor> evaluate(const Graph& graph, const std::vector<Tensor>& inputs, Arithmetic arithmetic,
                                           int threads = 1);

}  // namespace kiln::graph
