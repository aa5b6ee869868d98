// Hooks of the attention family: figures, where each head begins, and the mask.
#include <fmt/format.h>

#include "agents/writer/family.h"

namespace kiln::agents::writer {

using graph::DType;

bool accepts_attention(const store::TemplateSpec&, const AttentionKernel& k) {
  const std::size_t rank = k.batch.size() + 2;
  const auto usable = [&](const Access& a) {
    return is_lane_type(a.type) && a.type != DType::boolean && a.strides.size() == rank;
  };
  return k.s > 0 && k.t > 0 && k.d > 0 && k.e > 0 && usable(k.q) && usable(k.k) && usable(k.v) && usable(k.out) &&
         (!k.mask || usable(*k.mask));
}

Hooks attention_hooks(const AttentionKernel& k) {
  Hooks hooks;
  hooks.functions = {graph::ExprOp::exp};
  hooks.half = any_half({k.q, k.k, k.v, k.out}) || (k.mask && is_half(k.mask->type));
  const auto row = [](const Access& a) { return a.strides[a.strides.size() - 2]; };
  const auto column = [](const Access& a) { return a.strides.back(); };
  hooks.figures =
      constant("kBatch", product(k.batch), "heads, over all of the batch") + constant("kS", k.s, "queries") +
      constant("kT", k.t, "keys") + constant("kD", k.d, "length of a query") +
      constant("kE", k.e, "length of a value") + constant("kQRow", row(k.q)) + constant("kQColumn", column(k.q)) +
      constant("kKRow", row(k.k)) + constant("kKColumn", column(k.k)) + constant("kVRow", row(k.v)) +
      constant("kVColumn", column(k.v)) + constant("kOutRow", row(k.out)) + constant("kOutColumn", column(k.out)) +
      fmt::format("constexpr float kScale = {};\n", float_literal(k.scale, DType::f32)) +
      fmt::format("constexpr bool kCausal = {};  // key j is seen by query i when j <= i + kT - kS\n", k.causal) +
      fmt::format("constexpr bool kGuarded = {};  // a row whose softmax is not a number gives 0\n", k.guarded) +
      fmt::format("constexpr bool kMasked = {};\n", k.mask.has_value());

  const Decomposed at = decompose("head", k.batch, "i", "  ");
  const auto position = [&](const Access& a, bool write) {
    return fmt::format("{} + ({})", write ? hooks.arguments.write(a) : hooks.arguments.read(a),
                       offset_text(a, at.indices));
  };
  std::string values = position(k.q, false);
  for (const Access* a : {&k.k, &k.v}) values += ",\n          " + position(*a, false);
  values += ",\n          " + (k.mask ? position(*k.mask, false) : std::string("nullptr"));
  values += ",\n          " + position(k.out, true);
  hooks.code = fmt::format(
      "using Query = {};\nusing Value = {};\n\n"
      "// Where the matrices of one head begin.\nstruct Head {{\n  const Query* q;\n  const {}* k;\n"
      "  const Value* v;\n  const {}* mask;\n  {}* out;\n}};\n\n"
      "inline Head head_at(void* const* args, [[maybe_unused]] std::int64_t head) {{\n{}  return {{{}}};\n}}\n",
      memory_type(k.q.type), memory_type(k.v.type), memory_type(k.k.type),
      memory_type(k.mask ? k.mask->type : DType::f32), memory_type(k.out.type), at.statements, values);
  std::string mask = "splat(0.0f)";
  if (k.mask) {
    const std::string pointer = row(*k.mask) == 0 ? "at.mask" : fmt::format("(at.mask + i * {})", row(*k.mask));
    mask = load_text(*k.mask, pointer, column(*k.mask), Form::vector);
  }
  hooks.code += fmt::format(
      "\n// What is added to the scores of query i and keys j .. j + count.\ntemplate <int count>\n"
      "inline vf mask_at([[maybe_unused]] const Head& at, [[maybe_unused]] std::int64_t i, [[maybe_unused]] "
      "std::int64_t j) {{\n  return {};\n}}\n",
      mask);
  return hooks;
}

}  // namespace kiln::agents::writer
