// Hooks of the gather and concat families on a GPU: one element of the result.
#include <fmt/format.h>

#include <algorithm>

#include "agents/writer/device/device.h"

namespace kiln::agents::writer::device {

using graph::DType;

bool accepts_gather(const GatherKernel& k) {
  const auto shaped = [](const Access& a) { return a.strides.size() == 3; };
  return shaped(k.data) && k.indices.strides.size() == 1 && graph::is_integer(k.indices.type) && k.outer > 0 &&
         k.axis > 0 && k.inner > 0 && k.index_count > 0 && std::all_of(k.reads.begin(), k.reads.end(), shaped) &&
         std::all_of(k.writes.begin(), k.writes.end(), shaped) &&
         std::none_of(k.epilogue.nodes.begin(), k.epilogue.nodes.end(),
                      [](const graph::ExprNode& n) { return graph::is_row_reduction(n.op); });
}

Hooks gather_hooks(const GatherKernel& k) {
  Hooks hooks;
  std::vector<Access> reads = {k.data, k.indices};
  reads.insert(reads.end(), k.reads.begin(), k.reads.end());
  const graph::Shape space = {k.outer, k.index_count, k.inner};
  bool wide = is_wide(k.data, {k.outer, k.axis, k.inner}) || is_wide(k.indices, {k.index_count}) ||
              product(space) >= (std::int64_t{1} << 30);
  for (const Access& access : k.reads) wide = wide || is_wide(access, space);
  for (const Access& access : k.writes) wide = wide || is_wide(access, space);
  hooks.figures =
      index_type(wide) +
      fmt::format(
          "constexpr index_t kOuter = {};\nconstexpr index_t kAxis = {};  // extent of the gathered dimension\n"
          "constexpr index_t kInner = {};\nconstexpr index_t kIndexCount = {};\n",
          k.outer, k.axis, k.inner, k.index_count);
  // Every access begins at its own offset: there is no row to place.
  std::string code = place_functions({reads, k.writes, -1}, {});
  const auto position = [](const Access& a, const char* middle) {
    return strided({{"outer", a.strides[0]}, {middle, a.strides[1]}, {"j", a.strides[2]}});
  };
  std::vector<DType> types = {k.data.type};
  std::string call = element_value(k.data, 0, position(k.data, "index"), hooks.arguments), declare, stores;
  for (std::size_t i = 0; i < k.reads.size(); ++i) {
    types.push_back(k.reads[i].type);
    call += ", " + element_value(k.reads[i], i + 2, position(k.reads[i], "i"), hooks.arguments);
  }
  for (std::size_t r = 0; r < k.writes.size(); ++r) {
    declare += fmt::format("  {} z{};\n",
                           value_type(k.epilogue.nodes[static_cast<std::size_t>(k.epilogue.results[r])].type), r);
    call += fmt::format(", z{}", r);
    stores +=
        "  " + element_store(k.writes[r], r, position(k.writes[r], "i"), fmt::format("z{}", r), hooks.arguments) + "\n";
  }
  const std::string selected = element_value(k.indices, 1, strided({{"i", k.indices.strides[0]}}), hooks.arguments);
  code += expression_function(k.epilogue, types) +
          fmt::format(
              "\n// Element j of the row that index i selects. Negative indices count from the end; one outside the "
              "axis is the caller's\n"
              "// error and reads the nearest row instead of other memory.\n"
              "KILN_DEVICE void gather_one(const Arguments& arguments, [[maybe_unused]] index_t outer, "
              "[[maybe_unused]] index_t i, "
              "[[maybe_unused]] index_t j) {{\n"
              "  const Place at = place_of(0);\n  i64 chosen = static_cast<i64>({});\n  if (chosen < 0) chosen += "
              "kAxis;\n"
              "  [[maybe_unused]] const index_t index = static_cast<index_t>(chosen < 0 ? 0 : chosen >= kAxis ? "
              "kAxis - 1 : chosen);\n"
              "{}  expression({});\n{}}}\n",
              selected, declare, call, stores);
  hooks.code = arguments_struct(hooks.arguments) + code;
  return hooks;
}

bool accepts_concat(const ConcatKernel& k) {
  return !k.space.empty() && product(k.space) > 0 &&
         std::all_of(k.sources.begin(), k.sources.end(),
                     [&](const ConcatKernel::Source& s) { return s.access.type == k.write.type; });
}

Hooks concat_hooks(const ConcatKernel& k) {
  Hooks hooks;
  const auto axis = static_cast<std::size_t>(k.axis);
  bool wide = is_wide(k.write, k.space) || product(k.space) >= (std::int64_t{1} << 30);
  for (const ConcatKernel::Source& source : k.sources) {
    graph::Shape space = k.space;
    space[axis] = source.extent;
    wide = wide || is_wide(source.access, space);
  }
  hooks.figures = index_type(wide) + fmt::format("constexpr index_t kElements = {};\n", product(k.space));
  const Decomposed at = decompose("element", k.space, "i", "  ", "index_t");
  const std::string along = at.indices[axis], type = memory_type(k.write.type);
  const std::string to = fmt::format("static_cast<{}*>(arguments.at[{}])[{}]", type,
                                     hooks.arguments.output(k.write.buffer), offset_text(k.write, at.indices));
  std::string cases;
  for (const ConcatKernel::Source& source : k.sources) {
    if (source.extent == 0) continue;
    std::vector<std::string> indices = at.indices;
    if (source.begin != 0) indices[axis] = fmt::format("({} - {})", along, source.begin);
    cases +=
        fmt::format("  if ({} < {}) {{\n    {} = static_cast<const {}*>(arguments.at[{}])[{}];\n    return;\n  }}\n",
                    along, source.begin + source.extent, to, type, hooks.arguments.input(source.access.buffer),
                    offset_text(source.access, indices));
  }
  hooks.code = arguments_struct(hooks.arguments) +
               fmt::format("\nKILN_DEVICE void copy_one(const Arguments& arguments, index_t element) {{\n{}{}}}\n",
                           at.statements, cases);
  return hooks;
}

bool accepts_pad(const PadKernel& k) {
  return !k.out.empty() && k.in.size() == k.out.size() && product(k.out) > 0 && k.value.type == k.x.type;
}

Hooks pad_hooks(const PadKernel& k) {
  Hooks hooks;
  const bool wide = is_wide(k.x, k.in) || product(k.out) >= (std::int64_t{1} << 30);
  hooks.figures = index_type(wide) + fmt::format("constexpr index_t kElements = {};\n", product(k.out));
  const Decomposed at = decompose("element", k.out, "i", "  ", "index_t");
  const std::string type = memory_type(k.x.type);
  std::string inside;
  std::vector<std::string> indices;
  for (std::size_t d = 0; d < k.out.size(); ++d) {
    indices.push_back(k.op.before[d] == 0 ? at.indices[d] : fmt::format("({} - ({}))", at.indices[d], k.op.before[d]));
    if (k.op.before[d] == 0 && k.in[d] == k.out[d]) continue;
    inside += fmt::format("{0}{1} >= 0 && {1} < {2}", inside.empty() ? "" : " && ", indices[d], k.in[d]);
  }
  hooks.code = fmt::format(
      "\nKILN_DEVICE void copy_one(const Arguments& arguments, index_t element) {{\n{}"
      "  const bool inside = {};\n  static_cast<{}*>(arguments.at[{}])[{} + element] =\n"
      "      inside ? static_cast<const {}*>(arguments.at[{}])[{}] : static_cast<const {}*>(arguments.at[{}])[{}];\n"
      "}}\n",
      at.statements, inside.empty() ? "true" : inside, type, hooks.arguments.output(k.write.buffer), k.write.offset,
      type, hooks.arguments.input(k.x.buffer), offset_text(k.x, indices), type, hooks.arguments.input(k.value.buffer),
      k.value.offset);
  hooks.code = arguments_struct(hooks.arguments) + hooks.code;
  return hooks;
}

}  // namespace kiln::agents::writer::device
