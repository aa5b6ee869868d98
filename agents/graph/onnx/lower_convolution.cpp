// Convolutions, and the attributes that they share with pooling.
#include <algorithm>

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

Outputs conv_integer(const Call& call) {
  return {convolve(call, centred(call, 0, 2, false), centred(call, 1, 3, true))};
}

// The integers are summed exactly, then scaled to y's scale, rounded to even and moved to y's zero point.
Outputs qlinear_conv(const Call& call) {
  ValueId sum = convolve(call, centred(call, 0, 2, false), centred(call, 3, 5, true));
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

ValueId convolve(const Call& call, ValueId x, ValueId w) {
  const Shape in = spatial(call.type(x).shape), kernel = kernel_of(call, w);
  if (kernel.size() != in.size()) malformed("x and w differ in rank");
  return call.add(Convolution{window_steps(call, in, kernel), call.get_int("group", 1), false, Shape(in.size(), 0)},
                  {x, w});
}

std::vector<OperatorRow> convolution_operators() {
  return {
      {"Conv", conv}, {"ConvTranspose", conv_transpose}, {"ConvInteger", conv_integer}, {"QLinearConv", qlinear_conv}};
}

}  // namespace kiln::graph::onnx
