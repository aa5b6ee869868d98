// Hooks of the window family on a GPU: the geometry as constants of three dimensions, and where the buffers begin.
#include <fmt/format.h>

#include "agents/writer/device/device.h"

namespace kiln::agents::writer::device {

namespace {

constexpr std::size_t kMostDimensions = 3;

// One entry per dimension, with `fill` for the leading dimensions that the window does not have.
graph::Shape padded(const graph::Shape& of, std::int64_t fill) {
  graph::Shape out(kMostDimensions - of.size(), fill);
  out.insert(out.end(), of.begin(), of.end());
  return out;
}

std::string constants(std::string_view type, std::string_view name, const graph::Shape& of, std::int64_t fill) {
  const graph::Shape all = padded(of, fill);
  return fmt::format("constexpr {0} {1}0 = {2}, {1}1 = {3}, {1}2 = {4};\n", type, name, all[0], all[1], all[2]);
}

}  // namespace

bool accepts_window(const WindowKernel& k) {
  return !k.in.empty() && k.in.size() <= kMostDimensions && k.x.type != graph::DType::boolean &&
         k.op.monoid != graph::Monoid::log_sum_exp && (k.values || k.positions);
}

Hooks window_hooks(const WindowKernel& k) {
  Hooks hooks;
  const graph::Steps& s = k.op.steps;
  graph::Shape space = {k.outer}, results = {k.outer};
  space.insert(space.end(), k.in.begin(), k.in.end());
  results.insert(results.end(), k.op.extents.begin(), k.op.extents.end());
  const bool wide = is_wide(k.x, space) || product(results) >= (std::int64_t{1} << 30);
  const graph::Shape strides(k.x.strides.begin() + 1, k.x.strides.end());
  hooks.figures =
      index_type(wide) + fmt::format("constexpr index_t kPlanes = {};\n", k.outer) +
      constants("index_t", "kIn", k.in, 1) + constants("index_t", "kOut", k.op.extents, 1) +
      constants("int", "kTaps", k.op.kernel, 1) + constants("int", "kStride", s.strides, 1) +
      constants("int", "kDilation", s.dilations, 1) + constants("index_t", "kBefore", s.before, 0) +
      constants("index_t", "kAfter", s.after, 0) + constants("index_t", "kXStride", strides, 0) +
      fmt::format("constexpr index_t kXPlane = {};\n", k.x.strides[0]) +
      fmt::format("using Memory = {};  // an element\nusing Value = {};   // what it is computed in\n",
                  memory_type(k.x.type), value_type(k.x.type)) +
      fmt::format("using Operation = {};\nconstexpr bool kMean = {}, kCountsPadding = {};\n",
                  monoid_operation(k.op.monoid), k.op.monoid == graph::Monoid::mean, k.op.counts_padding) +
      fmt::format("constexpr bool kHasValues = {}, kHasPlaces = {};\n", k.values.has_value(), k.positions.has_value());
  hooks.code = buffer_function("input", k.x, hooks.arguments) +
               buffer_function("values", "Memory", k.values, hooks.arguments) +
               buffer_function("places", "i64", k.positions, hooks.arguments);
  hooks.code = arguments_struct(hooks.arguments) + hooks.code;
  return hooks;
}

}  // namespace kiln::agents::writer::device
