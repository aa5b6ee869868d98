#include "agents/graph/onnx/lowering.h"

#include <algorithm>

#include "agents/graph/rewrite/fold_constants.h"
#include "runtime/base/error.h"

namespace kiln::graph::onnx {

void refuse(const std::string& cause) { throw Error(ErrorCode::unsupported, cause); }
void malformed(const std::string& cause) { throw Error(ErrorCode::invalid_input, cause); }

std::vector<ValueId> Lowering::add_all(Op op, std::vector<ValueId> inputs, const std::string& origin) {
  const std::vector<ValueId> made = graph.add_node(std::move(op), std::move(inputs), origin);
  const std::int64_t bytes = rewrite::fold_last_node(graph, fold_budget_bytes);
  if (bytes >= 0) {
    fold_budget_bytes -= bytes;
    ++folded;
  }
  return made;
}

ValueId Call::in(std::size_t i) const {
  if (!has(i)) malformed("its input " + std::to_string(i) + " is missing");
  return inputs[i];
}

std::int32_t Call::axis(std::int64_t value, std::size_t rank) const {
  const auto limit = static_cast<std::int64_t>(rank);
  if (value < -limit || value >= limit)
    malformed("axis " + std::to_string(value) + " is outside a rank of " + std::to_string(rank));
  return static_cast<std::int32_t>(value < 0 ? value + limit : value);
}

ValueId Call::apply(ExprOp op, ValueId a, ValueId b, ValueId c) const {
  Expr expr;
  std::vector<ValueId> operands;
  std::array<std::int32_t, 3> args = {-1, -1, -1};
  const std::array<ValueId, 3> given = {a, b, c};
  for (std::size_t i = 0; i < 3; ++i) {
    if (given[i] < 0) continue;
    args[i] = expr.operand(static_cast<std::int32_t>(operands.size()), type(given[i]).dtype);
    operands.push_back(given[i]);
  }
  expr.results = {expr.apply(op, args[0], args[1], args[2])};
  return add(Pointwise{std::move(expr)}, std::move(operands));
}

ValueId Call::cast(ValueId a, DType to) const {
  if (type(a).dtype == to) return a;
  Expr expr;
  expr.results = {expr.cast(expr.operand(0, type(a).dtype), to)};
  return add(Pointwise{std::move(expr)}, {a});
}

ValueId Call::scalar(double value, DType dtype) const {
  Tensor tensor = Tensor::zeros({dtype, {}});
  store_double(dtype, tensor.bytes.data(), 0, value);
  return state.graph.add_constant("c" + std::to_string(state.graph.values.size()), std::move(tensor));
}

ValueId Call::constant(Tensor tensor) const {
  state.made_budget_bytes -= static_cast<std::int64_t>(tensor.bytes.size());
  if (state.made_budget_bytes < 0) refuse("the model's operators make more than 1 GiB of tables");
  return state.graph.add_constant("c" + std::to_string(state.graph.values.size()), std::move(tensor));
}

ValueId Call::ints(const std::vector<std::int64_t>& values, Shape shape) const {
  Tensor tensor = Tensor::zeros({DType::i64, std::move(shape)});
  std::copy(values.begin(), values.end(), tensor.as<std::int64_t>().begin());
  return constant(std::move(tensor));
}

ValueId Call::count_along(std::int64_t count, std::size_t axis, std::size_t rank, std::int64_t step) const {
  if (count > kMadeElements) refuse("one of its tables has more than 2^24 elements");
  std::vector<std::int64_t> values(static_cast<std::size_t>(count));
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = static_cast<std::int64_t>(i) * step;
  Shape shape(rank, 1);
  shape[axis] = count;
  return ints(values, std::move(shape));
}

ValueId Call::zeros(TensorType wanted) const { return expand(scalar(0, wanted.dtype), std::move(wanted.shape)); }

ValueId Call::reduce(Monoid monoid, ValueId a, std::vector<std::int32_t> axes, bool keep_dims) const {
  if (axes.empty()) return a;
  return add(Reduce{monoid, std::move(axes), keep_dims}, {a});
}

ValueId Call::expand(ValueId a, Shape shape) const {
  if (type(a).shape == shape) return a;
  return add(Expand{std::move(shape)}, {a});
}

ValueId Call::per_channel(ValueId a, std::size_t rank) const {
  Shape shape(rank - 1, 1);
  shape[0] = element_count(type(a).shape);
  return reshape(a, shape);
}

ValueId Call::reshape(ValueId a, Shape shape) const {
  if (type(a).shape == shape) return a;
  return add(Reshape{std::move(shape)}, {a});
}

ValueId Call::transpose(ValueId a, std::vector<std::int32_t> permutation) const {
  bool identity = permutation.size() == type(a).shape.size();
  for (std::size_t i = 0; i < permutation.size(); ++i)
    identity = identity && permutation[i] == static_cast<std::int32_t>(i);
  if (identity) return a;
  return add(Transpose{std::move(permutation)}, {a});
}

const ::onnx::AttributeProto* Call::attribute(std::string_view name,
                                              ::onnx::AttributeProto::AttributeType wanted) const {
  for (const auto& item : node.attribute()) {
    if (item.name() != name) continue;
    if (item.type() != wanted)
      malformed("its attribute '" + std::string(name) + "' has another type than its operator says");
    return &item;
  }
  return nullptr;
}

std::int64_t Call::get_int(std::string_view name, std::int64_t otherwise) const {
  const auto* item = attribute(name, ::onnx::AttributeProto::INT);
  return item != nullptr ? item->i() : otherwise;
}

double Call::get_float(std::string_view name, double otherwise) const {
  const auto* item = attribute(name, ::onnx::AttributeProto::FLOAT);
  return item != nullptr ? static_cast<double>(item->f()) : otherwise;
}

std::string Call::get_text(std::string_view name, const std::string& otherwise) const {
  const auto* item = attribute(name, ::onnx::AttributeProto::STRING);
  return item != nullptr ? item->s() : otherwise;
}

std::optional<std::vector<std::int64_t>> Call::get_ints(std::string_view name) const {
  const auto* item = attribute(name, ::onnx::AttributeProto::INTS);
  if (item == nullptr) return std::nullopt;
  return std::vector<std::int64_t>(item->ints().begin(), item->ints().end());
}

std::vector<double> Call::get_floats(std::string_view name) const {
  const auto* item = attribute(name, ::onnx::AttributeProto::FLOATS);
  return item == nullptr ? std::vector<double>{} : std::vector<double>(item->floats().begin(), item->floats().end());
}

std::vector<std::string> Call::get_texts(std::string_view name) const {
  const auto* item = attribute(name, ::onnx::AttributeProto::STRINGS);
  return item == nullptr ? std::vector<std::string>{}
                         : std::vector<std::string>(item->strings().begin(), item->strings().end());
}

std::vector<std::int64_t> Call::constant_ints(std::size_t i) const {
  const ValueId id = in(i);
  if (!state.graph.is_constant(id))
    refuse("its input " + std::to_string(i) + " depends on the model's inputs, and shapes are static here");
  const TensorType& t = type(id);
  if (t.dtype != DType::i64 && t.dtype != DType::i32)
    malformed("its input " + std::to_string(i) + " is not made of i64 or i32");
  if (t.shape.size() > 1) malformed("its input " + std::to_string(i) + " has more than one dimension");
  const auto bytes = state.graph.constants[static_cast<std::size_t>(id)]->bytes;
  std::vector<std::int64_t> out(static_cast<std::size_t>(element_count(t.shape)));
  for (std::size_t e = 0; e < out.size(); ++e) {
    std::int64_t wide = 0;
    std::int32_t narrow = 0;
    if (t.dtype == DType::i64) {
      std::copy_n(bytes.begin() + static_cast<std::ptrdiff_t>(e * 8), 8, reinterpret_cast<std::byte*>(&wide));
    } else {
      std::copy_n(bytes.begin() + static_cast<std::ptrdiff_t>(e * 4), 4, reinterpret_cast<std::byte*>(&narrow));
      wide = narrow;
    }
    out[e] = wide;
  }
  return out;
}

double Call::constant_scalar(std::size_t i) const {
  const ValueId id = in(i);
  if (!state.graph.is_constant(id))
    refuse("its input " + std::to_string(i) + " depends on the model's inputs, and must be constant here");
  if (element_count(type(id).shape) != 1) malformed("its input " + std::to_string(i) + " is not one value");
  return load_double(type(id).dtype, state.graph.constants[static_cast<std::size_t>(id)]->bytes.data(), 0);
}

std::vector<double> Call::constant_doubles(std::size_t i) const {
  const ValueId id = in(i);
  if (!state.graph.is_constant(id))
    refuse("its input " + std::to_string(i) + " depends on the model's inputs, and shapes are static here");
  std::vector<double> out(static_cast<std::size_t>(element_count(type(id).shape)));
  const std::byte* bytes = state.graph.constants[static_cast<std::size_t>(id)]->bytes.data();
  for (std::size_t e = 0; e < out.size(); ++e)
    out[e] = load_double(type(id).dtype, bytes, static_cast<std::int64_t>(e));
  return out;
}

std::int64_t Call::constant_integer(std::size_t i) const {
  const double value = constant_scalar(i);
  if (!(value > -0x1p53 && value < 0x1p53)) malformed("its input " + std::to_string(i) + " is no integer in range");
  return static_cast<std::int64_t>(value);
}

std::optional<std::vector<std::int64_t>> Call::ints_by_opset(std::string_view name, std::int64_t since,
                                                             std::size_t i) const {
  if (state.opset < since) return get_ints(name);
  return has(i) ? std::optional(constant_ints(i)) : std::nullopt;
}

}  // namespace kiln::graph::onnx
