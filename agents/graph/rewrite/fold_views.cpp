#include <algorithm>

#include "agents/graph/rewrite/rules.h"
#include "agents/graph/rewrite/sweep.h"

namespace kiln::graph::rewrite {
namespace {

bool changes_nothing(const Graph& graph, const Node& node) {
  const Shape& from = graph.type(node.inputs[0]).shape;
  if (const auto* reshape = std::get_if<Reshape>(&node.op)) return reshape->shape == from;
  if (const auto* expand = std::get_if<Expand>(&node.op)) return expand->shape == from;
  if (const auto* transpose = std::get_if<Transpose>(&node.op))
    return std::is_sorted(transpose->permutation.begin(), transpose->permutation.end());
  if (const auto* slice = std::get_if<Slice>(&node.op))
    return slice->extents == from &&
           std::all_of(slice->steps.begin(), slice->steps.end(), [](std::int64_t step) { return step == 1; });
  return false;
}

std::optional<ValueId> rule(Sweep& pass, const Node& node) {
  if (!is_view(node.op)) return std::nullopt;
  const ValueId input = node.inputs[0];
  if (changes_nothing(pass.graph, node)) return input;
  if (const auto* outer = std::get_if<Reshape>(&node.op); outer != nullptr && pass.made_by<Reshape>(input) != nullptr)
    return pass.add(*outer, {pass.maker(input)->inputs[0]}, node.origin);
  const auto* outer = std::get_if<Transpose>(&node.op);
  const auto* inner = pass.made_by<Transpose>(input);
  if (outer == nullptr || inner == nullptr) return std::nullopt;
  Transpose merged;
  for (const std::int32_t axis : outer->permutation)
    merged.permutation.push_back(inner->permutation[static_cast<std::size_t>(axis)]);
  const ValueId source = pass.maker(input)->inputs[0];
  if (std::is_sorted(merged.permutation.begin(), merged.permutation.end())) return source;
  return pass.add(merged, {source}, node.origin);
}

}  // namespace

int fold_views(Graph& graph) { return sweep(graph, rule); }

}  // namespace kiln::graph::rewrite
