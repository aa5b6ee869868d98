// What rounding to integers makes of errors that are as small as any: a value next to a tie goes to either side, and
// the result is a whole step away. How much an equally right kernel may differ by that, no plain evaluation says.
#pragma once

#include <vector>

#include "agents/graph/graph.h"

namespace kiln::graph {

// The graph with what it rounds to integers (round, and casts of floats to integers) moved by as much as a right kernel
// may err there: up in the first one, down in the second, by sixteen roundings of float32 (of a 16-bit float: one) of
// the value or of 128, whichever is larger: the steps of an 8-bit integer are quotients of that size, however small a
// sum of them comes out. What lies on a tie or on an integer exactly stays: there a tie is no matter of luck. Empty
// where nothing is rounded to integers.
[[nodiscard]] std::vector<Graph> nudged(const Graph& graph);

}  // namespace kiln::graph
