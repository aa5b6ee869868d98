// Hooks of the line family on a GPU: the geometry of a line, its types, and where the buffers begin.
#include <fmt/format.h>

#include "agents/writer/device/device.h"

namespace kiln::agents::writer::device {

namespace {

Hooks line_hooks(const LineKernel& k, const std::string& operation) {
  Hooks hooks;
  const graph::Shape space = {k.before, k.length, k.after};
  const bool wide = is_wide(k.x, space) || product(space) >= (std::int64_t{1} << 30);
  hooks.figures =
      index_type(wide) +
      fmt::format("constexpr index_t kBefore = {}, kLength = {}, kAfter = {};\n", k.before, k.length, k.after) +
      fmt::format("constexpr index_t kXBefore = {}, kXAlong = {}, kXAfter = {};\n", k.x.strides[0], k.x.strides[1],
                  k.x.strides[2]) +
      fmt::format("using Memory = {};  // an element\nusing Value = {};   // what it is computed in\n",
                  memory_type(k.x.type), partial_type(k.x.type)) +
      operation;
  const std::string code = buffer_function("input", k.x, hooks.arguments) +
                           buffer_function("values", "Memory", k.values, hooks.arguments) +
                           buffer_function("places", "i64", k.places, hooks.arguments);
  hooks.code = arguments_struct(hooks.arguments) + code;
  return hooks;
}

bool is_number(const LineKernel& k) { return k.x.type != graph::DType::boolean && k.length > 0; }

}  // namespace

bool accepts_scan(const LineKernel& k) {
  const auto* scan = std::get_if<graph::Scan>(&k.op);
  return scan && is_number(k) && k.values && scan->monoid != graph::Monoid::mean &&
         scan->monoid != graph::Monoid::log_sum_exp;
}

Hooks scan_hooks(const LineKernel& k) {
  const auto& scan = std::get<graph::Scan>(k.op);
  return line_hooks(k, fmt::format("using Operation = {};\nconstexpr bool kExclusive = {}, kReverse = {};\n",
                                   monoid_operation(scan.monoid), scan.exclusive, scan.reverse));
}

bool accepts_arg(const LineKernel& k) { return std::holds_alternative<graph::Arg>(k.op) && is_number(k) && k.places; }

Hooks arg_hooks(const LineKernel& k) {
  const auto& arg = std::get<graph::Arg>(k.op);
  // A thread looks up to a launch's worth of elements beyond the line before it ends.
  return line_hooks(k, fmt::format("constexpr bool kLargest = {}, kLast = {};\nusing Along = {};  // a place\n",
                                   arg.largest, arg.last, k.length < (std::int64_t{1} << 30) ? "i32" : "i64"));
}

bool accepts_sort(const LineKernel& k) {
  return std::holds_alternative<graph::TopK>(k.op) && is_number(k) && (k.values || k.places);
}

Hooks sort_hooks(const LineKernel& k) {
  const auto& top = std::get<graph::TopK>(k.op);
  return line_hooks(k, fmt::format("constexpr int kKept = {};  // elements of a line\nconstexpr bool kLargest = {};\n"
                                   "constexpr bool kHasValues = {}, kHasPlaces = {};\n",
                                   top.k, top.largest, k.values.has_value(), k.places.has_value()));
}

}  // namespace kiln::agents::writer::device
