// Operators that make constants, or ask for shapes.
#include <algorithm>
#include <cmath>
#include <cstring>

#include "agents/graph/onnx/lowering.h"

namespace kiln::graph::onnx {
namespace {

using Outputs = std::vector<ValueId>;

ValueId add_ints(const Call& call, const std::vector<std::int64_t>& values, Shape shape) {
  Tensor tensor = Tensor::zeros({DType::i64, std::move(shape)});
  if (!values.empty()) std::memcpy(tensor.bytes.data(), values.data(), tensor.bytes.size());
  return call.state.graph.add_constant("c" + std::to_string(call.state.graph.values.size()), std::move(tensor));
}

ValueId add_loaded(const Call& call, const ::onnx::TensorProto& proto) {
  Loaded loaded = load_tensor(proto, call.state.model, *call.state.external);
  const ValueId id = call.state.graph.add_value(call.node.output(0), loaded.type);
  call.state.graph.constants.back() = std::move(loaded.constant);
  return id;
}

ValueId add_floats(const Call& call, const std::vector<float>& values, Shape shape) {
  Tensor tensor = Tensor::zeros({DType::f32, std::move(shape)});
  if (!values.empty()) std::memcpy(tensor.bytes.data(), values.data(), tensor.bytes.size());
  return call.state.graph.add_constant("c" + std::to_string(call.state.graph.values.size()), std::move(tensor));
}

Outputs constant(const Call& call) {
  using Attribute = ::onnx::AttributeProto;
  if (call.node.attribute_size() != 1) malformed("a constant needs exactly one attribute");
  const Attribute& value = call.node.attribute(0);
  if (value.name() == "value" && value.type() == Attribute::TENSOR) return {add_loaded(call, value.t())};
  if (value.name() == "value_int" && value.type() == Attribute::INT) return {add_ints(call, {value.i()}, {})};
  if (value.name() == "value_float" && value.type() == Attribute::FLOAT) return {add_floats(call, {value.f()}, {})};
  if (value.name() == "value_ints" && value.type() == Attribute::INTS)
    return {add_ints(call, {value.ints().begin(), value.ints().end()}, {value.ints_size()})};
  if (value.name() == "value_floats" && value.type() == Attribute::FLOATS)
    return {add_floats(call, {value.floats().begin(), value.floats().end()}, {value.floats_size()})};
  refuse("its attribute '" + value.name() + "' is no tensor of numbers");
}

Outputs constant_of_shape(const Call& call) {
  const Shape shape = call.constant_ints(0);
  ValueId value = -1;
  if (const auto* given = call.attribute("value", ::onnx::AttributeProto::TENSOR)) {
    value = add_loaded(call, given->t());
    if (element_count(call.type(value).shape) != 1) malformed("its value is not one element");
    value = call.reshape(value, {});
  } else {
    value = call.scalar(0, DType::f32);
  }
  return {call.expand(value, shape)};
}

Outputs shape(const Call& call) {
  const Shape& extents = call.type(call.in(0)).shape;
  const auto rank = static_cast<std::int64_t>(extents.size());
  const auto bound = [&](std::int64_t value) {
    return std::clamp<std::int64_t>(value < 0 ? value + rank : value, 0, rank);
  };
  const std::int64_t begin = bound(call.get_int("start", 0));
  const std::int64_t end = std::max(begin, bound(call.get_int("end", rank)));
  const std::vector<std::int64_t> part(extents.begin() + begin, extents.begin() + end);
  return {add_ints(call, part, {end - begin})};
}

Outputs size(const Call& call) { return {add_ints(call, {element_count(call.type(call.in(0)).shape)}, {})}; }

Outputs range(const Call& call) {
  const double start = call.constant_scalar(0), limit = call.constant_scalar(1), delta = call.constant_scalar(2);
  const double steps = std::ceil((limit - start) / delta);
  if (delta == 0 || std::isnan(steps)) malformed("its delta is zero or no number");
  if (steps > static_cast<double>(kMadeElements)) refuse("it has more than 2^24 elements");
  const DType type = call.type(call.in(0)).dtype;
  Tensor tensor = Tensor::zeros({type, {std::max<std::int64_t>(0, static_cast<std::int64_t>(steps))}});
  for (std::int64_t i = 0; i < tensor.count(); ++i)
    store_double(type, tensor.bytes.data(), i, start + static_cast<double>(i) * delta);
  return {call.state.graph.add_constant("c" + std::to_string(call.state.graph.values.size()), std::move(tensor))};
}

Outputs trilu(const Call& call) {
  const ValueId x = call.in(0);
  const Shape& extents = call.type(x).shape;
  if (extents.size() < 2) malformed("its input has fewer than two dimensions");
  const std::int64_t rows = extents[extents.size() - 2], columns = extents.back();
  const double k = call.has(1) ? call.constant_scalar(1) : 0;
  const bool upper = call.get_int("upper", 1) != 0;
  if (element_count({rows, columns}) > kMadeElements) refuse("its mask has more than 2^24 elements");
  Tensor mask = Tensor::zeros({DType::boolean, {rows, columns}});
  for (std::int64_t i = 0; i < rows; ++i)
    for (std::int64_t j = 0; j < columns; ++j) {
      const double above = static_cast<double>(j - i) - k;
      mask.bytes[static_cast<std::size_t>(i * columns + j)] = std::byte{upper ? above >= 0 : above <= 0};
    }
  const ValueId keep =
      call.state.graph.add_constant("c" + std::to_string(call.state.graph.values.size()), std::move(mask));
  return {call.apply(ExprOp::select, keep, x, call.scalar(0, call.type(x).dtype))};
}

// The inference form: nothing is dropped, and the mask is all true.
Outputs dropout(const Call& call) {
  const ValueId x = call.in(0);
  if (call.state.opset < 7 && call.get_int("is_test", 0) == 0) refuse("it is in training mode (is_test = 0)");
  if (call.state.opset >= 12 && call.has(2) && call.constant_scalar(2) != 0) refuse("it is in training mode");
  if (call.node.output_size() < 2 || call.node.output(1).empty()) return {x};
  const ValueId yes = call.scalar(1, call.state.opset >= 10 ? DType::boolean : call.type(x).dtype);
  return {x, call.expand(yes, call.type(x).shape)};
}

}  // namespace

std::vector<OperatorRow> tensor_operators() {
  return {{"Constant", constant}, {"ConstantOfShape", constant_of_shape},
          {"Shape", shape},       {"Size", size},
          {"Range", range},       {"Trilu", trilu},
          {"Dropout", dropout}};
}

}  // namespace kiln::graph::onnx
