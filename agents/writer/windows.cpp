// Hooks of the window and pad families: figures, the type of an element, and where the buffers begin.
#include <fmt/format.h>

#include "agents/writer/family.h"

namespace kiln::agents::writer {

using graph::DType;

namespace {

std::string table(std::string_view name, const graph::Shape& values, std::string_view meaning = {}) {
  std::string text;
  for (const std::int64_t v : values) text += (text.empty() ? "" : ", ") + std::to_string(v);
  return fmt::format("constexpr std::int64_t {}[] = {{{}}};{}{}\n", name, text, meaning.empty() ? "" : "  // ",
                     meaning);
}

graph::Shape after_first(const graph::Shape& strides) { return {strides.begin() + 1, strides.end()}; }

constexpr const char* kMonoids[] = {"sum", "mean", "max", "min", "prod"};

}  // namespace

bool accepts_window(const store::TemplateSpec&, const WindowKernel& k) {
  return !graph::is_float8(k.x.type) && k.x.type != DType::boolean && !k.in.empty() &&
         static_cast<std::size_t>(k.op.monoid) < std::size(kMonoids) && (k.values || k.positions);
}

Hooks window_hooks(const WindowKernel& k) {
  Hooks hooks;
  hooks.form = Form::scalar;
  hooks.half = is_half(k.x.type);
  const graph::Steps& s = k.op.steps;
  hooks.figures = constant("kOuter", k.outer, "planes") +
                  constant("kRank", static_cast<std::int64_t>(k.in.size()), "dimensions of a plane") +
                  table("kIn", k.in) + table("kOut", k.op.extents) + table("kKernel", k.op.kernel) +
                  table("kStrides", s.strides) + table("kDilations", s.dilations) + table("kBefore", s.before) +
                  table("kAfter", s.after) + constant("kXOuter", k.x.strides[0]) +
                  table("kXStrides", after_first(k.x.strides)) +
                  "enum class Monoid { sum, mean, max, min, prod };\n" +
                  fmt::format("constexpr Monoid kMonoid = Monoid::{};\n",
                              kMonoids[static_cast<std::size_t>(k.op.monoid)]) +
                  fmt::format("constexpr bool kCountsPadding = {};\n", k.op.counts_padding) +
                  fmt::format("using Value = {};  // what is computed with\n", scalar_type(k.x.type));
  hooks.code = fmt::format("using Element = {};  // in memory\n", memory_type(k.x.type));
  hooks.code += fmt::format(
      "inline const Element* input(void* const* args) {{ return {} + {}; }}\n"
      "inline Element* values(void* const* args) {{ return {}; }}\n"
      "inline std::int64_t* positions(void* const* args) {{ return {}; }}\n"
      "constexpr bool kHasValues = {}, kHasPositions = {};\n",
      hooks.arguments.read(k.x), k.x.offset, k.values ? hooks.arguments.write(*k.values) : "args ? nullptr : nullptr",
      k.positions ? hooks.arguments.write(*k.positions) : "args ? nullptr : nullptr", k.values.has_value(),
      k.positions.has_value());
  return hooks;
}

bool accepts_pad(const store::TemplateSpec&, const PadKernel& k) { return !k.out.empty(); }

// Elements only move, so an integer of the same size stands for any type.
Hooks pad_hooks(const PadKernel& k) {
  Hooks hooks;
  hooks.form = Form::scalar;
  const std::string element = fmt::format("std::uint{}_t", graph::size_of(k.x.type) * 8);
  hooks.figures = constant("kRank", static_cast<std::int64_t>(k.in.size())) + table("kIn", k.in) +
                  table("kOut", k.out) + table("kBefore", k.op.before, "elements of padding") +
                  table("kXStrides", k.x.strides) + fmt::format("using Element = {};\n", element);
  hooks.code = fmt::format(
      "inline const Element* input(void* const* args) {{ return static_cast<const Element*>(args[{}]) + {}; }}\n"
      "inline Element padding(void* const* args) {{ return static_cast<const Element*>(args[{}])[{}]; }}\n"
      "inline Element* output(void* const* args) {{ return static_cast<Element*>(args[{}]); }}\n",
      hooks.arguments.input(k.x.buffer), k.x.offset, hooks.arguments.input(k.value.buffer), k.value.offset,
      hooks.arguments.output(k.write.buffer));
  return hooks;
}

}  // namespace kiln::agents::writer
