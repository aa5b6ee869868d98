#include "agents/graph/graph.h"

#include <array>
#include <mutex>
#include <unordered_set>

#include "runtime/base/digest.h"
#include "runtime/base/error.h"

namespace kiln::graph {
namespace {

// In the order of Op.
constexpr std::array<std::string_view, std::variant_size_v<Op>> kKinds = {
    "pointwise", "reduce", "softmax", "layer_norm", "matmul", "attention", "gather", "reshape", "transpose", "slice",
    "concat", "expand", "convolution", "window", "pad", "scan", "arg", "topk", "scatter", "recurrent"};

[[noreturn]] void fail(const Graph& graph, const std::string& cause) {
  throw Error(ErrorCode::invalid_input, "cannot use the graph '" + graph.name + "': " + cause);
}

std::vector<TensorType> types_of(const Graph& graph, const std::vector<ValueId>& ids) {
  std::vector<TensorType> types;
  types.reserve(ids.size());
  for (const ValueId id : ids) types.push_back(graph.type(id));
  return types;
}

std::vector<TensorType> infer_named(const Op& op, const std::vector<TensorType>& inputs, const std::string& origin) {
  try {
    return infer_types(op, inputs);
  } catch (const Error& error) {
    throw Error(error.code(), "cannot add the " + std::string(kind_name(op)) + " node " + origin + ": " + error.what(),
                error.remedy());
  }
}

bool known(const Graph& graph, ValueId id) { return id >= 0 && static_cast<std::size_t>(id) < graph.values.size(); }

void check_names(const Graph& graph, const std::vector<ValueId>& ids, const std::string& what) {
  std::unordered_set<std::string> names;
  for (const ValueId id : ids) {
    if (!known(graph, id)) fail(graph, "an " + what + " names no value");
    const std::string& text = graph.values[static_cast<std::size_t>(id)].name;
    if (!names.insert(text).second) fail(graph, "two " + what + "s are named '" + text + "'");
  }
}

void check_constant(const Graph& graph, std::size_t id) {
  const TensorType& type = graph.values[id].type;
  const auto bytes = static_cast<std::size_t>(element_count(type.shape)) * size_of(type.dtype);
  if (graph.constants[id]->bytes.size() != bytes)
    fail(graph, "the constant '" + graph.values[id].name + "' has " +
                    std::to_string(graph.constants[id]->bytes.size()) + " bytes where its type has " +
                    std::to_string(bytes));
}

void check_node(const Graph& graph, const Node& node, std::vector<bool>& defined) {
  for (const ValueId id : node.inputs)
    if (!known(graph, id) || !defined[static_cast<std::size_t>(id)])
      fail(graph, "node " + node.origin + " reads a value before it is made");
  const std::vector<TensorType> types = infer_named(node.op, types_of(graph, node.inputs), node.origin);
  if (types.size() != node.outputs.size())
    fail(graph, "node " + node.origin + " has another number of outputs than its kind");
  for (std::size_t i = 0; i < types.size(); ++i) {
    const ValueId id = node.outputs[i];
    if (!known(graph, id) || defined[static_cast<std::size_t>(id)])
      fail(graph, "node " + node.origin + " makes a value that has another source");
    if (graph.type(id) != types[i]) fail(graph, "node " + node.origin + " declares another type than it makes");
    defined[static_cast<std::size_t>(id)] = true;
  }
}

}  // namespace

std::string_view kind_name(const Op& op) { return kKinds[op.index()]; }

bool is_view(const Op& op) {
  return std::holds_alternative<Reshape>(op) || std::holds_alternative<Transpose>(op) ||
         std::holds_alternative<Slice>(op) || std::holds_alternative<Expand>(op);
}

ValueId Graph::add_value(std::string value_name, TensorType type) {
  values.push_back({std::move(value_name), std::move(type)});
  constants.emplace_back();
  return static_cast<ValueId>(values.size() - 1);
}

struct Constant::Digest {
  std::once_flag once;
  std::string hex;
};

Constant::Constant(std::shared_ptr<const void> from, std::span<const std::byte> window)
    : owner(std::move(from)), bytes(window), digest_(std::make_shared<Digest>()) {}

const std::string& Constant::digest() const {
  std::call_once(digest_->once, [&] { digest_->hex = sha256_hex(bytes); });
  return digest_->hex;
}

ValueId Graph::add_input(std::string value_name, TensorType type) {
  inputs.push_back(add_value(std::move(value_name), std::move(type)));
  return inputs.back();
}

ValueId Graph::add_constant(std::string value_name, Tensor tensor) {
  const ValueId id = add_value(std::move(value_name), std::move(tensor.type));
  const auto bytes = std::make_shared<const std::vector<std::byte>>(std::move(tensor.bytes));
  constants.back() = Constant{bytes, {bytes->data(), bytes->size()}};
  return id;
}

std::vector<ValueId> Graph::add_node(Op op, std::vector<ValueId> node_inputs, std::string origin) {
  std::vector<TensorType> types = infer_named(op, types_of(*this, node_inputs), origin);
  std::vector<ValueId> outputs_made;
  for (TensorType& type : types)
    outputs_made.push_back(add_value("v" + std::to_string(values.size()), std::move(type)));
  nodes.push_back({std::move(op), std::move(node_inputs), outputs_made, std::move(origin)});
  return outputs_made;
}

void validate(const Graph& graph) {
  if (graph.constants.size() != graph.values.size()) fail(graph, "its constants are not parallel to its values");
  check_names(graph, graph.inputs, "input");
  check_names(graph, graph.outputs, "output");
  std::vector<bool> defined(graph.values.size(), false);
  for (std::size_t i = 0; i < graph.values.size(); ++i) {
    (void)element_count(graph.values[i].type.shape);
    if (!graph.constants[i]) continue;
    check_constant(graph, i);
    defined[i] = true;
  }
  for (const ValueId id : graph.inputs) {
    if (defined[static_cast<std::size_t>(id)]) fail(graph, "an input is also a constant");
    defined[static_cast<std::size_t>(id)] = true;
  }
  for (const Node& node : graph.nodes) check_node(graph, node, defined);
  for (const ValueId id : graph.outputs)
    if (!defined[static_cast<std::size_t>(id)])
      fail(graph, "the output '" + graph.values[static_cast<std::size_t>(id)].name + "' is never made");
}

}  // namespace kiln::graph
