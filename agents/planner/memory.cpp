#include "agents/planner/memory.h"

#include <algorithm>
#include <numeric>
#include <vector>

namespace kiln::agents {

std::int64_t library_bytes(const PlanLaunch& launch, std::int32_t threads) {
  return launch.library_bytes * std::min<std::int64_t>(launch.tasks, threads);
}

PlanMemory memory_of(const Plan& plan) {
  // Scratch outside the arena is one memory for all launches; a library's own comes and goes with each.
  std::int64_t scratch = 0, library = 0;
  for (const std::vector<PlanLaunch>* launches : {&plan.prepare, &plan.run}) {
    for (const PlanLaunch& launch : *launches) {
      if (!launch.scratch_offset) scratch = std::max(scratch, launch.scratch_bytes);
      library = std::max(library, library_bytes(launch, plan.threads));
    }
  }
  return {plan.constants_bytes, plan.prepared_bytes, plan.temporary_bytes + scratch * plan.threads + library};
}

std::int64_t eager_working_bytes(const graph::Graph& workload) {
  // The value whose memory a value is: a view's is its input's.
  std::vector<graph::ValueId> memory(workload.values.size());
  std::iota(memory.begin(), memory.end(), 0);
  const auto owner = [&](graph::ValueId v) { return static_cast<std::size_t>(memory[static_cast<std::size_t>(v)]); };
  std::vector<std::size_t> last(workload.values.size(), 0);
  std::vector<bool> counts(workload.values.size(), false);
  for (std::size_t n = 0; n < workload.nodes.size(); ++n) {
    const graph::Node& node = workload.nodes[n];
    for (const graph::ValueId v : node.inputs) last[owner(v)] = n;
    for (const graph::ValueId v : node.outputs) {
      const auto made = static_cast<std::size_t>(v);
      if (graph::is_view(node.op)) memory[made] = static_cast<graph::ValueId>(owner(node.inputs[0]));
      else counts[made] = true;
      last[owner(v)] = std::max(last[owner(v)], n);
    }
  }
  for (const graph::ValueId v : workload.outputs) counts[owner(v)] = false;
  const auto bytes = [&](std::size_t v) {
    const graph::TensorType& type = workload.values[v].type;
    return graph::element_count(type.shape) * static_cast<std::int64_t>(graph::size_of(type.dtype));
  };
  std::vector<std::int64_t> freed(workload.nodes.size(), 0);
  std::int64_t live = 0, most = 0;
  for (std::size_t n = 0; n < workload.nodes.size(); ++n) {
    for (const graph::ValueId v : workload.nodes[n].outputs) {
      if (!counts[static_cast<std::size_t>(v)]) continue;
      live += bytes(static_cast<std::size_t>(v));
      freed[last[static_cast<std::size_t>(v)]] += bytes(static_cast<std::size_t>(v));
    }
    most = std::max(most, live);
    live -= freed[n];
  }
  return most;
}

}  // namespace kiln::agents
