// Elementwise operators.
#include <algorithm>
#include <cmath>
#include <limits>

#include "agents/graph/onnx/lowering.h"

namespace kiln::graph::onnx {
namespace {

using Outputs = std::vector<ValueId>;

template <ExprOp op>
Outputs unary(const Call& call) { return {call.apply(op, call.in(0))}; }

// The right operand. Before operator set 7 it broadcast by attributes, from dimension `axis` of the left one on.
ValueId right(const Call& call) {
  const ValueId b = call.in(1);
  const Shape& whole = call.type(call.in(0)).shape;
  if (call.state.opset >= 7 || call.get_int("broadcast", 0) == 0) return b;
  Shape shape = call.type(b).shape;
  const std::int64_t last = static_cast<std::int64_t>(whole.size()) - static_cast<std::int64_t>(shape.size());
  const std::int64_t axis = call.get_int("axis", last);
  if (axis < 0 || axis > last) malformed("its axis leaves no room for its second input");
  shape.insert(shape.end(), static_cast<std::size_t>(last - axis), 1);
  return call.reshape(b, shape);
}

template <ExprOp op>
Outputs binary(const Call& call) { return {call.apply(op, call.in(0), right(call))}; }

template <ExprOp op>
Outputs swapped(const Call& call) { return {call.apply(op, right(call), call.in(0))}; }

template <ExprOp op>
Outputs variadic(const Call& call) {
  ValueId out = call.in(0);
  for (std::size_t i = 1; i < call.inputs.size(); ++i) out = call.apply(op, out, call.in(i));
  return {out};
}

Outputs mean(const Call& call) {
  const ValueId sum = variadic<ExprOp::add>(call)[0];
  return {call.apply(ExprOp::div, sum, call.scalar(static_cast<double>(call.inputs.size()), call.type(sum).dtype))};
}

// The result has the base's type, whatever the exponent's.
Outputs pow(const Call& call) {
  const ValueId base = call.in(0), exponent = right(call);
  const DType type = call.type(base).dtype, other = call.type(exponent).dtype;
  if (type == other) return {call.apply(ExprOp::pow, base, exponent)};
  if (is_float(type)) return {call.apply(ExprOp::pow, base, call.cast(exponent, type))};
  const DType wide = is_float(other) ? DType::f64 : DType::i64;
  return {call.cast(call.apply(ExprOp::pow, call.cast(base, wide), call.cast(exponent, wide)), type)};
}

Outputs mod(const Call& call) {
  return call.get_int("fmod", 0) != 0 ? binary<ExprOp::fmod>(call) : binary<ExprOp::mod>(call);
}

Outputs bit_shift(const Call& call) {
  const std::string direction = call.get_text("direction", "");
  if (direction == "LEFT") return binary<ExprOp::shift_left>(call);
  if (direction == "RIGHT") return binary<ExprOp::shift_right>(call);
  malformed("its direction is neither LEFT nor RIGHT");
}

Outputs is_inf(const Call& call) {
  const ValueId x = call.in(0);
  const double infinity = std::numeric_limits<double>::infinity();
  const bool positive = call.get_int("detect_positive", 1) != 0, negative = call.get_int("detect_negative", 1) != 0;
  const ValueId above = call.apply(ExprOp::equal, x, call.scalar(positive ? infinity : -infinity, call.type(x).dtype));
  if (positive != negative) return {above};
  if (positive)
    return {call.apply(ExprOp::equal, call.apply(ExprOp::abs, x), call.scalar(infinity, call.type(x).dtype))};
  return {call.apply(ExprOp::logical_and, above, call.scalar(0, DType::boolean))};
}

Outputs is_nan(const Call& call) {
  return {call.apply(ExprOp::logical_not, call.apply(ExprOp::equal, call.in(0), call.in(0)))};
}

// max before min, so that an empty interval gives its upper end, as the specification says.
Outputs clip(const Call& call) {
  ValueId x = call.in(0);
  const DType type = call.type(x).dtype;
  if (call.state.opset < 11) {
    const auto largest = static_cast<double>(std::numeric_limits<float>::max());
    x = call.apply(ExprOp::max, x, call.scalar(call.get_float("min", -largest), type));
    return {call.apply(ExprOp::min, x, call.scalar(call.get_float("max", largest), type))};
  }
  if (call.has(1)) x = call.apply(ExprOp::max, x, call.in(1));
  if (call.has(2)) x = call.apply(ExprOp::min, x, call.in(2));
  return {x};
}

Outputs cast(const Call& call) {
  const DType to = dtype_of(static_cast<int>(std::clamp<std::int64_t>(call.get_int("to", 0), 0, INT32_MAX)));
  if (is_float8(to) && call.get_int("saturate", 1) == 0) refuse("it casts to an 8-bit float without saturation");
  return {call.cast(call.in(0), to)};
}

Outputs cast_like(const Call& call) { return {call.cast(call.in(0), call.type(call.in(1)).dtype)}; }

Outputs where(const Call& call) { return {call.apply(ExprOp::select, call.in(0), call.in(1), call.in(2))}; }

}  // namespace

std::vector<OperatorRow> math_operators() {
  return {{"Sqrt", unary<ExprOp::sqrt>},
          {"Erf", unary<ExprOp::erf>},
          {"Exp", unary<ExprOp::exp>},
          {"Log", unary<ExprOp::log>},
          {"Neg", unary<ExprOp::neg>},
          {"Abs", unary<ExprOp::abs>},
          {"Sign", unary<ExprOp::sign>},
          {"Reciprocal", unary<ExprOp::reciprocal>},
          {"Tanh", unary<ExprOp::tanh>},
          {"Sigmoid", unary<ExprOp::sigmoid>},
          {"Sin", unary<ExprOp::sin>},
          {"Cos", unary<ExprOp::cos>},
          {"Floor", unary<ExprOp::floor>},
          {"Ceil", unary<ExprOp::ceil>},
          {"Round", unary<ExprOp::round>},
          {"Not", unary<ExprOp::logical_not>},
          {"Add", binary<ExprOp::add>},
          {"Sub", binary<ExprOp::sub>},
          {"Mul", binary<ExprOp::mul>},
          {"Div", binary<ExprOp::div>},
          {"Pow", pow},
          {"Mod", mod},
          {"Equal", binary<ExprOp::equal>},
          {"Less", binary<ExprOp::less>},
          {"LessOrEqual", binary<ExprOp::less_equal>},
          {"Greater", swapped<ExprOp::less>},
          {"GreaterOrEqual", swapped<ExprOp::less_equal>},
          {"And", binary<ExprOp::logical_and>},
          {"Or", binary<ExprOp::logical_or>},
          {"Xor", binary<ExprOp::logical_xor>},
          {"Min", variadic<ExprOp::min>},
          {"Max", variadic<ExprOp::max>},
          {"Sum", variadic<ExprOp::add>},
          {"Mean", mean},
          {"IsNaN", is_nan},
          {"IsInf", is_inf},
          {"BitShift", bit_shift},
          {"BitwiseAnd", binary<ExprOp::bit_and>},
          {"BitwiseOr", binary<ExprOp::bit_or>},
          {"BitwiseXor", binary<ExprOp::bit_xor>},
          {"BitwiseNot", unary<ExprOp::bit_not>},
          {"Tan", unary<ExprOp::tan>},
          {"Asin", unary<ExprOp::asin>},
          {"Acos", unary<ExprOp::acos>},
          {"Atan", unary<ExprOp::atan>},
          {"Sinh", unary<ExprOp::sinh>},
          {"Cosh", unary<ExprOp::cosh>},
          {"Asinh", unary<ExprOp::asinh>},
          {"Acosh", unary<ExprOp::acosh>},
          {"Atanh", unary<ExprOp::atanh>},
          {"Clip", clip},
          {"Cast", cast},
          {"CastLike", cast_like},
          {"Where", where}};
}

}  // namespace kiln::graph::onnx
