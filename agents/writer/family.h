// One translation per family: from a lowered kernel to the hooks that its templates call.
#pragma once

#include <map>
#include <optional>
#include <string>

#include "agents/region/kernel.h"
#include "agents/writer/expression.h"
#include "agents/writer/source.h"
#include "store/corpus/corpus.h"

namespace kiln::agents::writer {

// What a family contributes to the generated file.
struct Hooks {
  Form form = Form::vector;
  std::vector<graph::ExprOp> functions;       // vector functions that the hooks call
  std::string figures;                        // constants of the region: "constexpr std::int64_t kM = 128;"
  std::string code;                           // inline functions, after the prelude and before the template
  Arguments arguments;                        // of the run launch
  Arguments prepare_arguments;                // of the launch that packs; empty when there is none
  Arguments weight_arguments;                 // of one more that packs, in prepare; empty when there is none
  bool packs_once = false;                    // that launch runs in prepare, else before each run
  bool half = false;                          // 16-bit floats are in its memory: half_prelude()
  bool integers = false;                      // integers are in its lanes: integer_prelude()
  int launches = 1;                           // on a GPU; more than one are KILN_KERNEL_0, KILN_KERNEL_1, ... in turn
  // Of launches after the first, where their geometry is another: blocks and bytes of shared memory.
  struct Following { std::int64_t blocks = 0, shared_bytes = 0; };
  std::optional<Following> following;
  std::vector<std::int64_t> temporary_bytes;  // of the buffers that they leave results in for each other
};

using Tunables = std::map<std::string, std::int64_t>;

[[nodiscard]] int lanes_of(const Tunables& tunables);  // from `isa`, in bits; 4 without it

[[nodiscard]] bool accepts_pointwise(const store::TemplateSpec& spec, const PointwiseKernel& kernel);
[[nodiscard]] bool accepts_row(const store::TemplateSpec& spec, const RowKernel& kernel);
[[nodiscard]] bool accepts_matmul(const store::TemplateSpec& spec, const MatmulKernel& kernel);
[[nodiscard]] bool accepts_attention(const store::TemplateSpec& spec, const AttentionKernel& kernel);
[[nodiscard]] bool accepts_gather(const store::TemplateSpec& spec, const GatherKernel& kernel);
[[nodiscard]] bool accepts_concat(const store::TemplateSpec& spec, const ConcatKernel& kernel);
[[nodiscard]] bool accepts_convolution(const store::TemplateSpec& spec, const ConvolutionKernel& kernel);
[[nodiscard]] bool accepts_window(const store::TemplateSpec& spec, const WindowKernel& kernel);
[[nodiscard]] bool accepts_pad(const store::TemplateSpec& spec, const PadKernel& kernel);
[[nodiscard]] bool accepts_line(const store::TemplateSpec& spec, const LineKernel& kernel);
[[nodiscard]] bool accepts_scatter(const store::TemplateSpec& spec, const ScatterKernel& kernel);
[[nodiscard]] bool accepts_recurrent(const store::TemplateSpec& spec, const RecurrentKernel& kernel);

[[nodiscard]] Hooks pointwise_hooks(const store::TemplateSpec& spec, const PointwiseKernel& kernel,
                                    const Tunables& tunables);
[[nodiscard]] Hooks row_hooks(const RowKernel& kernel, const Tunables& tunables);
[[nodiscard]] Hooks matmul_hooks(const store::TemplateSpec& spec, const MatmulKernel& kernel, const Tunables& tunables);
[[nodiscard]] Hooks attention_hooks(const AttentionKernel& kernel);
[[nodiscard]] Hooks gather_hooks(const GatherKernel& kernel);
[[nodiscard]] Hooks concat_hooks(const ConcatKernel& kernel);
[[nodiscard]] Hooks convolution_hooks(const store::TemplateSpec& spec, const ConvolutionKernel& kernel,
                                      const Tunables& tunables);
[[nodiscard]] Hooks window_hooks(const WindowKernel& kernel);
[[nodiscard]] Hooks pad_hooks(const PadKernel& kernel);
[[nodiscard]] Hooks line_hooks(const LineKernel& kernel);
[[nodiscard]] Hooks scatter_hooks(const ScatterKernel& kernel);
[[nodiscard]] Hooks recurrent_hooks(const RecurrentKernel& kernel);

// Loads of operands x0, x1, ... for one vector (or one element) at position `j` of the innermost dimension, from
// pointers `at.x0`, ...; `inner` is the index of that dimension in the strides. And the stores of y0, y1, ...
[[nodiscard]] std::string load_statements(const std::vector<Access>& reads, std::size_t inner, Form form,
                                          int first_operand, std::string_view indent);
[[nodiscard]] std::string store_statements(const std::vector<Access>& writes, std::size_t inner, Form form,
                                           std::string_view indent);
// One vector `value` of `count` elements, `stride` apart from `position` on.
[[nodiscard]] std::string store_text(const Access& access, const std::string& position, std::int64_t stride,
                                     const std::string& value);
[[nodiscard]] std::string load_text(const Access& access, const std::string& pointer, std::int64_t stride, Form form);

// oneDNN: what a vendor template matches, and its hooks.
[[nodiscard]] bool accepts_onednn(const store::TemplateSpec& spec, const Kernel& kernel);
[[nodiscard]] Hooks onednn_hooks(const store::TemplateSpec& spec, const Kernel& kernel);

}  // namespace kiln::agents::writer
