#include <map>

#include "agents/graph/rewrite/rules.h"
#include "agents/graph/rewrite/sweep.h"
#include "agents/graph/serialize.h"
#include "runtime/base/json.h"

namespace kiln::graph::rewrite {
namespace {

constexpr std::size_t kConstantBytes = 4096;

// The first of equal small constants stands for all; large ones are merged by their bytes when they are stored.
void merge_constants(Graph& graph) {
  std::map<std::string, ValueId> first;
  std::vector<ValueId> place(graph.values.size());
  for (std::size_t i = 0; i < graph.values.size(); ++i) {
    place[i] = static_cast<ValueId>(i);
    const auto& constant = graph.constants[i];
    if (!constant || constant->bytes.size() > kConstantBytes) continue;
    const TensorType& type = graph.values[i].type;
    const std::string key = std::string(name(type.dtype)) + to_string(type.shape) + constant->digest();
    place[i] = first.try_emplace(key, static_cast<ValueId>(i)).first->second;
  }
  for (Node& node : graph.nodes)
    for (ValueId& id : node.inputs) id = place[static_cast<std::size_t>(id)];
}

}  // namespace

int merge_equal(Graph& graph) {
  merge_constants(graph);
  std::map<std::string, ValueId> first;
  return sweep(graph, [&](Sweep&, const Node& node) -> std::optional<ValueId> {
    std::string key = json::canonical(to_json(node.op));
    for (const ValueId id : node.inputs) key += "," + std::to_string(id);
    const auto [entry, fresh] = first.try_emplace(key, node.outputs[0]);
    return fresh ? std::nullopt : std::optional(entry->second);
  });
}

}  // namespace kiln::graph::rewrite
