#include <algorithm>

#include "agents/graph/rewrite/rules.h"

namespace kiln::graph::rewrite {
namespace {

void renumber(std::vector<ValueId>& ids, const std::vector<ValueId>& place) {
  for (ValueId& id : ids) id = place[static_cast<std::size_t>(id)];
}

}  // namespace

int remove_dead(Graph& graph) {
  std::vector<bool> live(graph.values.size(), false);
  const auto mark = [&](const std::vector<ValueId>& ids) {
    for (const ValueId id : ids) live[static_cast<std::size_t>(id)] = true;
  };
  mark(graph.outputs);
  std::vector<Node> kept;
  for (auto node = graph.nodes.rbegin(); node != graph.nodes.rend(); ++node) {
    if (std::none_of(node->outputs.begin(), node->outputs.end(),
                     [&](ValueId id) { return live[static_cast<std::size_t>(id)]; }))
      continue;
    mark(node->inputs);
    mark(node->outputs);
    kept.push_back(std::move(*node));
  }
  const int removed = static_cast<int>(graph.nodes.size() - kept.size());
  std::reverse(kept.begin(), kept.end());
  graph.nodes = std::move(kept);
  mark(graph.inputs);  // the signature stays, used or not
  std::vector<ValueId> place(graph.values.size(), -1);
  std::vector<Value> values;
  std::vector<std::optional<Constant>> constants;
  for (std::size_t i = 0; i < live.size(); ++i) {
    if (!live[i]) continue;
    place[i] = static_cast<ValueId>(values.size());
    values.push_back(std::move(graph.values[i]));
    constants.push_back(std::move(graph.constants[i]));
  }
  graph.values = std::move(values);
  graph.constants = std::move(constants);
  for (Node& node : graph.nodes) {
    renumber(node.inputs, place);
    renumber(node.outputs, place);
  }
  renumber(graph.inputs, place);
  renumber(graph.outputs, place);
  return removed;
}

}  // namespace kiln::graph::rewrite
