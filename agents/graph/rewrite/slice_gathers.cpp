#include "agents/graph/rewrite/rules.h"
#include "agents/graph/rewrite/sweep.h"

namespace kiln::graph::rewrite {
namespace {

// Constant indices that step evenly upwards, as first and step; negative ones count from the end.
struct Progression { std::int64_t first, step; };

std::optional<Progression> progression(const Constant& indices, const TensorType& type, std::int64_t extent) {
  std::vector<std::int64_t> at;
  for (std::int64_t i = 0; i < element_count(type.shape); ++i) {
    const auto index = static_cast<std::int64_t>(load_double(type.dtype, indices.bytes.data(), i));
    at.push_back(index < 0 ? index + extent : index);
    if (at.back() < 0 || at.back() >= extent) return std::nullopt;
  }
  if (at.empty()) return std::nullopt;
  const std::int64_t step = at.size() > 1 ? at[1] - at[0] : 1;
  if (step < 1) return std::nullopt;
  for (std::size_t i = 1; i < at.size(); ++i)
    if (at[i] - at[i - 1] != step) return std::nullopt;
  return Progression{at[0], step};
}

std::optional<ValueId> rule(Sweep& pass, const Node& node) {
  const auto* gather = std::get_if<Gather>(&node.op);
  if (gather == nullptr || !pass.graph.is_constant(node.inputs[1])) return std::nullopt;
  const TensorType& indices = pass.graph.type(node.inputs[1]);
  const std::int64_t count = element_count(indices.shape);
  const Shape data = pass.graph.type(node.inputs[0]).shape, shape = pass.graph.type(node.outputs[0]).shape;
  const auto axis = static_cast<std::size_t>(gather->axis);
  const std::optional<Progression> steps =
      progression(*pass.graph.constants[static_cast<std::size_t>(node.inputs[1])], indices, data[axis]);
  if (!steps) return std::nullopt;
  Slice slice{Shape(data.size(), 0), data, std::vector<std::int64_t>(data.size(), 1)};
  slice.starts[axis] = steps->first;
  slice.extents[axis] = count;
  slice.steps[axis] = steps->step;
  const Shape sliced = slice.extents;
  const ValueId part = pass.add(std::move(slice), {node.inputs[0]}, node.origin);
  return sliced == shape ? part : pass.add(Reshape{shape}, {part}, node.origin);
}

}  // namespace

int slice_gathers(Graph& graph, Log& log) {
  const int count = sweep(graph, rule);
  if (count > 0) log.push_back("slice_gathers: " + std::to_string(count) + " nodes");
  return count;
}

}  // namespace kiln::graph::rewrite
