// Output types by kind of node, and the checks that they share. Private to agents/graph.
#pragma once

#include <string>
#include <vector>

#include "agents/graph/graph.h"

namespace kiln::graph::inference {

using Types = std::vector<TensorType>;

[[noreturn]] void fail(const std::string& cause);  // Error(invalid_input)
void need(bool condition, const char* cause);
[[nodiscard]] std::size_t checked_axis(std::int32_t axis, const TensorType& type);

[[nodiscard]] Types infer(const Pointwise& op, const Types& inputs);
[[nodiscard]] Types infer(const Reduce& op, const Types& inputs);
[[nodiscard]] Types infer(const Softmax& op, const Types& inputs);
[[nodiscard]] Types infer(const LayerNorm& op, const Types& inputs);
[[nodiscard]] Types infer(const MatMul& op, const Types& inputs);
[[nodiscard]] Types infer(const Attention& op, const Types& inputs);
[[nodiscard]] Types infer(const Gather& op, const Types& inputs);
[[nodiscard]] Types infer(const Reshape& op, const Types& inputs);
[[nodiscard]] Types infer(const Transpose& op, const Types& inputs);
[[nodiscard]] Types infer(const Slice& op, const Types& inputs);
[[nodiscard]] Types infer(const Concat& op, const Types& inputs);
[[nodiscard]] Types infer(const Expand& op, const Types& inputs);
[[nodiscard]] Types infer(const Convolution& op, const Types& inputs);
[[nodiscard]] Types infer(const Window& op, const Types& inputs);
[[nodiscard]] Types infer(const Pad& op, const Types& inputs);
[[nodiscard]] Types infer(const Scan& op, const Types& inputs);
[[nodiscard]] Types infer(const Arg& op, const Types& inputs);
[[nodiscard]] Types infer(const TopK& op, const Types& inputs);
[[nodiscard]] Types infer(const Scatter& op, const Types& inputs);
[[nodiscard]] Types infer(const Recurrent& op, const Types& inputs);

}  // namespace kiln::graph::inference
