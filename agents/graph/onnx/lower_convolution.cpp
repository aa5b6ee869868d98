// Convolutions, and the attributes that they share with pooling.
#include <algorithm>
#include <optional>

#include "agents/graph/byte_sums.h"
#include "agents/graph/onnx/lowering.h"

namespace kiln::graph::onnx {
namespace {

using Outputs = std::vector<ValueId>;

constexpr std::int64_t kLargest = std::int64_t(1)
                                  << 30;  // of a stride, a dilation or padding: agents/graph/infer_windows.cpp

Shape spatial(const Shape& shape) {
  if (shape.size() < 3) malformed("its input " + to_string(shape) + " has no dimension to move over");
  for (const std::int64_t extent : shape)
    if (extent > kLargest) malformed("its input " + to_string(shape) + " is larger than 2^30 in one dimension");
  return {shape.begin() + 2, shape.end()};
}

std::int64_t reach(std::int64_t kernel, std::int64_t dilation) { return (kernel - 1) * dilation + 1; }

// The kernel's extents are those of w; kernel_shape may only repeat them.
Shape kernel_of(const Call& call, ValueId w) {
  const Shape kernel = spatial(call.type(w).shape);
  if (const auto given = call.get_ints("kernel_shape"); given && *given != kernel)
    malformed("its kernel_shape is not that of w, " + to_string(kernel));
  for (const std::int64_t extent : kernel)
    if (extent < 1 || extent > kLargest) malformed("its kernel " + to_string(kernel) + " is empty or too large");
  return kernel;
}

// Splits padding over both ends; where it is odd, `more_after` says which end gets one more.
void split_padding(Steps& steps, std::size_t d, std::int64_t total, bool more_after) {
  steps.before[d] = more_after ? total / 2 : total - total / 2;
  steps.after[d] = total - steps.before[d];
}

ValueId with_bias(const Call& call, ValueId y, std::size_t input) {
  if (!call.has(input)) return y;
  const std::size_t rank = call.type(y).shape.size();
  if (call.type(call.in(input)).shape != Shape{call.type(y).shape[1]})
    malformed("its bias is not one element per output channel");
  return call.apply(ExprOp::add, y, call.per_channel(call.in(input), rank));
}

Outputs conv(const Call& call) { return {with_bias(call, convolve(call, call.in(0), call.in(1)), 2)}; }

// pads, or from output_shape or auto_pad what makes the extents so; what is missing even without padding is added.
void fit_transposed(const Call& call, Convolution& op, const Shape& in, const Shape& kernel) {
  const auto wanted = call.get_ints("output_shape");
  const std::string automatic = call.get_text("auto_pad", "NOTSET");
  const bool same = automatic == "SAME_UPPER" || automatic == "SAME_LOWER";
  if (!wanted && !same) return;
  if (wanted && wanted->size() != in.size() && wanted->size() != in.size() + 2)
    malformed("its output_shape has another rank than x");
  for (std::size_t d = 0; d < in.size(); ++d) {
    const std::int64_t extent = wanted ? (*wanted)[wanted->size() - in.size() + d] : in[d] * op.steps.strides[d];
    if (extent < 0 || extent > kLargest) malformed("its output_shape is out of range");
    const std::int64_t full = (in[d] - 1) * op.steps.strides[d] + op.extra[d] + reach(kernel[d], op.steps.dilations[d]);
    split_padding(op.steps, d, std::max<std::int64_t>(0, full - extent), automatic != "SAME_LOWER");
    op.extra[d] += std::max<std::int64_t>(0, extent - full);
  }
}

Outputs conv_transpose(const Call& call) {
  const ValueId x = call.in(0), w = call.in(1);
  const Shape in = spatial(call.type(x).shape), kernel = kernel_of(call, w);
  if (kernel.size() != in.size()) malformed("x and w differ in rank");
  Convolution op{window_steps(call, in, kernel), call.get_int("group", 1), true,
                 spatial_attribute(call, "output_padding", in.size(), 0)};
  fit_transposed(call, op, in, kernel);
  return {with_bias(call, call.add(std::move(op), {x, w}), 2)};
}

// What the call's attributes say of x convolved with w.
Convolution convolution_of(const Call& call, ValueId x, ValueId w) {
  const Shape in = spatial(call.type(x).shape), kernel = kernel_of(call, w);
  if (kernel.size() != in.size()) malformed("x and w differ in rank");
  return {window_steps(call, in, kernel), call.get_int("group", 1), false, Shape(in.size(), 0)};
}

std::optional<double> scalar_of(const Call& call, ValueId id) {
  const auto& constant = call.state.graph.constants[static_cast<std::size_t>(id)];
  const TensorType type = call.type(id);
  if (!constant || element_count(type.shape) != 1) return std::nullopt;
  return load_double(type.dtype, constant->bytes.data(), 0);
}

// x minus its zero point, as i32. A zero point of w may be one per output channel.
ValueId centred(const Call& call, std::size_t input, std::size_t zero, bool per_output) {
  const ValueId x = call.cast(call.in(input), DType::i32);
  if (!call.has(zero)) return x;
  ValueId point = call.cast(call.in(zero), DType::i32);
  const std::size_t rank = call.type(x).shape.size();
  const Shape& shape = call.type(point).shape;
  if (element_count(shape) == 1) {
    point = call.reshape(point, {});
  } else if (per_output && shape == Shape{call.type(x).shape[0]}) {
    Shape first(rank, 1);
    first[0] = shape[0];
    point = call.reshape(point, first);
  } else {
    malformed("a zero point is neither one value nor one per output channel");
  }
  return call.apply(ExprOp::sub, x, point);
}

// Constant weights less their zero points, one or one per output channel, when all of them fit i8.
std::optional<Tensor> centred_weights(const Call& call, std::size_t w, std::size_t zero) {
  const bool zeros = call.has(zero);
  if (!call.state.graph.is_constant(call.in(w)) || (zeros && !call.state.graph.is_constant(call.in(zero))))
    return std::nullopt;
  const std::vector<double> values = call.constant_doubles(w),
                            points = zeros ? call.constant_doubles(zero) : std::vector<double>{0};
  const Shape shape = call.type(call.in(w)).shape;
  if (points.size() != 1 && static_cast<std::int64_t>(points.size()) != shape[0]) return std::nullopt;
  const std::size_t each = values.size() / std::max<std::size_t>(1, static_cast<std::size_t>(shape[0]));
  Tensor out = Tensor::zeros({DType::i8, shape});
  for (std::size_t i = 0; i < values.size(); ++i) {
    const double value = values[i] - points[points.size() == 1 ? 0 : i / each];
    if (value < -128 || value > 127) return std::nullopt;
    out.as<std::int8_t>()[i] = static_cast<std::int8_t>(value);
  }
  return out;
}

// The tensors of a quantised convolution and their zero points, by their inputs.
struct Quantised {
  std::size_t x, x_zero, w, w_zero;
};

// (x - its zero) convolved with (w - its zero), in i32: of bytes as they are where the weights are constant.
ValueId quantised_sum(const Call& call, const Quantised& of) {
  const TensorType x = call.type(call.in(of.x));
  const bool one_zero = !call.has(of.x_zero) || element_count(call.type(call.in(of.x_zero)).shape) == 1;
  std::optional<Tensor> weights;
  if (is_integer(x.dtype) && size_of(x.dtype) == 1 && one_zero) weights = centred_weights(call, of.w, of.w_zero);
  if (!weights)
    return convolve(call, centred(call, of.x, of.x_zero, false), centred(call, of.w, of.w_zero, true));
  const Maker make{[&](Op op, std::vector<ValueId> inputs) { return call.add(std::move(op), std::move(inputs)); },
                   [&](Tensor tensor) { return call.constant(std::move(tensor)); },
                   [&](ValueId id) { return call.type(id); },
                   [&](ValueId id) { return scalar_of(call, id); }};
  const Convolution op = convolution_of(call, call.in(of.x), call.in(of.w));
  const ValueId zero = call.has(of.x_zero) ? call.reshape(call.in(of.x_zero), {}) : -1;
  return convolved_bytes(make, op, call.in(of.x), zero, std::move(*weights));
}

Outputs conv_integer(const Call& call) { return {quantised_sum(call, {0, 2, 1, 3})}; }

// The integers are summed exactly, then scaled to y's scale, rounded to even and moved to y's zero point.
Outputs qlinear_conv(const Call& call) {
  ValueId sum = quantised_sum(call, {0, 2, 3, 5});
  const std::size_t rank = call.type(sum).shape.size();
  if (call.has(8)) sum = call.apply(ExprOp::add, sum, call.per_channel(call.in(8), rank));
  const auto scale = [&](std::size_t i) {
    return element_count(call.type(call.in(i)).shape) == 1 ? call.reshape(call.in(i), {})
                                                           : call.per_channel(call.in(i), rank);
  };
  const ValueId factor = call.apply(ExprOp::div, call.apply(ExprOp::mul, scale(1), scale(4)), scale(6));
  return {requantised(call, sum, factor, call.in(7))};
}

}  // namespace

Shape spatial_attribute(const Call& call, std::string_view name, std::size_t dimensions, std::int64_t otherwise) {
  const auto given = call.get_ints(name);
  if (!given || given->empty()) return Shape(dimensions, otherwise);
  if (given->size() != dimensions) malformed("its " + std::string(name) + " are not one per dimension");
  for (const std::int64_t value : *given)
    if (value < 0 || value > kLargest) malformed("its " + std::string(name) + " are negative or too large");
  return *given;
}

Steps window_steps(const Call& call, const Shape& in, const Shape& kernel) {
  const std::size_t n = in.size();
  Steps steps{spatial_attribute(call, "strides", n, 1), spatial_attribute(call, "dilations", n, 1), Shape(n, 0),
              Shape(n, 0)};
  for (std::size_t d = 0; d < n; ++d)
    if (steps.strides[d] < 1 || steps.dilations[d] < 1) malformed("its strides or dilations are not positive");
  const std::string automatic = call.get_text("auto_pad", "NOTSET");
  if (automatic == "SAME_UPPER" || automatic == "SAME_LOWER") {
    for (std::size_t d = 0; d < n; ++d) {
      const std::int64_t out = (in[d] + steps.strides[d] - 1) / steps.strides[d];
      const std::int64_t total = (out - 1) * steps.strides[d] + reach(kernel[d], steps.dilations[d]) - in[d];
      split_padding(steps, d, std::max<std::int64_t>(0, total), automatic == "SAME_UPPER");
    }
  } else if (automatic == "NOTSET" || automatic.empty()) {
    const Shape pads = spatial_attribute(call, "pads", 2 * n, 0);
    std::copy_n(pads.begin(), n, steps.before.begin());
    std::copy_n(pads.begin() + static_cast<std::ptrdiff_t>(n), n, steps.after.begin());
  } else if (automatic != "VALID") {
    malformed("its auto_pad '" + automatic + "' is unknown");
  }
  return steps;
}

ValueId convolve(const Call& call, ValueId x, ValueId w) { return call.add(convolution_of(call, x, w), {x, w}); }

std::vector<OperatorRow> convolution_operators() {
  return {
      {"Conv", conv}, {"ConvTranspose", conv_transpose}, {"ConvInteger", conv_integer}, {"QLinearConv", qlinear_conv}};
}

}  // namespace kiln::graph::onnx
