// How many roundings lie one after the other in a graph: the error of its evaluation in floating point grows as the
// root of their number, since roundings add up as a random walk does (Higham, Accuracy and Stability of Numerical
// Algorithms, 2.8).
#pragma once

#include "agents/graph/graph.h"

namespace kiln::graph {

// The most roundings on a path from an input to an output. An operation of an expression is one; a sum of n terms is
// log2 n, which is how deep the tree of the most accurate order is; products in front of a sum round once more. A
// product of n factors is n - 1.
[[nodiscard]] double longest_chain_of_roundings(const Graph& graph);

}  // namespace kiln::graph
