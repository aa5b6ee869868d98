// Hooks of the gather and concat families: rows of contiguous elements that move, with an expression on the way.
#include <fmt/format.h>

#include <algorithm>

#include "agents/writer/family.h"
#include "runtime/base/error.h"

namespace kiln::agents::writer {

using graph::DType;

namespace {

bool all_have_types(const graph::Expr& expr, const std::vector<Access>& reads, const std::vector<Access>& writes) {
  const auto fits = [](const Access& a) { return !graph::is_float8(a.type); };
  return std::all_of(reads.begin(), reads.end(), fits) && std::all_of(writes.begin(), writes.end(), fits) &&
         std::all_of(expr.nodes.begin(), expr.nodes.end(), [](const graph::ExprNode& n) {
           return !graph::is_float8(n.type) && !graph::is_row_reduction(n.op);
         });
}

}  // namespace

bool accepts_gather(const store::TemplateSpec&, const GatherKernel& k) {
  return !graph::is_float8(k.data.type) && graph::is_integer(k.indices.type) &&
         all_have_types(k.epilogue, k.reads, k.writes);
}

Hooks gather_hooks(const GatherKernel& k) {
  Hooks hooks;
  const bool lanes = vectorizable(k.epilogue) && is_lane_type(k.data.type) && are_lanes(k.reads);
  hooks.form = lanes ? Form::vector : Form::scalar;
  hooks.half = is_half(k.data.type) || any_half(k.reads) || any_half(k.writes);
  hooks.functions = operations(k.epilogue);
  hooks.figures = constant("kOuter", k.outer) + constant("kAxis", k.axis, "extent of the gathered dimension") +
                  constant("kInner", k.inner, "elements of a row") + constant("kIndexCount", k.index_count);

  std::string members = fmt::format("  const {}* x0;\n", memory_type(k.data.type));
  std::string values = fmt::format("{} + ({})", hooks.arguments.read(k.data), offset_text(k.data, {"outer", "index"}));
  std::vector<Access> all = {k.data};
  for (std::size_t i = 0; i < k.reads.size(); ++i) {
    all.push_back(k.reads[i]);
    members += fmt::format("  const {}* x{};\n", memory_type(k.reads[i].type), i + 1);
    values += fmt::format(",\n          {} + ({})", hooks.arguments.read(k.reads[i]),
                          offset_text(k.reads[i], {"outer", "i"}));
  }
  std::string declare, call = "x0";
  for (std::size_t r = 0; r < k.writes.size(); ++r) {
    members += fmt::format("  {}* y{};\n", memory_type(k.writes[r].type), r);
    values += fmt::format(",\n          {} + ({})", hooks.arguments.write(k.writes[r]),
                          offset_text(k.writes[r], {"outer", "i"}));
    declare += fmt::format("  {} y{};\n", value_type(k.writes[r].type, hooks.form), r);
  }
  for (std::size_t i = 0; i < k.reads.size(); ++i) call += fmt::format(", x{}", i + 1);
  for (std::size_t r = 0; r < k.writes.size(); ++r) call += fmt::format(", y{}", r);
  std::vector<DType> types;
  for (const Access& access : all) types.push_back(access.type);

  hooks.code = fmt::format(
      "// The row that index i selects. Negative indices count from the end; one outside the axis is the caller's "
      "error and\n"
      "// reads the nearest row instead of other memory.\n"
      "struct Row {{\n{}}};\n\ninline Row row_at(void* const* args, [[maybe_unused]] std::int64_t outer, "
      "[[maybe_unused]] std::int64_t i) {{\n"
      "  auto index = static_cast<std::int64_t>({}[{}]);\n  if (index < 0) index += kAxis;\n"
      "  index = index < 0 ? 0 : index >= kAxis ? kAxis - 1 : index;\n  return {{{}}};\n}}\n\n",
      members, hooks.arguments.read(k.indices), offset_text(k.indices, {"i"}), values);
  hooks.code += expression_function(k.epilogue, hooks.form, types);
  hooks.code += fmt::format(
      "\n// Elements j .. j + count of a row.\ntemplate <int count>\n"
      "inline void step(const Row& at, [[maybe_unused]] std::int64_t j) {{\n{}{}  expression({});\n{}}}\n",
      // `data` has dimensions outer, axis, inner; the other accesses outer, index, inner: the last is dimension 2 of
      // each.
      load_statements(all, 2, hooks.form, 0, "  "), declare, call, store_statements(k.writes, 2, hooks.form, "  "));
  return hooks;
}

bool accepts_concat(const store::TemplateSpec&, const ConcatKernel& k) {
  return std::all_of(k.sources.begin(), k.sources.end(),
                     [&](const ConcatKernel::Source& s) { return s.access.type == k.write.type; });
}

// Elements only move, so an integer of the same size stands for any type.
Hooks concat_hooks(const ConcatKernel& k) {
  Hooks hooks;
  hooks.form = Form::scalar;
  const std::size_t size = graph::size_of(k.write.type);
  const std::string element = fmt::format("std::uint{}_t", size * 8);
  std::int64_t rows = 0;
  std::string cases;
  const std::size_t last = k.space.size() - 1;
  for (std::size_t s = 0; s < k.sources.size(); ++s) {
    const ConcatKernel::Source& source = k.sources[s];
    graph::Shape space = k.space;
    space[static_cast<std::size_t>(k.axis)] = source.extent;
    const std::int64_t inner = space[last];
    space.pop_back();
    const std::int64_t count = inner == 0 ? 0 : product(space);
    if (count == 0) continue;
    const Decomposed at = decompose("row", space, "i", "    ");
    std::vector<std::string> to = at.indices;
    Access destination = k.write;
    destination.offset += source.begin * destination.strides[static_cast<std::size_t>(k.axis)];
    const std::int64_t from_stride = source.access.strides[last], to_stride = k.write.strides[last];
    cases += fmt::format(
        "  if (row < {}) {{  // source {}\n{}    move<{}, {}, {}>(static_cast<const {}*>(args[{}]) + ({}),\n"
        "      static_cast<{}*>(args[{}]) + ({}));\n    return;\n  }}\n  row -= {};\n",
        count, s, at.statements, inner, from_stride, to_stride, element, hooks.arguments.input(source.access.buffer),
        offset_text(source.access, at.indices), element, hooks.arguments.output(k.write.buffer),
        offset_text(destination, to), count);
    rows += count;
  }
  hooks.figures = constant("kRows", rows, "rows of all sources");
  hooks.code = fmt::format(
      "using Element = {};\n\ntemplate <std::int64_t count, std::int64_t from_stride, std::int64_t to_stride>\n"
      "inline void move(const Element* from, Element* to) {{\n"
      "  if constexpr (from_stride == 1 && to_stride == 1)\n    __builtin_memcpy(to, from, count * sizeof(Element));\n "
      " else\n"
      "    for (std::int64_t j = 0; j < count; ++j) to[j * to_stride] = from[j * from_stride];\n}}\n\n"
      "// Rows are numbered source by source.\ninline void copy_row(void* const* args, std::int64_t row) {{\n{}}}\n",
      element, cases);
  return hooks;
}

}  // namespace kiln::agents::writer
