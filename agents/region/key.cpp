// The identity of a computation: its canonical text without names or origins, values numbered in order of appearance.
#include <map>

#include "agents/graph/serialize.h"
#include "agents/region/region.h"
#include "runtime/base/digest.h"
#include "runtime/base/json.h"

namespace kiln::agents {
namespace {

template <class Ints>
std::string list(const Ints& values) {
  std::string text = "[";
  for (const auto v : values) text += std::to_string(v) + ",";
  return text + "]";
}

std::string exact(double value) { return json::canonical(json::value(value)); }

struct Attributes {
  std::string operator()(const graph::Pointwise& op) const { return json::canonical(graph::to_json(op.expr)); }
  std::string operator()(const graph::Reduce& op) const {
    return std::to_string(static_cast<int>(op.monoid)) + list(op.axes) + (op.keep_dims ? "keep" : "drop");
  }
  std::string operator()(const graph::Softmax& op) const { return std::to_string(op.axis) + (op.log ? "log" : ""); }
  std::string operator()(const graph::LayerNorm& op) const {
    return std::to_string(op.axis) + " " + exact(op.epsilon) + (op.centred ? "" : " rms");
  }
  std::string operator()(const graph::MatMul& op) const {
    return std::string(op.transpose_a ? "t" : "n") + (op.transpose_b ? "t" : "n");
  }
  std::string operator()(const graph::Attention& op) const {
    return exact(op.scale) + (op.causal ? "causal" : "") + (op.guarded ? "guarded" : "");
  }
  std::string operator()(const graph::Gather& op) const { return std::to_string(op.axis); }
  std::string operator()(const graph::Reshape& op) const { return list(op.shape); }
  std::string operator()(const graph::Transpose& op) const { return list(op.permutation); }
  std::string operator()(const graph::Slice& op) const { return list(op.starts) + list(op.extents) + list(op.steps); }
  std::string operator()(const graph::Concat& op) const { return std::to_string(op.axis); }
  std::string operator()(const graph::Expand& op) const { return list(op.shape); }
  template <class Kind>
  std::string operator()(const Kind& op) const { return json::canonical(graph::to_json(graph::Op(op))); }
};

}  // namespace

std::string region_key(const graph::Graph& body, const std::vector<bool>& weight) {
  std::map<graph::ValueId, std::size_t> numbers;
  std::string text = "kiln-region/1\n";
  const auto declare = [&](graph::ValueId v, const std::string& as) {
    const graph::TensorType& type = body.type(v);
    const std::size_t number = numbers.size();
    numbers[v] = number;
    text += as + " " + std::to_string(number) + " " + std::string(graph::name(type.dtype)) + list(type.shape) + "\n";
  };
  for (std::size_t i = 0; i < body.inputs.size(); ++i) declare(body.inputs[i], weight[i] ? "weight" : "input");
  for (const graph::Node& node : body.nodes) {
    for (const graph::ValueId v : node.inputs)
      if (!numbers.contains(v))
        declare(v, "constant " + sha256_hex(body.constants[static_cast<std::size_t>(v)]->bytes));
    text += std::string(graph::kind_name(node.op)) + " " + std::visit(Attributes{}, node.op);
    for (const graph::ValueId v : node.inputs) text += " " + std::to_string(numbers.at(v));
    text += "\n";
    for (const graph::ValueId v : node.outputs) declare(v, "result");
  }
  for (const graph::ValueId v : body.outputs) text += "output " + std::to_string(numbers.at(v)) + "\n";
  return sha256_hex(text).substr(0, 16);
}

}  // namespace kiln::agents
