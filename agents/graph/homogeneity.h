// By what power of two the outputs of a graph change when some of its inputs are doubled. Doubling is exact in binary
// floating point, and so is every linear operation on what was doubled, in whatever order it is carried out: a right
// kernel gives outputs that are exactly doubled too (a metamorphic relation, which no tolerance covers).
#pragma once

#include <optional>
#include <vector>

#include "agents/graph/graph.h"

namespace kiln::graph {

struct Homogeneity {
  std::vector<int> inputs;   // 1: is doubled, 0: stays
  std::vector<int> outputs;  // the power of two that the output is multiplied by
};

// The choice of most inputs for which every output has a power, at least one of them other than zero; nothing where
// there is none (softmax of its only input, a norm that adds an epsilon, constants that are added). Types whose range
// is short, such as f16, have none, since doubling may overflow.
[[nodiscard]] std::optional<Homogeneity> homogeneity_of(const Graph& graph);

}  // namespace kiln::graph
