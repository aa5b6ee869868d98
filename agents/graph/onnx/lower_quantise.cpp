// Quantisation to integers and back, and products of quantised matrices, which are exact sums of i32.
#include <algorithm>
#include <optional>

#include "agents/graph/onnx/lowering.h"

namespace kiln::graph::onnx {
namespace {

using Outputs = std::vector<ValueId>;

// A scale or a zero point so that it broadcasts over x: one value, one per element of `axis`, or one per block there.
ValueId spread(const Call& call, ValueId parameter, const Shape& x, std::size_t axis, std::int64_t block) {
  const Shape own = call.type(parameter).shape;
  if (element_count(own) == 1) return call.reshape(parameter, {});
  if (block == 0) {
    if (own != Shape{x[axis]}) malformed("its scale is neither one value nor one per element of its axis");
    Shape along(x.size(), 1);
    along[axis] = x[axis];
    return call.reshape(parameter, along);
  }
  if (own.size() != x.size() || own[axis] != (x[axis] + block - 1) / block)
    malformed("its scale is not one value per block");
  Shape apart = own, wide = own, joined = own;
  apart.insert(apart.begin() + static_cast<std::ptrdiff_t>(axis) + 1, 1);
  wide.insert(wide.begin() + static_cast<std::ptrdiff_t>(axis) + 1, block);
  joined[axis] *= block;
  const ValueId repeated = call.reshape(call.expand(call.reshape(parameter, apart), wide), joined);
  if (joined == x) return repeated;
  return call.add(Slice{Shape(x.size(), 0), x, std::vector<std::int64_t>(x.size(), 1)}, {repeated});
}

std::int64_t block_of(const Call& call) {
  const std::int64_t block = call.get_int("block_size", 0);
  if (block < 0 || block > INT32_MAX) malformed("its block_size is negative or too large");
  return block;
}

// The axis of one scale per element; with a single scale there may be none.
std::size_t axis_of(const Call& call, const Shape& shape) {
  const std::int64_t axis = call.get_int("axis", 1);
  if (element_count(call.type(call.in(1)).shape) == 1) return 0;
  return static_cast<std::size_t>(call.axis(axis, shape.size()));
}

ValueId rounded(const Call& call, ValueId x, ValueId zero) {
  const DType type = call.type(x).dtype, to = call.type(zero).dtype;
  if (is_float(to)) return call.cast(x, to);  // an 8-bit float: its zero point is zero
  return call.cast(call.apply(ExprOp::add, call.apply(ExprOp::round, x), call.cast(zero, type)), to);
}

Outputs quantise(const Call& call) {
  const ValueId scale = call.in(1);
  const ValueId x = call.cast(call.in(0), call.type(scale).dtype);
  const Shape shape = call.type(x).shape;
  const std::size_t axis = axis_of(call, shape);
  const std::int64_t block = block_of(call), wanted = call.get_int("output_dtype", 0);
  const ValueId zero = call.has(2) ? spread(call, call.in(2), shape, axis, block)
                                   : call.scalar(0, wanted != 0 ? dtype_of(static_cast<int>(wanted)) : DType::u8);
  return {rounded(call, call.apply(ExprOp::div, x, spread(call, scale, shape, axis, block)), zero)};
}

Outputs dequantise(const Call& call) {
  ValueId x = call.in(0);
  const ValueId scale = call.in(1);
  const Shape shape = call.type(x).shape;
  const std::size_t axis = axis_of(call, shape);
  const std::int64_t block = block_of(call), wanted = call.get_int("output_dtype", 0);
  const DType type = wanted != 0 ? dtype_of(static_cast<int>(wanted)) : call.type(scale).dtype;
  const bool integers = !is_float(call.type(x).dtype);
  x = call.cast(x, integers ? DType::i32 : type);
  if (call.has(2) && integers)
    x = call.apply(ExprOp::sub, x, call.cast(spread(call, call.in(2), shape, axis, block), DType::i32));
  return {call.apply(ExprOp::mul, call.cast(x, type), spread(call, call.cast(scale, type), shape, axis, block))};
}

// u8 with the scale that maps the range of x, widened to hold zero, onto 0..255.
Outputs dynamic_quantise(const Call& call) {
  const ValueId x = call.in(0);
  std::vector<std::int32_t> axes;
  for (std::size_t d = 0; d < call.type(x).shape.size(); ++d) axes.push_back(static_cast<std::int32_t>(d));
  const ValueId top = call.apply(ExprOp::max, call.reduce(Monoid::max, x, axes, false), 0.0);
  const ValueId low = call.apply(ExprOp::min, call.reduce(Monoid::min, x, axes, false), 0.0);
  const ValueId scale = call.apply(ExprOp::div, call.apply(ExprOp::sub, top, low), 255.0);
  const ValueId zero =
      call.cast(call.apply(ExprOp::round, call.apply(ExprOp::div, call.apply(ExprOp::neg, low), scale)), DType::u8);
  return {rounded(call, call.apply(ExprOp::div, x, scale), zero), scale, zero};
}

// A zero point of the left matrix may be one per row, of the right one per column.
ValueId centred(const Call& call, ValueId x, ValueId zero, bool per_row) {
  const ValueId wide = call.cast(x, DType::i32);
  if (zero < 0) return wide;
  ValueId point = call.cast(zero, DType::i32);
  const Shape shape = call.type(point).shape;
  if (per_row && shape.size() == 1 && shape[0] != 1) point = call.reshape(point, {shape[0], 1});
  if (call.type(wide).shape != broadcast(call.type(wide).shape, call.type(point).shape))
    malformed("a zero point does not fit its matrix");
  return call.apply(ExprOp::sub, wide, point);
}

// The inputs of a call that are a quantised matrix and its zero point.
struct Quantised {
  std::size_t matrix, zero;
};

// Constant weights less their zero points, when all of them fit i8, and what each column of them adds up to.
struct Weights {
  Tensor centred, sums;
};
std::optional<Weights> centred_weights(const Call& call, const Quantised& b) {
  const TensorType type = call.type(call.in(b.matrix));
  const bool zeros = call.has(b.zero);
  if (type.shape.size() < 2 || !call.state.graph.is_constant(call.in(b.matrix)) ||
      (zeros && !call.state.graph.is_constant(call.in(b.zero))))
    return std::nullopt;
  const std::vector<double> values = call.constant_doubles(b.matrix),
                            points = zeros ? call.constant_doubles(b.zero) : std::vector<double>{0};
  const std::int64_t n = type.shape.back(), k = type.shape[type.shape.size() - 2];
  if (points.size() != 1 &&
      (points.size() != static_cast<std::size_t>(n) || call.type(call.in(b.zero)).shape.size() != 1))
    return std::nullopt;
  Shape sums = type.shape;
  sums[sums.size() - 2] = 1;
  Weights out{Tensor::zeros({DType::i8, type.shape}), Tensor::zeros({DType::i32, sums})};
  for (std::size_t i = 0; i < values.size(); ++i) {
    const auto at = static_cast<std::int64_t>(i), column = at % n;
    const double value = values[i] - points[points.size() == 1 ? 0 : static_cast<std::size_t>(column)];
    if (value < -128 || value > 127) return std::nullopt;
    out.centred.as<std::int8_t>()[i] = static_cast<std::int8_t>(value);
    auto& sum = out.sums.as<std::int32_t>()[static_cast<std::size_t>(at / (n * k) * n + column)];
    sum = static_cast<std::int32_t>(sum + static_cast<std::int64_t>(value));
  }
  return out;
}

// The zero point of the left matrix, or one per row, as i32.
ValueId left_zero(const Call& call, ValueId zero) {
  const ValueId point = call.cast(zero, DType::i32);
  const Shape shape = call.type(point).shape;
  if (element_count(shape) == 1) return call.reshape(point, {});
  return shape.size() == 1 ? call.reshape(point, {shape[0], 1}) : point;
}

// (a - its zero) (b - its zero), in i32. With constant weights the bytes themselves are multiplied, and the left zero
// point, times what each column adds up to, is taken off the sums: nothing is widened in memory.
ValueId quantised_product(const Call& call, const Quantised& a, const Quantised& b) {
  const TensorType left = call.type(call.in(a.matrix));
  std::optional<Weights> weights;
  if (left.shape.size() >= 2 && size_of(left.dtype) == 1) weights = centred_weights(call, b);
  if (!weights)
    return matrix_product(call, centred(call, call.in(a.matrix), call.has(a.zero) ? call.in(a.zero) : -1, true),
                          centred(call, call.in(b.matrix), call.has(b.zero) ? call.in(b.zero) : -1, false));
  const ValueId sum = matrix_product(call, call.in(a.matrix), call.constant(std::move(weights->centred)));
  if (!call.has(a.zero)) return sum;
  const ValueId shift =
      call.apply(ExprOp::mul, left_zero(call, call.in(a.zero)), call.constant(std::move(weights->sums)));
  if (call.type(sum).shape != broadcast(call.type(sum).shape, call.type(shift).shape))
    malformed("a zero point does not fit its matrix");
  return call.apply(ExprOp::sub, sum, shift);
}

Outputs matmul_integer(const Call& call) { return {quantised_product(call, {0, 2}, {1, 3})}; }

Outputs qlinear_matmul(const Call& call) {
  const ValueId sum = quantised_product(call, {0, 2}, {3, 5});
  ValueId left = call.in(1);
  if (const Shape shape = call.type(left).shape; shape.size() == 1 && shape[0] != 1)
    left = call.reshape(left, {shape[0], 1});
  const ValueId factor = call.apply(ExprOp::div, call.apply(ExprOp::mul, left, call.in(4)), call.in(6));
  return {requantised(call, sum, factor, call.in(7))};
}

}  // namespace

ValueId requantised(const Call& call, ValueId x, ValueId factor, ValueId zero) {
  const DType type = call.type(factor).dtype;
  const ValueId point = element_count(call.type(zero).shape) == 1 ? call.reshape(zero, {}) : zero;
  return rounded(call, call.apply(ExprOp::mul, call.cast(x, type), factor), point);
}

std::vector<OperatorRow> quantise_operators() {
  return {{"QuantizeLinear", quantise},
          {"DequantizeLinear", dequantise},
          {"DynamicQuantizeLinear", dynamic_quantise},
          {"MatMulInteger", matmul_integer},
          {"QLinearMatMul", qlinear_matmul}};
}

}  // namespace kiln::graph::onnx
