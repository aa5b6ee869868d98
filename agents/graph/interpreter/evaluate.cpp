// The oracle runs one node after another. Nothing here is shared with a kernel template: slow where plain is clearer.
#include <algorithm>

#include "agents/graph/interpreter/array.h"
#include "runtime/base/error.h"

namespace kiln::graph {
namespace {

using namespace interpreter;

[[noreturn]] void fail(const Graph& graph, const std::string& cause) {
  throw Error(ErrorCode::invalid_input, "cannot evaluate the graph '" + graph.name + "': " + cause);
}

void check_inputs(const Graph& graph, const std::vector<Tensor>& inputs) {
  if (inputs.size() != graph.inputs.size())
    fail(graph, "it takes " + std::to_string(graph.inputs.size()) + " inputs, not " + std::to_string(inputs.size()));
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    const Value& value = graph.values[static_cast<std::size_t>(graph.inputs[i])];
    const bool whole =
        inputs[i].bytes.size() == static_cast<std::size_t>(inputs[i].count()) * size_of(inputs[i].type.dtype);
    if (inputs[i].type != value.type || !whole)
      fail(graph, "input '" + value.name + "' needs " + std::string(name(value.type.dtype)) + " " +
                      to_string(value.type.shape) + ", not " + std::string(name(inputs[i].type.dtype)) + " " +
                      to_string(inputs[i].type.shape));
  }
}

// How many nodes, and outputs, still read each value; at zero its memory is freed.
std::vector<int> count_uses(const Graph& graph) {
  std::vector<int> uses(graph.values.size(), 0);
  for (const Node& node : graph.nodes)
    for (const ValueId id : node.inputs) ++uses[static_cast<std::size_t>(id)];
  for (const ValueId id : graph.outputs) ++uses[static_cast<std::size_t>(id)];
  return uses;
}

class Run {
 public:
  Run(const Graph& graph, const Context& context)
      : graph_(graph), context_(context), values_(graph.values.size()), uses_(count_uses(graph)) {}

  void set(ValueId id, Array array) { values_[index(id)] = std::make_shared<const Array>(std::move(array)); }

  void step(const Node& node) {
    Inputs inputs;
    for (const ValueId id : node.inputs) inputs.push_back(read(id));
    try {
      std::vector<Array> results = evaluate(node, inputs);
      for (std::size_t i = 0; i < results.size(); ++i) set(node.outputs[i], std::move(results[i]));
    } catch (const Error& error) {
      throw Error(error.code(), "cannot evaluate node " + node.origin + ": " + error.what());
    }
    for (const ValueId id : node.inputs)
      if (--uses_[index(id)] == 0) values_[index(id)].reset();
    for (const ValueId id : node.outputs)
      if (uses_[index(id)] == 0) values_[index(id)].reset();
  }

  [[nodiscard]] Tensor result(ValueId id) { return to_tensor(*read(id)); }

 private:
  static std::size_t index(ValueId id) { return static_cast<std::size_t>(id); }

  // Constants are widened when first read, so that unused ones cost nothing.
  ArrayRef read(ValueId id) {
    if (!values_[index(id)])
      set(id, from_bytes(graph_.type(id), graph_.constants[index(id)]->bytes.data(), context_.arithmetic));
    return values_[index(id)];
  }

  // A kind has either one output, or several that it makes together.
  std::vector<Array> evaluate(const Node& node, const Inputs& inputs) {
    std::vector<TensorType> types;
    for (const ValueId id : node.outputs) types.push_back(graph_.type(id));
    return std::visit(
        [&](const auto& op) -> std::vector<Array> {
          if constexpr (requires { interpreter::run(op, inputs, types, context_); }) {
            return interpreter::run(op, inputs, types, context_);
          } else {
            std::vector<Array> one;
            one.push_back(interpreter::run(op, inputs, types[0], context_));
            return one;
          }
        },
        node.op);
  }

  const Graph& graph_;
  Context context_;
  std::vector<ArrayRef> values_;
  std::vector<int> uses_;
};

}  // namespace

std::vector<Tensor> evaluate(const Graph& graph, const std::vector<Tensor>& inputs, Arithmetic arithmetic,
                             int threads) {
  validate(graph);
  check_inputs(graph, inputs);
  Run run(graph, {arithmetic, std::max(threads, 1)});
  for (std::size_t i = 0; i < inputs.size(); ++i)
    run.set(graph.inputs[i], from_bytes(inputs[i].type, inputs[i].bytes.data(), arithmetic));
  for (const Node& node : graph.nodes) run.step(node);
  std::vector<Tensor> results;
  for (const ValueId id : graph.outputs) results.push_back(run.result(id));
  return results;
}

}  // namespace kiln::graph
