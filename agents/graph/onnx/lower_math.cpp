// Elementwise operators.
#include <cmath>
#include <limits>

#include "agents/graph/onnx/lowering.h"

namespace kiln::graph::onnx {
namespace {

using Outputs = std::vector<ValueId>;

template <ExprOp op>
Outputs unary(const Call& call) { return {call.apply(op, call.in(0))}; }

template <ExprOp op>
Outputs binary(const Call& call) { return {call.apply(op, call.in(0), call.in(1))}; }

template <ExprOp op>
Outputs swapped(const Call& call) { return {call.apply(op, call.in(1), call.in(0))}; }

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
  const ValueId base = call.in(0), exponent = call.in(1);
  const DType type = call.type(base).dtype, other = call.type(exponent).dtype;
  if (type == other) return {call.apply(ExprOp::pow, base, exponent)};
  if (is_float(type)) return {call.apply(ExprOp::pow, base, call.cast(exponent, type))};
  const DType wide = is_float(other) ? DType::f64 : DType::i64;
  return {call.cast(call.apply(ExprOp::pow, call.cast(base, wide), call.cast(exponent, wide)), type)};
}

Outputs mod(const Call& call) {
  if (call.get_int("fmod", 0) != 0) refuse("its attribute fmod asks for the C remainder");
  return binary<ExprOp::mod>(call);
}

Outputs relu(const Call& call) { return {call.apply(ExprOp::max, call.in(0), call.scalar(0, call.type(call.in(0)).dtype))}; }

Outputs leaky_relu(const Call& call) {
  const ValueId x = call.in(0);
  const DType type = call.type(x).dtype;
  const ValueId small = call.apply(ExprOp::mul, x, call.scalar(call.get_float("alpha", 0.01f), type));
  return {call.apply(ExprOp::select, call.apply(ExprOp::less, x, call.scalar(0, type)), small, x)};
}

Outputs is_nan(const Call& call) { return {call.apply(ExprOp::logical_not, call.apply(ExprOp::equal, call.in(0), call.in(0)))}; }

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

// Hendrycks and Gimpel, "Gaussian Error Linear Units", 2016: x Phi(x), or its approximation by tanh.
Outputs gelu(const Call& call) {
  const ValueId input = call.in(0);
  const DType type = call.type(input).dtype;
  const std::string form = call.get_text("approximate", "none");
  if (form != "none" && form != "tanh") refuse("its approximation '" + form + "' is unknown");
  Expr e;
  const auto x = e.operand(0, type);
  const auto c = [&](double value) { return e.constant(value, type); };
  std::int32_t inner = -1;
  if (form == "none") {
    inner = e.apply(ExprOp::erf, e.apply(ExprOp::mul, x, c(std::sqrt(0.5))));
  } else {
    const auto cube = e.apply(ExprOp::mul, e.apply(ExprOp::mul, x, x), x);
    const auto sum = e.apply(ExprOp::add, x, e.apply(ExprOp::mul, c(0.044715), cube));
    inner = e.apply(ExprOp::tanh, e.apply(ExprOp::mul, c(std::sqrt(2 / 3.14159265358979323846)), sum));
  }
  const auto half = e.apply(ExprOp::mul, c(0.5), x);
  e.results = {e.apply(ExprOp::mul, half, e.apply(ExprOp::add, c(1), inner))};
  return {call.add(Pointwise{std::move(e)}, {input})};
}

Outputs cast(const Call& call) {
  const std::int64_t to = call.get_int("to", 0);
  return {call.cast(call.in(0), dtype_of(static_cast<int>(to)))};
}

Outputs cast_like(const Call& call) { return {call.cast(call.in(0), call.type(call.in(1)).dtype)}; }

Outputs where(const Call& call) { return {call.apply(ExprOp::select, call.in(0), call.in(1), call.in(2))}; }

}  // namespace

std::vector<OperatorRow> math_operators() {
  return {{"Sqrt", unary<ExprOp::sqrt>}, {"Erf", unary<ExprOp::erf>}, {"Exp", unary<ExprOp::exp>}, {"Log", unary<ExprOp::log>},
          {"Neg", unary<ExprOp::neg>}, {"Abs", unary<ExprOp::abs>}, {"Sign", unary<ExprOp::sign>},
          {"Reciprocal", unary<ExprOp::reciprocal>}, {"Tanh", unary<ExprOp::tanh>}, {"Sigmoid", unary<ExprOp::sigmoid>},
          {"Sin", unary<ExprOp::sin>}, {"Cos", unary<ExprOp::cos>}, {"Floor", unary<ExprOp::floor>}, {"Ceil", unary<ExprOp::ceil>},
          {"Round", unary<ExprOp::round>}, {"Not", unary<ExprOp::logical_not>}, {"Add", binary<ExprOp::add>},
          {"Sub", binary<ExprOp::sub>}, {"Mul", binary<ExprOp::mul>}, {"Div", binary<ExprOp::div>}, {"Pow", pow}, {"Mod", mod},
          {"Equal", binary<ExprOp::equal>}, {"Less", binary<ExprOp::less>}, {"LessOrEqual", binary<ExprOp::less_equal>},
          {"Greater", swapped<ExprOp::less>}, {"GreaterOrEqual", swapped<ExprOp::less_equal>}, {"And", binary<ExprOp::logical_and>},
          {"Or", binary<ExprOp::logical_or>}, {"Xor", binary<ExprOp::logical_xor>}, {"Min", variadic<ExprOp::min>},
          {"Max", variadic<ExprOp::max>}, {"Sum", variadic<ExprOp::add>}, {"Mean", mean}, {"Relu", relu}, {"LeakyRelu", leaky_relu},
          {"IsNaN", is_nan}, {"Clip", clip}, {"Gelu", gelu}, {"Cast", cast}, {"CastLike", cast_like}, {"Where", where}};
}

}  // namespace kiln::graph::onnx
