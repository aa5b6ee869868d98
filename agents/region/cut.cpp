#include <algorithm>
#include <set>

#include "agents/region/kernel.h"
#include "runtime/base/error.h"

namespace kiln::agents {
namespace {

using graph::ValueId;

// Nothing that leaves the set may come back into it through a node outside: the region could not run at one time.
void require_convex(const graph::Graph& workload, const std::set<std::int32_t>& inside) {
  std::vector<bool> made_inside(workload.values.size(), false), after(workload.values.size(), false);
  for (std::size_t n = 0; n < workload.nodes.size(); ++n) {
    const graph::Node& node = workload.nodes[n];
    const bool member = inside.contains(static_cast<std::int32_t>(n));
    bool depends = false;
    for (const ValueId v : node.inputs) {
      const auto i = static_cast<std::size_t>(v);
      if (member && after[i])
        throw Error(ErrorCode::internal,
                    "cannot cut a region around '" + node.origin + "': it needs a result of the region");
      depends = depends || after[i] || made_inside[i];
    }
    for (const ValueId v : node.outputs) {
      made_inside[static_cast<std::size_t>(v)] = member;
      after[static_cast<std::size_t>(v)] = !member && depends;
    }
  }
}

// A scalar becomes part of the expression; these read memory.
bool reads_memory(const graph::Op& op) {
  return std::holds_alternative<graph::MatMul>(op) || std::holds_alternative<graph::Attention>(op) ||
         std::holds_alternative<graph::Gather>(op) || std::holds_alternative<graph::Concat>(op);
}

std::set<ValueId> scalars_of(const graph::Graph& workload, const std::set<std::int32_t>& inside) {
  std::set<ValueId> scalars, read;
  for (const std::int32_t n : inside) {
    const graph::Node& node = workload.nodes[static_cast<std::size_t>(n)];
    for (const ValueId v : node.inputs) {
      if (!workload.is_constant(v) || graph::element_count(workload.type(v).shape) != 1) continue;
      (reads_memory(node.op) ? read : scalars).insert(v);
    }
  }
  for (const ValueId v : read) scalars.erase(v);
  return scalars;
}

}  // namespace

RegionCut cut_region(const graph::Graph& workload, const std::vector<std::int32_t>& nodes,
                     const std::vector<ValueId>& outputs) {
  const std::set<std::int32_t> inside(nodes.begin(), nodes.end());
  require_convex(workload, inside);
  const std::set<ValueId> scalars = scalars_of(workload, inside);
  RegionCut cut;
  graph::Graph& body = cut.region.body;
  std::vector<ValueId> in_body(workload.values.size(), -1);
  const auto enter = [&](ValueId v) {
    ValueId& id = in_body[static_cast<std::size_t>(v)];
    if (id >= 0) return id;
    const std::string label = "v" + std::to_string(body.values.size());
    if (scalars.contains(v)) {
      id = body.add_value(label, workload.type(v));
      body.constants[static_cast<std::size_t>(id)] = workload.constants[static_cast<std::size_t>(v)];
    } else {
      id = body.add_input(label, workload.type(v));
      cut.region.weight.push_back(workload.is_constant(v));
      cut.instance.inputs.push_back(v);
    }
    return id;
  };
  for (const std::int32_t n : inside) {
    const graph::Node& node = workload.nodes[static_cast<std::size_t>(n)];
    std::vector<ValueId> inputs;
    for (const ValueId v : node.inputs) inputs.push_back(enter(v));
    const std::vector<ValueId> made = body.add_node(node.op, inputs, node.origin);
    for (std::size_t i = 0; i < made.size(); ++i) in_body[static_cast<std::size_t>(node.outputs[i])] = made[i];
  }
  for (const ValueId v : outputs) body.outputs.push_back(in_body[static_cast<std::size_t>(v)]);
  // Names that do not depend on where the region was cut from: equal regions are equal text.
  for (std::size_t v = 0; v < body.values.size(); ++v) body.values[v].name = "v" + std::to_string(v);
  cut.instance.outputs = outputs;
  cut.region.key = region_key(body, cut.region.weight);
  const std::optional<Kernel> kernel = lower(cut.region);
  cut.region.label = kernel ? describe(*kernel) : std::to_string(body.nodes.size()) + " nodes";
  body.name = cut.region.label;
  return cut;
}

RegionCut cut_region(const graph::Graph& workload, const std::vector<std::int32_t>& nodes) {
  const std::set<std::int32_t> inside(nodes.begin(), nodes.end());
  std::set<ValueId> wanted(workload.outputs.begin(), workload.outputs.end());
  for (std::size_t n = 0; n < workload.nodes.size(); ++n)
    if (!inside.contains(static_cast<std::int32_t>(n)))
      wanted.insert(workload.nodes[n].inputs.begin(), workload.nodes[n].inputs.end());
  std::vector<ValueId> outputs;
  for (const std::int32_t n : inside)
    for (const ValueId v : workload.nodes[static_cast<std::size_t>(n)].outputs)
      if (wanted.contains(v)) outputs.push_back(v);
  return cut_region(workload, nodes, outputs);
}

}  // namespace kiln::agents
