// Types of the nodes that move a window over the last dimensions of a tensor, and of padding.
#include <algorithm>

#include "agents/graph/infer.h"

namespace kiln::graph::inference {
namespace {

// An extent, stride or padding beyond this asks for memory that no machine has; products of two fit in 64 bits.
constexpr std::int64_t kLargest = std::int64_t(1) << 30;

bool all_within(const Shape& values, std::int64_t low) {
  return std::all_of(values.begin(), values.end(), [&](std::int64_t v) { return v >= low && v <= kLargest; });
}

void check_steps(const Steps& steps, std::size_t dimensions) {
  need(steps.strides.size() == dimensions && steps.dilations.size() == dimensions &&
           steps.before.size() == dimensions && steps.after.size() == dimensions,
       "a window needs one stride, dilation and padding per dimension that it moves over");
  need(all_within(steps.strides, 1) && all_within(steps.dilations, 1), "strides and dilations are from 1 to 2^30");
  need(all_within(steps.before, 0) && all_within(steps.after, 0), "padding is from 0 to 2^30");
}

// The elements that a dilated kernel spans.
std::int64_t span(std::int64_t kernel, std::int64_t dilation) { return (kernel - 1) * dilation + 1; }

}  // namespace

Types infer(const Convolution& op, const Types& inputs) {
  need(inputs.size() == 2, "a convolution takes x and w");
  const auto is_byte = [](const TensorType& t) { return is_integer(t.dtype) && size_of(t.dtype) == 1; };
  const bool bytes = is_byte(inputs[0]) && is_byte(inputs[1]);
  need(bytes || (inputs[0].dtype == inputs[1].dtype && inputs[0].dtype != DType::boolean),
       "a convolution takes x and w of one numeric type, or integers of 8 bits");
  const Shape& x = inputs[0].shape;
  const Shape& w = inputs[1].shape;
  need(x.size() >= 3 && w.size() == x.size(), "x and w of a convolution need one rank, of three or more");
  const std::size_t dimensions = x.size() - 2;
  check_steps(op.steps, dimensions);
  need(op.extra.size() == dimensions && all_within(op.extra, 0), "a convolution needs one extra extent per dimension");
  need(all_within(x, 0) && all_within(w, 0) && all_within({w.begin() + 2, w.end()}, 1),
       "an extent of a convolution is out of range");
  (void)element_count({w.begin() + 2, w.end()});
  need(op.groups >= 1 && x[1] % op.groups == 0 && w[0] % op.groups == 0,
       "the groups do not divide the channels of a convolution");
  need(op.transposed ? w[0] == x[1] : w[1] == x[1] / op.groups, "w does not have the channels of x");
  Shape out = {x[0], op.transposed ? w[1] * op.groups : w[0]};
  for (std::size_t d = 0; d < dimensions; ++d) {
    const std::int64_t padding = op.steps.before[d] + op.steps.after[d];
    const std::int64_t reach = span(w[d + 2], op.steps.dilations[d]);
    if (op.transposed) {
      out.push_back(std::max<std::int64_t>(0, (x[d + 2] - 1) * op.steps.strides[d] + reach + op.extra[d] - padding));
    } else {
      need(op.extra[d] == 0, "only a transposed convolution has an extra extent");
      const std::int64_t room = x[d + 2] + padding - reach;
      out.push_back(room < 0 ? 0 : room / op.steps.strides[d] + 1);
    }
  }
  return {{bytes ? DType::i32 : inputs[0].dtype, out}};
}

Types infer(const Window& op, const Types& inputs) {
  need(inputs.size() == 1 && inputs[0].dtype != DType::boolean, "a window takes one numeric input");
  need(op.monoid != Monoid::log_sum_exp, "a window of log-sum-exp is not defined");
  const Shape& x = inputs[0].shape;
  const std::size_t dimensions = op.kernel.size();
  need(dimensions >= 1 && dimensions <= x.size() && op.extents.size() == dimensions,
       "a window has another rank than its input");
  check_steps(op.steps, dimensions);
  need(all_within(op.kernel, 1) && all_within(op.extents, 0), "an extent of a window is out of range");
  (void)element_count(op.kernel);
  need(!op.positions || op.monoid == Monoid::max, "only the window of a maximum has positions");
  Shape out(x.begin(), x.end() - static_cast<std::ptrdiff_t>(dimensions));
  for (std::size_t d = 0; d < dimensions; ++d) {
    const std::int64_t in = x[x.size() - dimensions + d];
    // Each window begins inside the input or the padding before it.
    need(op.extents[d] == 0 || (op.extents[d] - 1) * op.steps.strides[d] < in + op.steps.before[d],
         "a window begins outside its input");
    out.push_back(op.extents[d]);
  }
  Types types = {{inputs[0].dtype, out}};
  if (op.positions) types.push_back({DType::i64, out});
  return types;
}

Types infer(const Pad& op, const Types& inputs) {
  need(inputs.size() == 2 && inputs[1] == TensorType{inputs[0].dtype, {}}, "padding takes x and one value of its type");
  const Shape& x = inputs[0].shape;
  need(op.before.size() == x.size() && op.after.size() == x.size(), "padding needs one entry per dimension");
  need(all_within(op.before, 0) && all_within(op.after, 0), "padding is from 0 to 2^30");
  Shape out = x;
  for (std::size_t d = 0; d < x.size(); ++d) out[d] += op.before[d] + op.after[d];
  return {{inputs[0].dtype, out}};
}

}  // namespace kiln::graph::inference
