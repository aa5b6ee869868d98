// Hooks of the line family on a GPU: the geometry of a line, its types, and where the buffers begin.
#include <fmt/format.h>

#include <utility>

#include "agents/writer/device/device.h"

namespace kiln::agents::writer::device {

namespace {

std::string geometry(const LineKernel& k) {
  const graph::Shape space = {k.before, k.length, k.after};
  bool wide = product(space) >= (std::int64_t{1} << 30);
  for (const Access& read : k.reads) wide = wide || is_wide(read, space);
  return index_type(wide) +
         fmt::format("constexpr index_t kBefore = {}, kLength = {}, kAfter = {};\n", k.before, k.length, k.after) +
         fmt::format("using Memory = {};  // an element\nusing Value = {};   // what it is computed in\n",
                     memory_type(element_type(k)), partial_type(element_type(k)));
}

// Lines of elements that are read as they are.
Hooks line_hooks(const LineKernel& k, const std::string& operation) {
  Hooks hooks;
  const Access& x = k.reads[0];
  hooks.figures = geometry(k) +
                  fmt::format("constexpr index_t kXBefore = {}, kXAlong = {}, kXAfter = {};\n", x.strides[0],
                              x.strides[1], x.strides[2]) +
                  operation;
  const std::string code = buffer_function("input", x, hooks.arguments) +
                           buffer_function("values", "Memory", k.values, hooks.arguments) +
                           buffer_function("places", "i64", k.places, hooks.arguments);
  hooks.code = arguments_struct(hooks.arguments) + code;
  return hooks;
}

bool is_number(const LineKernel& k) { return element_type(k) != graph::DType::boolean && k.length > 0; }

}  // namespace

bool accepts_scan(const LineKernel& k) {
  const auto* scan = std::get_if<graph::Scan>(&k.op);
  return scan && is_number(k) && k.values && scan->monoid != graph::Monoid::mean &&
         scan->monoid != graph::Monoid::log_sum_exp;
}

Hooks scan_hooks(const LineKernel& k) {
  Hooks hooks;
  const auto& scan = std::get<graph::Scan>(k.op);
  hooks.figures = geometry(k) + fmt::format("using Operation = {};\nconstexpr bool kExclusive = {}, kReverse = {};\n"
                                            "constexpr bool kStreaming = true;  // what is read is read once\n",
                                            monoid_operation(scan.monoid), scan.exclusive, scan.reverse);
  // A line is a row: its place, then the distance between its elements.
  std::vector<Access> reads = k.reads;
  std::vector<graph::DType> types;
  for (Access& read : reads) {
    std::swap(read.strides[1], read.strides[2]);
    types.push_back(read.type);
  }
  const std::vector<Access> none;
  const Accesses accesses{reads, none, 2};
  std::string loads, call;
  for (std::size_t i = 0; i < reads.size(); ++i) {
    loads += load_vector(accesses, i, hooks.arguments, "  ");
    call += operand_value(accesses, i) + ", ";
  }
  const std::string code =
      buffer_function("values", "Memory", k.values, hooks.arguments) + place_functions(accesses, {k.before, k.after}) +
      loaded_struct(accesses) + expression_function(k.prologue, types) +
      fmt::format("\nKILN_DEVICE void load_operands(const Arguments& arguments, const Place& at, "
                  "[[maybe_unused]] index_t j, Loaded& v) {{\n{}}}\n"
                  "KILN_DEVICE Value element(const Loaded& v, [[maybe_unused]] int e) {{\n"
                  "  {} z;\n  expression({}z);\n  return static_cast<Value>(z);\n}}\n",
                  loads, value_type(element_type(k)), call);
  hooks.code = arguments_struct(hooks.arguments) + code;
  return hooks;
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
