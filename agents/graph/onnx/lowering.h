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
  std::int64_t made_budget_bytes = std::int64_t(1) << 30;  // bytes of tables that operators may still make
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
  // By value: what it would refer to moves when a value is added.
  [[nodiscard]] TensorType type(ValueId id) const { return state.graph.type(id); }
  [[nodiscard]] std::int32_t axis(std::int64_t value, std::size_t rank) const;  // negative counts from the end

  // Not to be called inside a conditional expression: GCC 12 ends the operands' lives twice when it throws there.
  ValueId add(Op op, std::vector<ValueId> node_inputs) const {
    return state.add_all(std::move(op), std::move(node_inputs), origin)[0];
  }
  // One expression operation over broadcast operands of equal type.
  ValueId apply(ExprOp op, ValueId a, ValueId b = -1, ValueId c = -1) const;
  ValueId cast(ValueId a, DType to) const;
  ValueId scalar(double value, DType type) const;
  ValueId apply(ExprOp op, ValueId a, double b) const { return apply(op, a, scalar(b, type(a).dtype)); }
  ValueId constant(Tensor tensor) const;
  ValueId ints(const std::vector<std::int64_t>& values, Shape shape) const;  // i64
  // 0, step, 2 step ... along `axis` of a tensor of `rank` dimensions, so that it broadcasts.
  ValueId count_along(std::int64_t count, std::size_t axis, std::size_t rank, std::int64_t step = 1) const;
  ValueId zeros(TensorType type) const;                                      // an expanded scalar
  ValueId reduce(Monoid monoid, ValueId a, std::vector<std::int32_t> axes, bool keep_dims = true) const;
  ValueId expand(ValueId a, Shape shape) const;
  ValueId reshape(ValueId a, Shape shape) const;
  // [C] as [C, 1, ..., 1], so that it broadcasts over dimension 1 of a tensor of `rank` dimensions.
  ValueId per_channel(ValueId a, std::size_t rank) const;
  ValueId transpose(ValueId a, std::vector<std::int32_t> permutation) const;

  // Whether the model names output i.
  [[nodiscard]] bool wants(int i) const { return node.output_size() > i && !node.output(i).empty(); }
  [[nodiscard]] const ::onnx::AttributeProto* attribute(std::string_view name,
                                                        ::onnx::AttributeProto::AttributeType type) const;
  [[nodiscard]] std::int64_t get_int(std::string_view name, std::int64_t otherwise) const;
  [[nodiscard]] double get_float(std::string_view name, double otherwise) const;
  [[nodiscard]] std::string get_text(std::string_view name, const std::string& otherwise) const;
  [[nodiscard]] std::optional<std::vector<std::int64_t>> get_ints(std::string_view name) const;
  [[nodiscard]] std::vector<double> get_floats(std::string_view name) const;      // empty when absent
  [[nodiscard]] std::vector<std::string> get_texts(std::string_view name) const;  // empty when absent

  // The values of a constant input; Error(unsupported) when it depends on the model's inputs.
  [[nodiscard]] std::vector<std::int64_t> constant_ints(std::size_t i) const;
  [[nodiscard]] double constant_scalar(std::size_t i) const;
  [[nodiscard]] std::vector<double> constant_doubles(std::size_t i) const;  // of any numeric type
  [[nodiscard]] std::int64_t constant_integer(std::size_t i) const;         // one value of any numeric type
  // Axes as attribute before operator set `since`, as input `i` from there on.
  [[nodiscard]] std::optional<std::vector<std::int64_t>> ints_by_opset(std::string_view name, std::int64_t since,
                                                                       std::size_t i) const;
};

[[noreturn]] void refuse(const std::string& cause);     // Error(unsupported)
[[noreturn]] void malformed(const std::string& cause);  // Error(invalid_input)

using LowerFunction = std::vector<ValueId> (*)(const Call&);
// nullptr when the operator is unknown.
[[nodiscard]] LowerFunction find_operator(const std::string& domain, const std::string& type);

// The attributes auto_pad, strides, dilations and pads of a window of `kernel` over dimensions of `in`.
[[nodiscard]] Steps window_steps(const Call& call, const Shape& in, const Shape& kernel);
// An attribute of one entry per dimension; `otherwise` for each when it is absent.
[[nodiscard]] Shape spatial_attribute(const Call& call, std::string_view name, std::size_t dimensions,
                                      std::int64_t otherwise);
// x convolved with w, by the attributes of the call; without a bias.
[[nodiscard]] ValueId convolve(const Call& call, ValueId x, ValueId w);

// NumPy's matmul: a vector on the left is a row, on the right a column; the added dimension leaves the result again.
[[nodiscard]] ValueId matrix_product(const Call& call, ValueId a, ValueId b);

// Where the element stands that `index` [...] picks along `axis` of a tensor of `shape`, with the other dimensions as
// they are in the index: the flat position in the whole tensor. Indices below zero count from the end.
[[nodiscard]] ValueId flat_position(const Call& call, ValueId index, const Shape& shape, std::size_t axis);
// i64, those below zero counted from the end of an axis of `extent`.
[[nodiscard]] ValueId from_start(const Call& call, ValueId index, std::int64_t extent);
// One position per leading element of `index` [..., q]: the flat one in the first q dimensions of `shape`.
[[nodiscard]] ValueId tuple_position(const Call& call, ValueId index, const Shape& shape);

// round(x * factor) + zero, in the type of the zero point, saturating; ties go to the even integer.
[[nodiscard]] ValueId requantised(const Call& call, ValueId x, ValueId factor, ValueId zero);

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
[[nodiscard]] std::vector<OperatorRow> normalisation_operators();
[[nodiscard]] std::vector<OperatorRow> convolution_operators();
[[nodiscard]] std::vector<OperatorRow> pool_operators();
[[nodiscard]] std::vector<OperatorRow> order_operators();
[[nodiscard]] std::vector<OperatorRow> index_operators();
[[nodiscard]] std::vector<OperatorRow> loss_operators();
[[nodiscard]] std::vector<OperatorRow> quantise_operators();
[[nodiscard]] std::vector<OperatorRow> recurrent_operators();
[[nodiscard]] std::vector<OperatorRow> resize_operators();
[[nodiscard]] std::vector<OperatorRow> einsum_operators();
[[nodiscard]] std::vector<OperatorRow> attention_operators();
[[nodiscard]] std::vector<OperatorRow> grid_operators();
[[nodiscard]] std::vector<OperatorRow> fold_operators();

}  // namespace kiln::graph::onnx
