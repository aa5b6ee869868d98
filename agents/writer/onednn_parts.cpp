#include <fmt/format.h>

#include <algorithm>

#include "agents/writer/onednn.h"

namespace kiln::agents::writer {

using graph::DType;

std::string tensor_text(const Access& access, const graph::Shape& space, int arg) {
  std::string dims, strides;
  std::int64_t dense = 1;
  for (std::size_t d = 0; d < space.size(); ++d) dense = std::max(dense, access.strides[d] * space[d]);
  for (std::size_t d = 0; d < space.size(); ++d) {
    const bool one = access.strides[d] == 0 || space[d] == 1;
    dims += fmt::format("{}{}", d == 0 ? "" : ", ", access.strides[d] == 0 ? 1 : space[d]);
    // One element along the innermost dimension, more than one apart, would be another layout: reductions to a column
    // would go to reference loops, a hundred times slower.
    const std::int64_t apart = d + 1 == space.size() ? 1 : dense;
    strides += fmt::format("{}{}", d == 0 ? "" : ", ", one ? apart : access.strides[d]);
  }
  if (space.empty()) dims = strides = "1";
  return fmt::format("{{{}, {}, {}, {{{}}}, {{{}}}}}", arg, access.offset, std::max<std::size_t>(1, space.size()), dims,
                     strides);
}

bool is_plain(const Access& a, std::size_t rank) {
  return a.type == DType::f32 && a.strides.size() == rank && rank <= kMostDimensions &&
         std::all_of(a.strides.begin(), a.strides.end(), [](std::int64_t s) { return s >= 0; });
}

bool dense(const Access& a, const graph::Shape& space) {
  std::int64_t expected = 1;
  for (std::size_t d = space.size(); d-- > 0;) {
    if (space[d] > 1 && a.strides[d] != expected) return false;
    expected *= space[d];
  }
  return true;
}

std::string steps_text(const std::vector<Step>& steps, std::size_t first) {
  std::string text =
      "inline void append_steps([[maybe_unused]] dnnl_post_ops_t steps, [[maybe_unused]] const Tensor* operands) {\n";
  int operand = 0;
  for (std::size_t i = first; i < steps.size(); ++i) {
    const Step& step = steps[i];
    if (step.operand < 0)
      text += fmt::format("  check(dnnl_post_ops_append_eltwise(steps, 1.0f, dnnl_{}, {}, {}));\n", step.algorithm,
                          float_literal(step.alpha, DType::f32), float_literal(step.beta, DType::f32));
    else
      text += fmt::format(
          "  {{\n    const dnnl_memory_desc_t operand = layout(operands[{}]);\n"
          "    check(dnnl_post_ops_append_binary(steps, dnnl_{}, &operand));\n  }}\n",
          operand++, step.algorithm);
  }
  return text + "}\n";
}

}  // namespace kiln::agents::writer
