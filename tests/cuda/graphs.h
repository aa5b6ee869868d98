// The fixed set of graphs whose kernels every CI run executes and compiles: each is one region.
#pragma once

#include <string>
#include <vector>

#include "agents/graph/graph.h"

namespace kiln::testing {

struct NamedGraph {
  std::string name;
  graph::Graph graph;
};
[[nodiscard]] std::vector<NamedGraph> device_graphs();
// Rows so long that a sum of float32 numbers, one by one, loses digits of them.
[[nodiscard]] std::vector<NamedGraph> long_row_graphs();
// x [n, n] by the largest of each row of y [n, n].
[[nodiscard]] NamedGraph rows_by_their_largest(std::int64_t n);
// Regions of the sizes that a GPU is measured with: far past its caches, in shapes that models and benchmarks have.
[[nodiscard]] std::vector<NamedGraph> large_graphs();

}  // namespace kiln::testing
