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

}  // namespace kiln::testing
