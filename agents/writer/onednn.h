// What the oneDNN kernels of every family share, and the convolution's part of them. Internal to the writer.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include "agents/writer/evaluate.h"
#include "agents/writer/family.h"

namespace kiln::agents::writer {

constexpr std::size_t kMostDimensions = 12;  // DNNL_MAX_NDIMS

// "{arg, offset, {dims}, {strides}}": a Tensor of the prelude. A dimension that broadcasts has extent 1.
[[nodiscard]] std::string tensor_text(const Access& access, const graph::Shape& space, int arg);
// float32, with a rank that oneDNN has, and no negative stride.
[[nodiscard]] bool is_plain(const Access& a, std::size_t rank);
// Row-major without gaps.
[[nodiscard]] bool dense(const Access& a, const graph::Shape& space);
// append_steps(): post-operations from `first` on, in order; binary ones name their operand's position in kOperands.
[[nodiscard]] std::string steps_text(const std::vector<Step>& steps, std::size_t first);

// The epilogue as oneDNN has it: perhaps a bias per channel, then functions of one operand. nullopt: it is not that, or
// the tensors are not dense, or w is no constant.
[[nodiscard]] std::optional<std::vector<Step>> convolution_steps(const ConvolutionKernel& kernel);
[[nodiscard]] Hooks convolution_tensors(const ConvolutionKernel& kernel);

}  // namespace kiln::agents::writer
