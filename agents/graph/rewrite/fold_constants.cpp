#include "agents/graph/rewrite/fold_constants.h"

#include <algorithm>

#include "agents/graph/interpreter.h"

namespace kiln::graph::rewrite {
namespace {

constexpr std::int64_t kFoldBytes = 16 << 20;

std::int64_t bytes_of(const TensorType& type) {
  return element_count(type.shape) * static_cast<std::int64_t>(size_of(type.dtype));
}

// What evaluation costs beyond reading and writing: the multiplications of a product.
std::int64_t work_of(const Graph& graph, const Node& node) {
  if (!std::holds_alternative<MatMul>(node.op)) return 0;
  const Shape& a = graph.type(node.inputs[0]).shape;
  const std::int64_t k = a[a.size() - (std::get<MatMul>(node.op).transpose_a ? 2 : 1)];
  return element_count(graph.type(node.outputs[0]).shape) * std::min(k, std::int64_t(1) << 20);
}

// A graph of the one node, reading the same constants.
Graph alone(const Graph& graph, const Node& node) {
  Graph out;
  out.name = node.origin;
  std::vector<ValueId> inputs;
  for (const ValueId id : node.inputs) {
    inputs.push_back(out.add_value("", graph.type(id)));
    out.constants.back() = graph.constants[static_cast<std::size_t>(id)];
  }
  out.outputs = out.add_node(node.op, inputs, node.origin);
  return out;
}

}  // namespace

std::int64_t fold_last_node(Graph& graph, std::int64_t budget_bytes) {
  const Node& node = graph.nodes.back();
  std::int64_t read = 0, made = 0;
  for (const ValueId id : node.inputs) {
    if (!graph.is_constant(id)) return -1;
    read += bytes_of(graph.type(id));
  }
  for (const ValueId id : node.outputs) made += bytes_of(graph.type(id));
  const std::int64_t work = work_of(graph, node);
  if (made > std::max(kFoldBytes, read) || made + read > budget_bytes || work > budget_bytes) return -1;
  if (std::holds_alternative<Reshape>(node.op)) {
    // The same bytes under another shape: shared, so that reshaping a weight copies nothing.
    graph.constants[static_cast<std::size_t>(node.outputs[0])] =
        graph.constants[static_cast<std::size_t>(node.inputs[0])];
    graph.nodes.pop_back();
    return 0;
  }
  std::vector<Tensor> results = evaluate(alone(graph, node), {}, Arithmetic::model);
  for (std::size_t i = 0; i < results.size(); ++i) {
    const auto bytes = std::make_shared<const std::vector<std::byte>>(std::move(results[i].bytes));
    graph.constants[static_cast<std::size_t>(node.outputs[i])] = Constant{bytes, {bytes->data(), bytes->size()}};
  }
  graph.nodes.pop_back();
  // Time goes with what is read as well as with what is made.
  return made + read + work;
}

}  // namespace kiln::graph::rewrite
