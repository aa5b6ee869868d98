// Hooks of the line and scatter families: figures, the type of an element, and where the buffers begin.
#include <fmt/format.h>

#include <algorithm>

#include "agents/writer/family.h"

namespace kiln::agents::writer {

using graph::DType;

namespace {

std::string writer_of(Arguments& arguments, const std::optional<Access>& access) {
  return access ? arguments.write(*access) : "args ? nullptr : nullptr";
}

// Where the lines of a task begin in each operand, and an element of one of them.
std::string element_functions(const LineKernel& k, Arguments& arguments) {
  std::string members, values, loads, call;
  std::vector<DType> types;
  for (std::size_t i = 0; i < k.reads.size(); ++i) {
    const Access& read = k.reads[i];
    types.push_back(read.type);
    members += fmt::format("  const {}* x{};\n", memory_type(read.type), i);
    values += fmt::format("{}{} + ({})", values.empty() ? "" : ",\n          ", arguments.read(read),
                          offset_text(read, {"before", "0", "first"}));
    loads += fmt::format("  const {} x{} = at.x{}[i * {} + j * {}]{};\n", scalar_type(read.type), i, i, read.strides[1],
                         read.strides[2], read.type == DType::boolean ? " != 0" : "");
    call += fmt::format("x{}, ", i);
  }
  return fmt::format(
             "struct Operands {{\n{}}};\n\n"
             "inline Operands operands_at(void* const* args, [[maybe_unused]] std::int64_t before,\n"
             "                            [[maybe_unused]] std::int64_t first) {{\n  return {{{}}};\n}}\n\n",
             members, values) +
         expression_function(k.prologue, Form::scalar, types) +
         fmt::format("\n// Element i of line j of those that begin there.\n"
                     "inline Value element(const Operands& at, [[maybe_unused]] std::int64_t i,\n"
                     "                     [[maybe_unused]] std::int64_t j) {{\n{}  Value y;\n  "
                     "expression({}y);\n  return y;\n}}\n",
                     loads, call);
}

}  // namespace

bool accepts_line(const store::TemplateSpec&, const LineKernel& k) {
  if (const auto* scan = std::get_if<graph::Scan>(&k.op))
    if (scan->monoid == graph::Monoid::mean || scan->monoid == graph::Monoid::log_sum_exp) return false;
  const auto fits = [](const Access& a) { return has_memory_type(a.type); };
  return std::all_of(k.reads.begin(), k.reads.end(), fits) && has_memory_types(k.prologue) &&
         element_type(k) != DType::boolean && (k.values || k.places);
}

Hooks line_hooks(const LineKernel& k) {
  constexpr const char* monoids[] = {"sum", "mean", "max", "min", "prod"};
  Hooks hooks;
  hooks.form = Form::scalar;
  const auto* scan = std::get_if<graph::Scan>(&k.op);
  const auto* arg = std::get_if<graph::Arg>(&k.op);
  const auto* top = std::get_if<graph::TopK>(&k.op);
  hooks.figures =
      constant("kBefore", k.before) + constant("kLength", k.length, "elements of a line") +
      constant("kAfter", k.after, "lines side by side") +
      constant("kKept",
               top   ? top->k
               : arg ? 1
                     : k.length,
               "results of a line") +
      fmt::format("using Value = {};\n", memory_type(element_type(k))) +
      "enum class Operation { scan, arg, top };\nenum class Monoid { sum, mean, max, min, prod };\n" +
      fmt::format("constexpr Operation kOperation = Operation::{};\n", scan  ? "scan"
                                                                       : arg ? "arg"
                                                                             : "top") +
      fmt::format("constexpr Monoid kMonoid = Monoid::{};\n",
                  monoids[scan ? static_cast<std::size_t>(scan->monoid) : 0]) +
      fmt::format("constexpr bool kExclusive = {}, kReverse = {}, kLargest = {}, kLast = {};\n",
                  scan && scan->exclusive, scan && scan->reverse, arg ? arg->largest : top && top->largest,
                  arg && arg->last) +
      fmt::format("constexpr bool kHasValues = {}, kHasPlaces = {};\n", k.values.has_value(), k.places.has_value());
  hooks.functions = operations(k.prologue);
  hooks.code = fmt::format(
      "inline Value* values(void* const* args) {{ return {}; }}\n"
      "inline std::int64_t* places(void* const* args) {{ return {}; }}\n",
      writer_of(hooks.arguments, k.values), writer_of(hooks.arguments, k.places));
  hooks.code += element_functions(k, hooks.arguments);
  return hooks;
}

bool accepts_scatter(const store::TemplateSpec&, const ScatterKernel& k) {
  return has_memory_type(k.data.type) && graph::is_integer(k.indices.type) &&
         (k.combine == graph::Combine::replace || k.data.type != DType::boolean);
}

Hooks scatter_hooks(const ScatterKernel& k) {
  constexpr const char* names[] = {"replace", "add", "mul", "max", "min"};
  Hooks hooks;
  hooks.form = Form::scalar;
  hooks.figures =
      constant("kRows", k.rows) + constant("kInner", k.inner, "elements of a row") +
      constant("kCount", k.count, "updates") + fmt::format("using Value = {};\n", memory_type(k.data.type)) +
      fmt::format("using Index = {};\n", memory_type(k.indices.type)) +
      "enum class Combine { replace, add, mul, max, min };\n" +
      fmt::format("constexpr Combine kCombine = Combine::{};\n", names[static_cast<std::size_t>(k.combine)]);
  hooks.code = fmt::format(
      "inline const Value* data(void* const* args) {{ return {} + {}; }}\n"
      "inline const Index* indices(void* const* args) {{ return {} + {}; }}\n"
      "inline const Value* updates(void* const* args) {{ return {} + {}; }}\n"
      "inline Value* output(void* const* args) {{ return {}; }}\n",
      hooks.arguments.read(k.data), k.data.offset, hooks.arguments.read(k.indices), k.indices.offset,
      hooks.arguments.read(k.updates), k.updates.offset, hooks.arguments.write(k.write));
  return hooks;
}

}  // namespace kiln::agents::writer
