#include <set>

#include "agents/planner/planner.h"
#include "agents/region/kernel.h"

namespace kiln::agents {

std::vector<std::string> uncomputed(const graph::Graph& workload, const Buildable& buildable) {
  const graph::Graph g = expand_composites(workload);
  std::set<graph::ValueId> needed(g.outputs.begin(), g.outputs.end());
  std::vector<std::string> names;
  for (std::size_t n = g.nodes.size(); n-- > 0;) {
    const graph::Node& node = g.nodes[n];
    std::vector<graph::ValueId> outputs;
    for (const graph::ValueId v : node.outputs)
      if (needed.contains(v)) outputs.push_back(v);
    if (outputs.empty()) continue;
    needed.insert(node.inputs.begin(), node.inputs.end());
    if (graph::is_view(node.op)) continue;  // folded or copied, for which every corpus has a kernel
    const std::optional<Kernel> kernel = lower(cut_region(g, {static_cast<std::int32_t>(n)}, outputs).region);
    if (!kernel || !buildable(*kernel)) names.push_back(std::string(graph::kind_name(node.op)) + " " + node.origin);
  }
  return {names.rbegin(), names.rend()};
}

}  // namespace kiln::agents
