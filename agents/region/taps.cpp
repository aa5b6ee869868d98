// Windows whose results are read from x where they are needed: without padding each is the monoid over elements at
// fixed distances from the first one, so that it is a scalar expression of as many operands, and whatever x is computed
// from, and what follows, is in the same kernel.
#include <algorithm>

#include "agents/region/lowering.h"

namespace kiln::agents {

using graph::ExprOp;

namespace {

// Operands of one element, each of which takes a register; and of a kernel, windows of windows and all else included.
constexpr std::int64_t kMostTaps = 64, kMostOperands = 80;
// Elements read for each element of x: windows that overlap more than a 3x3 window by 2 does share too much to be
// read, and what x is computed from computed, once for each.
constexpr double kMostReads = 2.5;
// Reductions along rows, of a kernel that takes in windows across them: each is a register or two.
constexpr std::int64_t kMostReductions = 16;
constexpr std::int64_t kMostNodes = 768;  // of an expression: what x is computed from, once for each tap

ExprOp combining(graph::Monoid monoid) {
  switch (monoid) {
    case graph::Monoid::max:
      return ExprOp::max;
    case graph::Monoid::min:
      return ExprOp::min;
    case graph::Monoid::prod:
      return ExprOp::mul;
    default:
      return ExprOp::add;
  }
}

}  // namespace

bool has_fixed_taps(const graph::Graph& g, const graph::Node& node) {
  const auto* op = std::get_if<graph::Window>(&node.op);
  if (op == nullptr || op->positions || op->monoid == graph::Monoid::log_sum_exp) return false;
  const graph::TensorType& x = g.type(node.inputs[0]);
  if (!graph::is_float(x.dtype) || graph::is_float8(x.dtype)) return false;
  const std::size_t outer = x.shape.size() - op->kernel.size();
  double reads = 1;
  for (std::size_t d = 0; d < op->kernel.size(); ++d) {
    const std::int64_t in = x.shape[outer + d], out = op->extents[d];
    if (op->steps.before[d] != 0 || out < 1) return false;
    if ((out - 1) * op->steps.strides[d] + (op->kernel[d] - 1) * op->steps.dilations[d] >= in) return false;
    reads *= static_cast<double>(op->kernel[d] * out) / static_cast<double>(in);
  }
  return graph::element_count(op->kernel) <= kMostTaps && reads <= kMostReads;
}

std::int32_t Walk::window(const graph::Window& op, const graph::Node& node, const IndexMap& map) {
  if (!has_fixed_taps(body_, node)) throw Unfoldable{};
  const std::size_t outer = map.size() - op.kernel.size();
  const std::int64_t taps = graph::element_count(op.kernel);
  std::int32_t out = -1;
  for (std::int64_t tap = 0; tap < taps; ++tap) {
    IndexMap at = map;
    std::int64_t left = tap;
    for (std::size_t d = op.kernel.size(); d-- > 0; left /= op.kernel[d])
      at[outer + d] = plus(space_.constant(left % op.kernel[d] * op.steps.dilations[d]), map[outer + d],
                           op.steps.strides[d]);
    const std::int32_t value = element(node.inputs[0], at);
    const auto nodes = static_cast<std::int64_t>(expr.nodes.size()), operands = static_cast<std::int64_t>(reads.size());
    if (nodes > kMostNodes || operands > kMostOperands) throw Unfoldable{};
    out = tap == 0 ? value : expr.apply(combining(op.monoid), out, value);
  }
  const auto reductions = std::count_if(expr.nodes.begin(), expr.nodes.end(), [](const graph::ExprNode& n) {
    return graph::is_row_reduction(n.op);
  });
  if (reductions > kMostReductions) throw Unfoldable{};
  if (op.monoid != graph::Monoid::mean) return out;
  return expr.apply(ExprOp::div, out, expr.constant(static_cast<double>(taps), body_.type(node.inputs[0]).dtype));
}

}  // namespace kiln::agents
