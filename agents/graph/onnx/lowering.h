// The state of one import, and what the lowering of one node sees. Private to agents/graph/onnx.
#pragma once

#include <onnx/onnx_pb.h>

#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "agents/graph/graph.h"
#include "agents/graph/onnx/parse.h"

namespace kiln::graph::onnx {

struct Lowering {
  Graph graph;
  ModelRef model;
  const ExternalDataSource* external = nullptr;
  std::int64_t opset = 0;
  std::unordered_map<std::string, ValueId> names;
  std::int64_t fold_budget_bytes = std::int64_t(8) << 30;  // bytes that folding may still produce: bounds its time
  std::int64_t folded = 0;

  // Appends a node, or evaluates it now when all of its inputs are constants and the result is small.
  std::vector<ValueId> add_all(Op op, std::vector<ValueId> inputs, const std::string& origin);
};

// One ONNX node with its inputs resolved; an absent optional input is -1.
struct Call {
  Lowering& state;
  const ::onnx::NodeProto& node;
  std::vector<ValueId> inputs;
  std::string origin;

  [[nodiscard]] bool has(std::size_t i) const { return i < inputs.size() && inputs[i] >= 0; }
  [[nodiscard]] ValueId in(std::size_t i) const;  // throws when absent
  [[nodiscard]] const TensorType& type(ValueId id) const { return state.graph.type(id); }
  [[nodiscard]] std::int32_t axis(std::int64_t value, std::size_t rank) const;  // negative counts from the end

  ValueId add(Op op, std::vector<ValueId> node_inputs) const { return state.add_all(std::move(op), std::move(node_inputs), origin)[0]; }
  // One expression operation over broadcast operands of equal type.
  ValueId apply(ExprOp op, ValueId a, ValueId b = -1, ValueId c = -1) const;
  ValueId cast(ValueId a, DType to) const;
  ValueId scalar(double value, DType type) const;
  ValueId reshape(ValueId a, Shape shape) const;
  ValueId transpose(ValueId a, std::vector<std::int32_t> permutation) const;

  [[nodiscard]] const ::onnx::AttributeProto* attribute(std::string_view name, ::onnx::AttributeProto::AttributeType type) const;
  [[nodiscard]] std::int64_t get_int(std::string_view name, std::int64_t otherwise) const;
  [[nodiscard]] double get_float(std::string_view name, double otherwise) const;
  [[nodiscard]] std::string get_text(std::string_view name, const std::string& otherwise) const;
  [[nodiscard]] std::optional<std::vector<std::int64_t>> get_ints(std::string_view name) const;

  // The values of a constant input; Error(unsupported) when it depends on the model's inputs.
  [[nodiscard]] std::vector<std::int64_t> constant_ints(std::size_t i) const;
  [[nodiscard]] double constant_scalar(std::size_t i) const;
  // Axes as attribute before operator set `since`, as input `i` from there on.
  [[nodiscard]] std::optional<std::vector<std::int64_t>> ints_by_opset(std::string_view name, std::int64_t since, std::size_t i) const;
};

[[noreturn]] void refuse(const std::string& cause);     // Error(unsupported)
[[noreturn]] void malformed(const std::string& cause);  // Error(invalid_input)

using LowerFunction = std::vector<ValueId> (*)(const Call&);
// nullptr when the operator is unknown.
[[nodiscard]] LowerFunction find_operator(const std::string& domain, const std::string& type);

// Each gives the rows of the registry for one family of operators.
struct OperatorRow {
  const char* type;
  LowerFunction lower;
};
[[nodiscard]] std::vector<OperatorRow> math_operators();
[[nodiscard]] std::vector<OperatorRow> activation_operators();
[[nodiscard]] std::vector<OperatorRow> shape_operators();
[[nodiscard]] std::vector<OperatorRow> tensor_operators();
[[nodiscard]] std::vector<OperatorRow> reduce_operators();
[[nodiscard]] std::vector<OperatorRow> product_operators();

}  // namespace kiln::graph::onnx
