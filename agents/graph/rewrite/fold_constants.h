// Evaluates nodes over constants while a graph is being built, so that shape arithmetic never enters it.
#pragma once

#include "agents/graph/graph.h"

namespace kiln::graph::rewrite {

// Replaces the last node by constants when all of its inputs are constants and its results are at most 16 MiB or no
// larger than its inputs. Returns the bytes made, or -1 when the node stays; it stays too when `budget_bytes` is too
// small.
std::int64_t fold_last_node(Graph& graph, std::int64_t budget_bytes);

}  // namespace kiln::graph::rewrite
