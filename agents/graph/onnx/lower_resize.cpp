// Resize and Upsample: along each axis an output element is a weighted sum of a few input elements, known at import.
// So an axis is one gather (nearest), a few gathers with weights, or a product with a banded matrix.
#include <algorithm>
#include <cmath>
#include <numeric>

#include "agents/graph/onnx/lowering.h"

namespace kiln::graph::onnx {
namespace {

using Outputs = std::vector<ValueId>;

constexpr std::int64_t kOutputs = std::int64_t(1) << 20;  // along one axis
constexpr std::size_t kGathers = 4;  // taps up to which gathers are cheaper than a product

struct Mode {
  std::string filter;      // nearest, linear, cubic
  std::string coordinate;  // coordinate_transformation_mode
  std::string nearest;     // nearest_mode
  double cubic_a, extrapolation;
  bool exclude_outside, antialias;
};

struct Axis {
  std::size_t index;
  std::int64_t in, out;
  double scale;
  double roi_begin = 0, roi_end = 1;
};

// What one output element is made of; empty where it lies outside the region of interest.
struct Tap {
  std::int64_t index;
  double weight;
};
using Taps = std::vector<Tap>;

// The place in the input of output element i (operator Resize, coordinate_transformation_mode).
double source(const Mode& mode, const Axis& axis, std::int64_t i) {
  const auto x = static_cast<double>(i);
  const auto in = static_cast<double>(axis.in);
  const double length = axis.scale * in;  // as the specification's reference has it: not rounded
  const double centred = (x + 0.5) / axis.scale - 0.5;
  if (mode.coordinate == "asymmetric") return x / axis.scale;
  if (mode.coordinate == "align_corners") return length == 1 ? 0 : x * (in - 1) / (length - 1);
  if (mode.coordinate == "pytorch_half_pixel") return length == 1 ? -0.5 : centred;
  if (mode.coordinate == "tf_half_pixel_for_nn") return (x + 0.5) / axis.scale;
  if (mode.coordinate == "half_pixel_symmetric") return in / 2 * (1 - static_cast<double>(axis.out) / length) + centred;
  if (mode.coordinate == "tf_crop_and_resize") {
    const double width = (axis.roi_end - axis.roi_begin) * (in - 1);
    return (length == 1 ? width / 2 : x * width / (length - 1)) + axis.roi_begin * (in - 1);
  }
  if (mode.coordinate != "half_pixel")
    malformed("its coordinate_transformation_mode '" + mode.coordinate + "' is unknown");
  return centred;
}

double nearest(const Mode& mode, double x) {
  if (mode.nearest == "round_prefer_floor") return std::ceil(x - 0.5);
  if (mode.nearest == "round_prefer_ceil") return std::floor(x + 0.5);
  if (mode.nearest == "floor") return std::floor(x);
  if (mode.nearest == "ceil") return std::ceil(x);
  malformed("its nearest_mode '" + mode.nearest + "' is unknown");
}

// Keys, "Cubic convolution interpolation for digital image processing", 1981, equation 4, with a free.
double cubic(double distance, double a) {
  const double s = std::fabs(distance);
  if (s <= 1) return ((a + 2) * s - (a + 3)) * s * s + 1;
  return s < 2 ? ((a * s - 5 * a) * s + 8 * a) * s - 4 * a : 0;
}

Taps taps_at(const Mode& mode, const Axis& axis, std::int64_t i) {
  const double x = source(mode, axis, i);
  const auto clamped = [&](double index) {
    return static_cast<std::int64_t>(std::clamp(index, 0.0, static_cast<double>(axis.in - 1)));
  };
  if (mode.coordinate == "tf_crop_and_resize" && (x < 0 || x > static_cast<double>(axis.in - 1))) return {};
  if (mode.filter == "nearest") return {{clamped(nearest(mode, x)), 1}};
  // Below a scale of one, antialiasing stretches the filter over what an output element covers.
  const double shrink = mode.antialias ? std::min(axis.scale, 1.0) : 1;
  const bool is_cubic = mode.filter == "cubic";
  const double reach = (is_cubic ? 2 : 1) / shrink;
  Taps taps;
  double sum = 0;
  for (double index = std::floor(x - reach) + 1; index < x + reach; ++index) {
    const double distance = (index - x) * shrink;
    double weight = is_cubic ? cubic(distance, mode.cubic_a) : std::max(0.0, 1 - std::fabs(distance));
    if (mode.exclude_outside && (index < 0 || index >= static_cast<double>(axis.in))) weight = 0;
    taps.push_back({clamped(index), weight});
    sum += weight;
  }
  if (mode.exclude_outside || mode.antialias)
    for (Tap& tap : taps) tap.weight /= sum;
  return taps;
}

// The weights of tap t over the outputs, so that they broadcast along the axis.
ValueId weights(const Call& call, const std::vector<Taps>& all, std::size_t t, const Axis& axis,
                const TensorType& type) {
  Shape shape(type.shape.size(), 1);
  shape[axis.index] = axis.out;
  Tensor tensor = Tensor::zeros({type.dtype, shape});
  for (std::size_t i = 0; i < all.size(); ++i)
    store_double(type.dtype, tensor.bytes.data(), static_cast<std::int64_t>(i),
                 t < all[i].size() ? all[i][t].weight : 0);
  return call.constant(std::move(tensor));
}

ValueId pick(const Call& call, ValueId x, const std::vector<Taps>& all, std::size_t t, const Axis& axis) {
  std::vector<std::int64_t> places;
  for (const Taps& taps : all) places.push_back(t < taps.size() ? taps[t].index : 0);
  return call.add(Gather{static_cast<std::int32_t>(axis.index)}, {x, call.ints(places, {axis.out})});
}

ValueId by_product(const Call& call, ValueId x, const std::vector<Taps>& all, const Axis& axis) {
  const TensorType type = call.type(x);
  if (axis.out * axis.in > kMadeElements) refuse("its filter has more than 2^24 weights");
  Tensor matrix = Tensor::zeros({type.dtype, {axis.in, axis.out}});
  for (std::int64_t i = 0; i < axis.out; ++i)
    for (const Tap& tap : all[static_cast<std::size_t>(i)]) {
      const std::int64_t at = tap.index * axis.out + i;
      store_double(type.dtype, matrix.bytes.data(), at, load_double(type.dtype, matrix.bytes.data(), at) + tap.weight);
    }
  std::vector<std::int32_t> swap(type.shape.size());
  std::iota(swap.begin(), swap.end(), 0);
  std::swap(swap[axis.index], swap.back());
  ValueId last = call.transpose(x, swap);
  if (type.shape.size() == 1) last = call.reshape(last, {1, axis.in});
  ValueId product = call.add(MatMul{false, false}, {last, call.constant(std::move(matrix))});
  if (type.shape.size() == 1) product = call.reshape(product, {axis.out});
  return call.transpose(product, swap);
}

ValueId along(const Call& call, ValueId x, const Mode& mode, const Axis& axis) {
  std::vector<Taps> all;
  std::size_t most = 0;
  Tensor inside = Tensor::zeros({DType::boolean, Shape(call.type(x).shape.size(), 1)});
  inside.type.shape[axis.index] = axis.out;
  inside.bytes.assign(static_cast<std::size_t>(axis.out), std::byte{1});
  bool crops = false;
  for (std::int64_t i = 0; i < axis.out; ++i) {
    all.push_back(taps_at(mode, axis, i));
    most = std::max(most, all.back().size());
    if (!all.back().empty()) continue;
    crops = true;
    inside.bytes[static_cast<std::size_t>(i)] = std::byte{0};
  }
  ValueId out = -1;
  if (most > kGathers) {
    out = by_product(call, x, all, axis);
  } else if (mode.filter == "nearest" || most == 0) {
    out = pick(call, x, all, 0, axis);
  } else {
    for (std::size_t t = 0; t < most; ++t) {
      const ValueId part =
          call.apply(ExprOp::mul, pick(call, x, all, t, axis), weights(call, all, t, axis, call.type(x)));
      out = out < 0 ? part : call.apply(ExprOp::add, out, part);
    }
  }
  if (!crops) return out;
  return call.apply(ExprOp::select, call.constant(std::move(inside)), out,
                    call.scalar(mode.extrapolation, call.type(x).dtype));
}

// Bounds the tables that are made, before any is.
void check(const Axis& axis, const Mode& mode) {
  if (axis.in < 1 || axis.out < 0 || !(axis.scale > 0) || !std::isfinite(axis.scale))
    malformed("a dimension, its scale or its size is not positive");
  if (axis.in > kOutputs || axis.out > kOutputs) refuse("a dimension has more than 2^20 elements");
  const double taps = mode.antialias ? 4 / std::min(axis.scale, 1.0) + 2 : 6;
  if (taps * static_cast<double>(axis.out) > static_cast<double>(kMadeElements))
    refuse("its filter has more than 2^24 weights");
  if (!std::isfinite(axis.roi_begin) || !std::isfinite(axis.roi_end)) malformed("its region of interest is not finite");
}

// Innermost axis first, as the specification's recursion does. Integers are filtered as float32.
Outputs resize_axes(const Call& call, const Mode& mode, const std::vector<Axis>& axes) {
  if (mode.filter != "nearest" && mode.filter != "linear" && mode.filter != "cubic")
    malformed("its mode '" + mode.filter + "' is unknown");
  ValueId x = call.in(0);
  const DType type = call.type(x).dtype;
  if (mode.filter != "nearest" && !is_float(type)) x = call.cast(x, DType::f32);
  for (auto axis = axes.rbegin(); axis != axes.rend(); ++axis) {
    check(*axis, mode);
    if (axis->in == axis->out && axis->scale == 1 && mode.coordinate != "tf_crop_and_resize") continue;
    x = along(call, x, mode, *axis);
  }
  return {call.cast(x, type)};
}

std::vector<std::size_t> named_axes(const Call& call, std::size_t rank) {
  std::vector<std::size_t> axes;
  if (const auto given = call.get_ints("axes")) {
    for (const std::int64_t axis : *given) axes.push_back(static_cast<std::size_t>(call.axis(axis, rank)));
  } else {
    for (std::size_t d = 0; d < rank; ++d) axes.push_back(d);
  }
  return axes;
}

std::vector<Axis> scaled_axes(const Shape& shape, const std::vector<std::size_t>& which,
                              const std::vector<double>& scales) {
  if (scales.size() != which.size()) malformed("its scales are not one per axis");
  std::vector<Axis> axes;
  for (std::size_t i = 0; i < which.size(); ++i) {
    const std::int64_t in = shape[which[i]];
    const double out = std::floor(static_cast<double>(in) * scales[i]);
    if (!(scales[i] > 0) || out > static_cast<double>(kOutputs)) malformed("a scale is not positive or too large");
    axes.push_back({which[i], in, static_cast<std::int64_t>(out), scales[i]});
  }
  return axes;
}

std::vector<Axis> sized_axes(const Call& call, const Shape& shape, const std::vector<std::size_t>& which) {
  const auto sizes = call.constant_ints(3);
  if (sizes.size() != which.size()) malformed("its sizes are not one per axis");
  const std::string policy = call.get_text("keep_aspect_ratio_policy", "stretch");
  std::vector<Axis> axes;
  double common = policy == "not_larger" ? INFINITY : 0;
  for (std::size_t i = 0; i < which.size(); ++i) {
    const std::int64_t in = shape[which[i]];
    if (in < 1 || sizes[i] < 0 || sizes[i] > kOutputs)
      malformed("a size is negative or too large, or its dimension is empty");
    const double scale = static_cast<double>(sizes[i]) / static_cast<double>(in);
    common = policy == "not_larger" ? std::min(common, scale) : std::max(common, scale);
    axes.push_back({which[i], in, sizes[i], scale});
  }
  if (policy == "stretch") return axes;
  for (Axis& axis : axes) {
    if (axis.in > kOutputs) malformed("a dimension is too large");
    axis.scale = common;
    axis.out = static_cast<std::int64_t>(std::floor(common * static_cast<double>(axis.in) + 0.5));
  }
  return axes;
}

Outputs resize(const Call& call) {
  const Shape shape = call.type(call.in(0)).shape;
  if (call.state.opset < 11) {
    const Mode mode{call.get_text("mode", "nearest"), "asymmetric", "floor", -0.75, 0, false, false};
    return resize_axes(call, mode, scaled_axes(shape, named_axes(call, shape.size()), call.constant_doubles(1)));
  }
  const Mode mode{call.get_text("mode", "nearest"),
                  call.get_text("coordinate_transformation_mode", "half_pixel"),
                  call.get_text("nearest_mode", "round_prefer_floor"),
                  call.get_float("cubic_coeff_a", -0.75),
                  call.get_float("extrapolation_value", 0),
                  call.get_int("exclude_outside", 0) != 0,
                  call.get_int("antialias", 0) != 0};
  const std::vector<std::size_t> which = named_axes(call, shape.size());
  const bool by_scale = call.has(2) && element_count(call.type(call.in(2)).shape) > 0;
  std::vector<Axis> axes =
      by_scale ? scaled_axes(shape, which, call.constant_doubles(2)) : sized_axes(call, shape, which);
  if (mode.coordinate == "tf_crop_and_resize") {
    const std::vector<double> roi = call.constant_doubles(1);  // every begin, then every end
    if (roi.size() != 2 * axes.size()) malformed("its region of interest is not two ends per axis");
    for (std::size_t i = 0; i < axes.size(); ++i) {
      axes[i].roi_begin = roi[i];
      axes[i].roi_end = roi[axes.size() + i];
    }
  }
  return resize_axes(call, mode, axes);
}

Outputs upsample(const Call& call) {
  const Shape shape = call.type(call.in(0)).shape;
  const Mode mode{call.get_text("mode", "nearest"), "asymmetric", "floor", -0.75, 0, false, false};
  const std::vector<double> scales = call.state.opset < 9 ? call.get_floats("scales") : call.constant_doubles(1);
  return resize_axes(call, mode, scaled_axes(shape, named_axes(call, shape.size()), scales));
}

}  // namespace

std::vector<OperatorRow> resize_operators() { return {{"Resize", resize}, {"Upsample", upsample}}; }

}  // namespace kiln::graph::onnx
