// oneDNN's convolution and deconvolution, over dense tensors whose channels are not grouped in their shapes.
#include <fmt/format.h>

#include <algorithm>

#include "agents/writer/onednn.h"

namespace kiln::agents::writer {
namespace {

constexpr std::size_t kMostSpatial = 3;

graph::Shape joined(graph::Shape first, const graph::Shape& rest) {
  first.insert(first.end(), rest.begin(), rest.end());
  return first;
}

// One value per channel, the channels of all groups in a row.
bool is_bias(const Access& a, const ConvolutionKernel& k) {
  const bool spatial = std::any_of(a.strides.begin() + 3, a.strides.end(), [](std::int64_t s) { return s != 0; });
  return !spatial && a.strides[0] == 0 && (k.m == 1 || a.strides[2] == 1) && (k.groups == 1 || a.strides[1] == k.m);
}

std::string list(const graph::Shape& values) {
  std::string text;
  for (const std::int64_t v : values) text += (text.empty() ? "" : ", ") + std::to_string(v);
  return text;
}

std::string dims(std::string_view name, const graph::Shape& values) {
  return fmt::format("constexpr dnnl_dims_t {} = {{{}}};\n", name, list(values));
}

// A dense tensor of images, channels and spatial extents.
std::string tensor(std::string_view name, int arg, const Access& a, std::int64_t n, std::int64_t channels,
                   const graph::Shape& spatial) {
  const graph::Shape shape = joined({n, channels}, spatial);
  graph::Shape strides(shape.size(), 1);
  for (std::size_t d = shape.size() - 1; d-- > 0;) strides[d] = strides[d + 1] * shape[d + 1];
  return fmt::format("constexpr Tensor {} = {{{}, {}, {}, {{{}}}, {{{}}}}};\n", name, arg, a.offset, shape.size(),
                     list(shape), list(strides));
}

}  // namespace

std::optional<std::vector<Step>> convolution_steps(const ConvolutionKernel& k) {
  const std::size_t rank = k.out.size() + 3;
  if (k.out.empty() || k.out.size() > kMostSpatial || !k.w_is_weight || k.writes.size() != 1) return std::nullopt;
  if (!is_plain(k.x, rank) || !is_plain(k.w, rank) || !is_plain(k.writes[0], rank)) return std::nullopt;
  if (!dense(k.x, joined({k.n, k.groups, k.c}, k.in)) || !dense(k.writes[0], joined({k.n, k.groups, k.m}, k.out)))
    return std::nullopt;
  for (std::size_t d = 0; d < k.out.size(); ++d)
    if (k.out[d] < 1 || k.steps.before[d] < 0) return std::nullopt;
  std::optional<std::vector<Step>> steps = chain_of(k.epilogue, k.epilogue.results[0]);
  if (!steps || steps->size() > 4) return std::nullopt;
  for (std::size_t i = 0; i < steps->size(); ++i) {
    const Step& step = (*steps)[i];
    if (step.operand < 0) continue;
    const Access& read = k.reads[static_cast<std::size_t>(step.operand - 1)];
    if (i != 0 || step.algorithm != "binary_add" || !is_plain(read, rank) || !is_bias(read, k)) return std::nullopt;
  }
  return steps;
}

Hooks convolution_tensors(const ConvolutionKernel& k) {
  Hooks hooks;
  const std::vector<Step> steps = *convolution_steps(k);
  const bool bias = !steps.empty() && steps[0].operand >= 0;
  graph::Shape dilations, after;  // oneDNN counts the elements left out between taps, and the padding that is used
  for (std::size_t d = 0; d < k.out.size(); ++d) {
    const std::int64_t reach = (k.window[d] - 1) * k.steps.dilations[d] + 1;
    dilations.push_back(k.steps.dilations[d] - 1);
    after.push_back(k.transposed ? k.steps.strides[d] * (k.in[d] - 1) + reach - k.steps.before[d] - k.out[d]
                                 : k.steps.strides[d] * (k.out[d] - 1) + reach - k.in[d] - k.steps.before[d]);
  }
  hooks.figures = tensor("kX", hooks.arguments.input(k.x.buffer), k.x, k.n, k.groups * k.c, k.in);
  hooks.figures +=
      fmt::format("constexpr Tensor kW = {};  // group, channels out, channels in, window\n",
                  tensor_text(k.w, joined({k.groups, k.m, k.c}, k.window), hooks.arguments.input(k.w.buffer)));
  hooks.figures += fmt::format("constexpr bool kHasBias = {};\n", bias);
  const auto* read = bias ? &k.reads[static_cast<std::size_t>(steps[0].operand - 1)] : nullptr;
  hooks.figures += read ? fmt::format("constexpr Tensor kBias = {{{}, {}, 1, {{{}}}, {{1}}}};\n",
                                      hooks.arguments.input(read->buffer), read->offset, k.groups * k.m)
                        : "constexpr Tensor kBias = {};\n";
  hooks.figures += tensor("kY", hooks.arguments.output(k.writes[0].buffer), k.writes[0], k.n, k.groups * k.m, k.out);
  hooks.figures += constant("kGroups", k.groups) + fmt::format("constexpr bool kTransposed = {};\n", k.transposed) +
                   dims("kStrides", k.steps.strides) + dims("kDilations", dilations) + dims("kBefore", k.steps.before) +
                   dims("kAfter", after) + steps_text(steps, bias ? 1 : 0);
  return hooks;
}

}  // namespace kiln::agents::writer
