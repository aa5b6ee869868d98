// Small workloads of every family of CPU kernels, and the variants that the writer renders for them.
#pragma once

#include <string>
#include <vector>

#include "agents/planner/planner.h"
#include "agents/writer/writer.h"

namespace kiln::mutation {

struct Workload {
  std::string family;  // "pointwise", "movement", "row", "matmul", "attention"
  std::string name;    // "softmax of 5x37"
  graph::Graph graph;
};
// Extents are such that every template has tails, several tiles and several tasks.
[[nodiscard]] std::vector<Workload> workloads();

// One workload as one region with all points of its templates' spaces.
struct Prepared {
  Workload workload;
  graph::Graph standalone;
  agents::Partition partition;
  agents::Kernel kernel;
  agents::Figures figures;
  struct Choice {
    const store::TemplateSpec* spec = nullptr;
    agents::Space space;
  };
  std::vector<Choice> choices;
};
// Throws Error(internal) when the workload is not one kernel that some template computes. `corpus` outlives the result.
[[nodiscard]] Prepared prepare(const Workload& workload, const std::vector<store::TemplateSpec>& corpus,
                               const agents::NodeFacts& node, std::int32_t threads);

[[nodiscard]] agents::RenderedKernel rendered(const Prepared& prepared, std::size_t choice, std::size_t row,
                                              const agents::NodeFacts& node);

}  // namespace kiln::mutation
