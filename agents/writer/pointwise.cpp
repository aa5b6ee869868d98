// Hooks of the pointwise family: Row (pointers to the start of one row of the iteration space), row_at() and step().
#include <fmt/format.h>

#include <algorithm>

#include "agents/writer/family.h"

namespace kiln::agents::writer {

using graph::DType;

int lanes_of(const Tunables& tunables) {
  const auto isa = tunables.find("isa");
  return isa == tunables.end() ? 4 : static_cast<int>(isa->second / 32);
}

std::string load_text(const Access& access, const std::string& pointer, std::int64_t stride, Form form) {
  const std::string position = stride == 0   ? pointer
                               : stride == 1 ? pointer + " + j"
                                             : fmt::format("{} + j * {}", pointer, stride);
  if (form == Form::scalar)
    return access.type == DType::boolean ? fmt::format("*({}) != 0", position) : fmt::format("*({})", position);
  if (graph::is_integer(access.type))
    return stride == 0 ? fmt::format("splat_integer(*{})", pointer)
                       : fmt::format("load_integers<count>({}, {})", position, stride);
  if (access.type == DType::boolean)
    return stride == 0 ? fmt::format("splat_mask(*{} != 0)", pointer)
                       : fmt::format("load_mask<count>({}, {})", position, stride);
  if (stride == 0) return fmt::format("splat(*{})", pointer);
  return stride == 1 ? fmt::format("load<count>({})", position)
                     : fmt::format("load_strided<count>({}, {})", position, stride);
}

std::string load_statements(const std::vector<Access>& reads, std::size_t inner, Form form, int first_operand,
                            std::string_view indent) {
  std::string text;
  for (std::size_t i = 0; i < reads.size(); ++i) {
    const std::int64_t stride = inner < reads[i].strides.size() ? reads[i].strides[inner] : 0;
    const int operand = static_cast<int>(i) + first_operand;
    text += fmt::format("{}const {} x{} = {};\n", indent, value_type(reads[i].type, form), operand,
                        load_text(reads[i], fmt::format("at.x{}", operand), stride, form));
  }
  return text;
}

std::string store_text(const Access& access, const std::string& position, std::int64_t stride,
                       const std::string& value) {
  if (graph::is_integer(access.type)) return fmt::format("store_integers<count>({}, {}, {});", position, stride, value);
  if (access.type == DType::boolean) return fmt::format("store_mask<count>({}, {}, {});", position, stride, value);
  if (stride == 1) return fmt::format("store<count>({}, {});", position, value);
  return fmt::format("store_strided<count>({}, {}, {});", position, stride, value);
}

std::string store_statements(const std::vector<Access>& writes, std::size_t inner, Form form, std::string_view indent) {
  std::string text;
  for (std::size_t r = 0; r < writes.size(); ++r) {
    const std::int64_t stride = inner < writes[r].strides.size() ? writes[r].strides[inner] : 1;
    const std::string position = stride == 1 ? fmt::format("at.y{} + j", r) : fmt::format("at.y{} + j * {}", r, stride);
    const std::string value = fmt::format("y{}", r);
    text += form == Form::scalar ? fmt::format("{}*({}) = {};\n", indent, position, value)
                                 : fmt::format("{}{}\n", indent, store_text(writes[r], position, stride, value));
  }
  return text;
}

bool accepts_pointwise(const store::TemplateSpec& spec, const PointwiseKernel& k) {
  const auto fits = [](const Access& a) { return !graph::is_float8(a.type); };
  if (!std::all_of(k.reads.begin(), k.reads.end(), fits) || !std::all_of(k.writes.begin(), k.writes.end(), fits))
    return false;
  if (!std::all_of(k.expr.nodes.begin(), k.expr.nodes.end(), [](const graph::ExprNode& n) {
        return !graph::is_float8(n.type) && !graph::is_row_reduction(n.op);
      }))
    return false;
  if (spec.name != "transpose") return true;
  // A permuted copy: one float read whose unit stride is not the innermost dimension.
  if (k.reads.size() != 1 || k.writes.size() != 1 || !is_identity(k.expr) || k.space.size() < 2) return false;
  const Access &from = k.reads[0], &to = k.writes[0];
  const auto unit = std::find(from.strides.begin(), from.strides.end(), 1);
  return from.type == DType::f32 && to.type == DType::f32 && to.strides.back() == 1 && unit != from.strides.end() &&
         unit + 1 != from.strides.end() && from.strides.back() != 0;
}

namespace {

// Constants and row positions for a blocked transpose: `column` is the dimension that the source holds contiguously.
Hooks transpose_hooks(const PointwiseKernel& k) {
  Hooks hooks;
  const Access &from = k.reads[0], &to = k.writes[0];
  const std::size_t last = k.space.size() - 1;
  const auto across =
      static_cast<std::size_t>(std::find(from.strides.begin(), from.strides.end(), 1) - from.strides.begin());
  graph::Shape outer;
  std::vector<std::size_t> position;
  for (std::size_t d = 0; d < last; ++d)
    if (d != across) {
      outer.push_back(k.space[d]);
      position.push_back(d);
    }
  hooks.figures = constant("kPlanes", product(outer), "independent two-dimensional transposes") +
                  constant("kDown", k.space[across], "extent that is contiguous in the source") +
                  constant("kAcross", k.space[last], "extent that is contiguous in the destination") +
                  constant("kFromStride", from.strides[last], "elements between neighbours across, in the source") +
                  constant("kToStride", to.strides[across], "elements between neighbours down, in the destination");
  const Decomposed at = decompose("plane", outer, "i", "  ");
  std::vector<std::string> indices(k.space.size(), "0");
  for (std::size_t i = 0; i < position.size(); ++i) indices[position[i]] = at.indices[i];
  hooks.code = fmt::format(
      "struct Plane {{\n  const float* from;\n  float* to;\n}};\n\ninline Plane plane_at(void* const* args, "
      "[[maybe_unused]] std::int64_t plane) {{\n"
      "{}  return {{{} + ({}), {} + ({})}};\n}}\n",
      at.statements, hooks.arguments.read(from), offset_text(from, indices), hooks.arguments.write(to),
      offset_text(to, indices));
  return hooks;
}

}  // namespace

Hooks pointwise_hooks(const store::TemplateSpec& spec, const PointwiseKernel& k, const Tunables&) {
  if (spec.name == "transpose") return transpose_hooks(k);
  Hooks hooks;
  const bool in_lanes = vectorizable_with_integers(k.expr) && are_lanes_or_integers(k.reads);
  hooks.form = in_lanes ? Form::vector : Form::scalar;
  hooks.integers = in_lanes && !(vectorizable(k.expr) && are_lanes(k.reads));
  hooks.half = any_half(k.reads) || any_half(k.writes);
  hooks.functions = operations(k.expr);
  graph::Shape outer = k.space;
  const std::int64_t inner = outer.empty() ? 1 : outer.back();
  if (!outer.empty()) outer.pop_back();
  hooks.figures = constant("kRows", product(outer), "rows of the iteration space") +
                  constant("kInner", inner, "elements of a row");

  hooks.code =
      rows_text(k.reads, k.writes, outer, "the iteration space " + graph::to_string(k.space), hooks.arguments) + "\n";
  std::vector<DType> types;
  for (const Access& read : k.reads) types.push_back(read.type);
  hooks.code += expression_function(k.expr, hooks.form, types);
  std::string declare, call;
  for (std::size_t i = 0; i < k.reads.size(); ++i) call += fmt::format("{}x{}", call.empty() ? "" : ", ", i);
  for (std::size_t r = 0; r < k.writes.size(); ++r) {
    declare += fmt::format("  {} y{};\n", value_type(k.writes[r].type, hooks.form), r);
    call += fmt::format("{}y{}", call.empty() ? "" : ", ", r);
  }
  const std::size_t last = k.space.empty() ? 0 : k.space.size() - 1;
  hooks.code += fmt::format(
      "\n// Elements j .. j + count of a row.\ntemplate <int count>\n"
      "inline void step(const Row& at, [[maybe_unused]] std::int64_t j) {{\n{}{}  expression({});\n{}}}\n",
      load_statements(k.reads, last, hooks.form, 0, "  "), declare, call,
      store_statements(k.writes, last, hooks.form, "  "));
  return hooks;
}

}  // namespace kiln::agents::writer
