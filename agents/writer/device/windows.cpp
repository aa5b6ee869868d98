// Hooks of the window family on a GPU: the geometry as constants of three dimensions, and where the buffers begin.
#include <fmt/format.h>

#include "agents/writer/device/device.h"

namespace kiln::agents::writer::device {

graph::Shape leading_filled(const graph::Shape& of, std::int64_t fill) {
  graph::Shape out(kMostSpatial - of.size(), fill);
  out.insert(out.end(), of.begin(), of.end());
  return out;
}

std::string spatial_constants(std::string_view type, std::string_view name, const graph::Shape& of, std::int64_t fill) {
  const graph::Shape all = leading_filled(of, fill);
  return fmt::format("constexpr {0} {1}0 = {2}, {1}1 = {3}, {1}2 = {4};\n", type, name, all[0], all[1], all[2]);
}

bool accepts_window(const WindowKernel& k) {
  return !k.in.empty() && k.in.size() <= kMostSpatial && k.x.type != graph::DType::boolean &&
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
      spatial_constants("index_t", "kIn", k.in, 1) + spatial_constants("index_t", "kOut", k.op.extents, 1) +
      spatial_constants("int", "kTaps", k.op.kernel, 1) + spatial_constants("int", "kStride", s.strides, 1) +
      spatial_constants("int", "kDilation", s.dilations, 1) + spatial_constants("index_t", "kBefore", s.before, 0) +
      spatial_constants("index_t", "kAfter", s.after, 0) + spatial_constants("index_t", "kXStride", strides, 0) +
      fmt::format("constexpr index_t kXPlane = {};\n", k.x.strides[0]) +
      fmt::format("using Memory = {};  // an element\nusing Value = {};   // what it is computed in\n",
                  memory_type(k.x.type), value_type(k.x.type)) +
      fmt::format("using Operation = {};\nconstexpr bool kMean = {}, kCountsPadding = {};\n",
                  monoid_operation(k.op.monoid), k.op.monoid == graph::Monoid::mean, k.op.counts_padding) +
      fmt::format("constexpr bool kHasValues = {}, kHasPlaces = {};\n", k.values.has_value(), k.positions.has_value());
  std::string counts;
  for (int d = 0; d < 3; ++d)
    counts += fmt::format(
        "KILN_DEVICE int counted{0}([[maybe_unused]] index_t first) {{\n"
        "  if constexpr (all_taps_count(kCountsPadding, kOut{0}, kStride{0}, kBefore{0}, (kTaps{0} - 1) * "
        "kDilation{0}, "
        "kIn{0}, kAfter{0}))\n    return kTaps{0};\n"
        "  else\n    return counted_taps<kCountsPadding>(first, kTaps{0}, kDilation{0}, kIn{0}, kAfter{0});\n}}\n",
        d);
  hooks.code =
      "// Whether a row lies under the window that begins `offset` rows above it.\n"
      "KILN_DEVICE constexpr bool covers(int offset) {\n"
      "  return offset >= 0 && offset % kDilation1 == 0 && offset / kDilation1 < kTaps1;\n}\n"
      "// Taps of a window that count in a mean, by where it begins along a dimension.\n" +
      counts;
  const std::string buffers = buffer_function("input", k.x, hooks.arguments) +
                              buffer_function("values", "Memory", k.values, hooks.arguments) +
                              buffer_function("places", "i64", k.positions, hooks.arguments);
  hooks.code += arguments_struct(hooks.arguments) + buffers;
  return hooks;
}

}  // namespace kiln::agents::writer::device
