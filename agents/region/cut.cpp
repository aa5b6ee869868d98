#include <algorithm>
#include <set>

#include "agents/region/kernel.h"
#include "runtime/base/error.h"

namespace kiln::agents {
namespace {

using graph::ValueId;

// Nothing that the region gives may come back into it through a node outside: it could not run at one time. A view
// inside whose value is no output is the region's own copy: others that read it have theirs.
void require_convex(const graph::Graph& workload, const std::set<std::int32_t>& inside,
                    const std::set<ValueId>& outputs) {
  std::vector<bool> given(workload.values.size(), false), after(workload.values.size(), false);
  for (std::size_t n = 0; n < workload.nodes.size(); ++n) {
    const graph::Node& node = workload.nodes[n];
    const bool member = inside.contains(static_cast<std::int32_t>(n));
    bool depends = false;
    for (const ValueId v : node.inputs) {
      const auto i = static_cast<std::size_t>(v);
      if (member && after[i])
        throw Error(ErrorCode::internal,
                    "cannot cut a region around '" + node.origin + "': it needs a result of the region");
      depends = depends || after[i] || given[i];
    }
    for (const ValueId v : node.outputs) {
      given[static_cast<std::size_t>(v)] = member && (depends || outputs.contains(v));
      after[static_cast<std::size_t>(v)] = !member && depends;
    }
  }
}

// A scalar becomes part of an expression; every other kind reads memory.
bool reads_memory(const graph::Op& op) {
  return !std::holds_alternative<graph::Pointwise>(op) && !std::holds_alternative<graph::Reduce>(op) &&
         !std::holds_alternative<graph::Softmax>(op) && !std::holds_alternative<graph::LayerNorm>(op) &&
         !graph::is_view(op);
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
  require_convex(workload, inside, {outputs.begin(), outputs.end()});
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
  // Names and an order that do not depend on where the region was cut from: equal regions are equal text.
  const auto made_as = [&](ValueId v) { return in_body[static_cast<std::size_t>(v)]; };
  cut.instance.outputs = outputs;
  std::sort(cut.instance.outputs.begin(), cut.instance.outputs.end(),
            [&](ValueId a, ValueId b) { return made_as(a) < made_as(b); });
  for (const ValueId v : cut.instance.outputs) body.outputs.push_back(made_as(v));
  for (std::size_t v = 0; v < body.values.size(); ++v) body.values[v].name = "v" + std::to_string(v);
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
