// Pooling: windows of a monoid, and their relatives.
#include <algorithm>
#include <numeric>

#include "agents/graph/onnx/lowering.h"

namespace kiln::graph::onnx {
namespace {

using Outputs = std::vector<ValueId>;

Shape spatial(const Call& call) {
  const Shape& shape = call.type(call.in(0)).shape;
  if (shape.size() < 3) malformed("its input " + to_string(shape) + " has no dimension to pool over");
  for (const std::int64_t extent : shape)
    if (extent > std::int64_t(1) << 30)
      malformed("its input " + to_string(shape) + " is larger than 2^30 in one dimension");
  return {shape.begin() + 2, shape.end()};
}

// With ceil_mode the last window may reach past the padding, but it may not begin there.
std::int64_t pooled_extent(std::int64_t in, std::int64_t before, std::int64_t after, std::int64_t reach,
                           std::int64_t stride, bool ceil) {
  const std::int64_t room = in + before + after - reach;
  if (room < 0) return ceil && room > -stride ? 1 : 0;
  std::int64_t extent = room / stride + 1;
  if (ceil && room % stride != 0 && extent * stride < in + before) ++extent;
  return extent;
}

Window window(const Call& call, Monoid monoid) {
  const Shape in = spatial(call);
  const Shape kernel = spatial_attribute(call, "kernel_shape", in.size(), 0);
  for (const std::int64_t extent : kernel)
    if (extent < 1) malformed("its kernel_shape is absent or not positive");
  Window op{monoid, kernel, window_steps(call, in, kernel), {}, false, false};
  const bool ceil = call.get_int("ceil_mode", 0) != 0;
  for (std::size_t d = 0; d < in.size(); ++d) {
    const std::int64_t reach = (kernel[d] - 1) * op.steps.dilations[d] + 1;
    op.extents.push_back(pooled_extent(in[d], op.steps.before[d], op.steps.after[d], reach, op.steps.strides[d], ceil));
  }
  return op;
}

// Positions count row by row; with storage_order the spatial dimensions count column by column.
ValueId column_major(const Call& call, ValueId positions, const Shape& in) {
  const auto n = static_cast<double>(element_count(in));
  ValueId rest = call.apply(ExprOp::mod, positions, n);
  ValueId out = call.apply(ExprOp::sub, positions, rest);
  double scale = n;
  for (std::size_t d = in.size(); d-- > 0;) {
    const auto extent = static_cast<double>(in[d]);
    scale /= extent;
    out = call.apply(ExprOp::add, out, call.apply(ExprOp::mul, call.apply(ExprOp::mod, rest, extent), scale));
    rest = call.apply(ExprOp::div, rest, extent);
  }
  return out;
}

Outputs max_pool(const Call& call) {
  Window op = window(call, Monoid::max);
  op.positions = call.wants(1);
  Outputs out = call.state.add_all(op, {call.in(0)}, call.origin);
  if (op.positions && call.get_int("storage_order", 0) != 0) out[1] = column_major(call, out[1], spatial(call));
  return out;
}

Outputs average_pool(const Call& call) {
  Window op = window(call, Monoid::mean);
  op.counts_padding = call.get_int("count_include_pad", 0) != 0;
  return {call.add(op, {call.in(0)})};
}

// (sum |x|^p)^(1/p) of what `sum` adds up.
template <class Sum>
ValueId p_norm(const Call& call, Sum sum) {
  const auto p = static_cast<double>(call.get_int("p", 2));
  const ValueId magnitude = call.apply(ExprOp::abs, call.in(0));
  return call.apply(ExprOp::pow, sum(call.apply(ExprOp::pow, magnitude, p)), 1 / p);
}

Outputs lp_pool(const Call& call) {
  return {p_norm(call, [&](ValueId powers) { return call.add(window(call, Monoid::sum), {powers}); })};
}

std::vector<std::int32_t> spatial_axes(const Call& call) {
  std::vector<std::int32_t> axes(spatial(call).size());
  std::iota(axes.begin(), axes.end(), 2);
  return axes;
}

template <Monoid monoid>
Outputs global_pool(const Call& call) { return {call.reduce(monoid, call.in(0), spatial_axes(call))}; }

Outputs global_lp_pool(const Call& call) {
  return {p_norm(call, [&](ValueId powers) { return call.reduce(Monoid::sum, powers, spatial_axes(call)); })};
}

// Krizhevsky et al., "ImageNet Classification with Deep Convolutional Neural Networks", 2012, section 3.3.
Outputs lrn(const Call& call) {
  const ValueId x = call.in(0);
  const Shape shape = call.type(x).shape;
  const std::int64_t size = call.get_int("size", 0);
  if (shape.size() < 2 || size < 1 || size > INT32_MAX)
    malformed("its size is not positive, or its input has no channels");
  const Shape planes = {shape[0], shape[1], element_count({shape.begin() + 2, shape.end()})};
  const ValueId squares = call.reshape(call.apply(ExprOp::mul, x, x), planes);
  const std::int64_t before = (size - 1) / 2;
  const Window op{Monoid::sum, {size, 1}, {{1, 1}, {1, 1}, {before, 0}, {size - 1 - before, 0}}, {planes[1], planes[2]},
                  false,       false};
  const ValueId sums = call.reshape(call.add(op, {squares}), shape);
  const double alpha = call.get_float("alpha", 1e-4f) / static_cast<double>(size);
  const ValueId base = call.apply(ExprOp::add, call.apply(ExprOp::mul, sums, alpha), call.get_float("bias", 1));
  return {call.apply(ExprOp::div, x, call.apply(ExprOp::pow, base, call.get_float("beta", 0.75)))};
}

// The extents that pooling with these attributes came from; an output_shape larger than them is filled with zeros.
Outputs max_unpool(const Call& call) {
  const Shape in = spatial(call);
  const Shape kernel = spatial_attribute(call, "kernel_shape", in.size(), 0);
  const Steps steps = window_steps(call, in, kernel);
  Shape shape = call.type(call.in(0)).shape;
  for (std::size_t d = 0; d < in.size(); ++d) {
    shape[d + 2] = (in[d] - 1) * steps.strides[d] + kernel[d] - steps.before[d] - steps.after[d];
    if (shape[d + 2] < 0) malformed("its padding is larger than its output");
  }
  const std::int64_t count = element_count(call.type(call.in(0)).shape);
  const ValueId empty = call.zeros({call.type(call.in(0)).dtype, {element_count(shape)}});
  const ValueId filled = call.add(Scatter{Combine::replace},
                                  {empty, call.reshape(call.in(1), {count}), call.reshape(call.in(0), {count})});
  const ValueId out = call.reshape(filled, shape);
  if (!call.has(2)) return {out};
  const Shape wanted = call.constant_ints(2);
  Pad pad{Shape(shape.size(), 0), Shape(shape.size(), 0)};
  if (wanted.size() != shape.size()) malformed("its output_shape has another rank");
  for (std::size_t d = 0; d < shape.size(); ++d) pad.after[d] = wanted[d] - shape[d];
  if (wanted == shape) return {out};
  return {call.add(pad, {out, call.scalar(0, call.type(out).dtype)})};
}

}  // namespace

std::vector<OperatorRow> pool_operators() {
  return {{"MaxPool", max_pool},
          {"AveragePool", average_pool},
          {"LpPool", lp_pool},
          {"GlobalMaxPool", global_pool<Monoid::max>},
          {"GlobalAveragePool", global_pool<Monoid::mean>},
          {"GlobalLpPool", global_lp_pool},
          {"LRN", lrn},
          {"MaxUnpool", max_unpool}};
}

}  // namespace kiln::graph::onnx
