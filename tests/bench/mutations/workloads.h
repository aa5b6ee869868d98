// Small workloads of every family of CPU kernels, and the variants that the writer renders for them.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "agents/planner/planner.h"
#include "agents/writer/writer.h"

namespace kiln::mutation {

struct Workload {
  std::string family;  // "row", "matmul", "movement", and so on
  std::string name;    // "softmax 5x37": what it computes, and the shapes of its inputs
  graph::Graph graph;
};
// Round 0 has extents such that every template has tails, several tiles and several tasks; each later round draws
// others, down to 1.
[[nodiscard]] std::vector<Workload> workloads(std::uint64_t round);

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
// Nothing when the workload is not one kernel that some template computes. `corpus` outlives the result.
[[nodiscard]] std::optional<Prepared> prepare(const Workload& workload, const std::vector<store::TemplateSpec>& corpus,
                               const agents::NodeFacts& node, std::int32_t threads);

[[nodiscard]] agents::RenderedKernel rendered(const Prepared& prepared, std::size_t choice, std::size_t row,
                                              const agents::NodeFacts& node);

}  // namespace kiln::mutation
