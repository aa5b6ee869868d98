// Row reductions as scalar expressions: softmax, layer normalisation, and reductions over one row.
#include <algorithm>
#include <limits>

#include "agents/region/lowering.h"

namespace kiln::agents {

using graph::ExprOp;

std::vector<std::size_t> normalized_axes(const std::vector<std::int32_t>& axes, std::size_t rank) {
  std::vector<std::size_t> out;
  for (const std::int32_t axis : axes)
    out.push_back(static_cast<std::size_t>(axis < 0 ? axis + static_cast<std::int32_t>(rank) : axis));
  std::sort(out.begin(), out.end());
  return out;
}

bool Walk::varies_along_row(const Affine& a) const {
  for (std::size_t axis = 0; axis < a.strides.size(); ++axis)
    if (space_.group(axis) == row_group_ && a.strides[axis] != 0) return true;
  return false;
}

std::int64_t Walk::row_length() const {
  std::int64_t length = 1;
  for (std::size_t axis = 0; axis < space_.extents().size(); ++axis)
    if (space_.group(axis) == row_group_) length *= space_.extents()[axis];
  return length;
}

Affine Walk::row_position() const {
  Affine position = space_.constant(0);
  std::int64_t stride = 1;
  for (std::size_t axis = space_.extents().size(); axis-- > 0;) {
    if (space_.group(axis) != row_group_) continue;
    if (space_.extents()[axis] > 1) position.strides[axis] = stride;
    stride *= space_.extents()[axis];
  }
  return position;
}

// The dimensions `axes` of a value are exactly the row, and no other dimension moves along it.
void Walk::require_whole_row(const IndexMap& map, const graph::Shape& of, const std::vector<std::size_t>& axes) const {
  graph::Shape extents;
  IndexMap along;
  for (std::size_t d = 0; d < of.size(); ++d) {
    if (std::find(axes.begin(), axes.end(), d) != axes.end()) {
      extents.push_back(of[d]);
      along.push_back(map[d]);
    } else if (varies_along_row(map[d])) {
      throw Unfoldable{};
    }
  }
  if (graph::element_count(extents) != row_length() || linear(space_, along, extents) != row_position())
    throw Unfoldable{};
}

// exp(x - max) / sum(exp(x - max)); its logarithm as x - max - log(sum), which does not underflow.
std::int32_t Walk::softmax(const graph::Softmax& op, const graph::Node& node, const IndexMap& map) {
  require_whole_row(map, shape(node.inputs[0]), normalized_axes({op.axis}, map.size()));
  const std::int32_t x = element(node.inputs[0], map);
  const std::int32_t shifted = expr.apply(ExprOp::sub, x, expr.apply(ExprOp::row_max, x));
  const std::int32_t power = expr.apply(ExprOp::exp, shifted);
  const std::int32_t sum = expr.apply(ExprOp::row_sum, power);
  if (op.log) return expr.apply(ExprOp::sub, shifted, expr.apply(ExprOp::log, sum));
  return expr.apply(ExprOp::div, power, sum);
}

// Two passes (mean, then centred squares): the one-pass form cancels when the mean is large.
std::int32_t Walk::layer_norm(const graph::LayerNorm& op, const graph::Node& node, const IndexMap& map) {
  const graph::Shape& of = shape(node.inputs[0]);
  std::vector<std::size_t> axes;
  for (std::size_t d = normalized_axes({op.axis}, of.size())[0]; d < of.size(); ++d) axes.push_back(d);
  require_whole_row(map, of, axes);
  const graph::DType type = body_.type(node.inputs[0]).dtype;
  const std::int32_t x = element(node.inputs[0], map);
  const std::int32_t length = expr.constant(static_cast<double>(row_length()), type);
  std::int32_t centred = x;
  if (op.centred) centred = expr.apply(ExprOp::sub, x, expr.apply(ExprOp::div, expr.apply(ExprOp::row_sum, x), length));
  const std::int32_t squares = expr.apply(ExprOp::row_sum, expr.apply(ExprOp::mul, centred, centred));
  const std::int32_t variance = expr.apply(ExprOp::div, squares, length);
  const std::int32_t deviation =
      expr.apply(ExprOp::sqrt, expr.apply(ExprOp::add, variance, expr.constant(op.epsilon, type)));
  const std::int32_t inverse = expr.apply(ExprOp::div, expr.constant(1, type), deviation);
  std::int32_t out = expr.apply(ExprOp::mul, centred, inverse);
  const auto affine = [&](std::size_t input, ExprOp with) {
    if (input >= node.inputs.size()) return;
    out = expr.apply(with, out, element(node.inputs[input], broadcast_map(space_, map, shape(node.inputs[input]), of)));
  };
  affine(1, ExprOp::mul);
  affine(2, ExprOp::add);
  return out;
}

// The maximum is taken out before the exponentials, unless it is infinite.
std::int32_t Walk::log_sum_exp(std::int32_t x) {
  const graph::DType type = expr.nodes[static_cast<std::size_t>(x)].type;
  const std::int32_t top = expr.apply(ExprOp::row_max, x);
  const std::int32_t infinity = expr.constant(std::numeric_limits<double>::infinity(), type);
  const std::int32_t finite = expr.apply(ExprOp::less, expr.apply(ExprOp::abs, top), infinity);
  const std::int32_t shift = expr.apply(ExprOp::select, finite, top, expr.constant(0, type));
  const std::int32_t sum = expr.apply(ExprOp::row_sum, expr.apply(ExprOp::exp, expr.apply(ExprOp::sub, x, shift)));
  return expr.apply(ExprOp::add, expr.apply(ExprOp::log, sum), shift);
}

std::int32_t Walk::reduce(const graph::Reduce& op, const graph::Node& node, const IndexMap& map) {
  const graph::Shape& of = shape(node.inputs[0]);
  const std::vector<std::size_t> axes = normalized_axes(op.axes, of.size());
  graph::Shape reduced;
  for (const std::size_t axis : axes) reduced.push_back(of[axis]);
  if (graph::element_count(reduced) != row_length()) throw Unfoldable{};
  const IndexMap along = delinearize(space_, row_position(), reduced);
  IndexMap input(of.size(), space_.constant(0));
  std::size_t next_kept = 0, next_reduced = 0;
  for (std::size_t d = 0; d < of.size(); ++d) {
    const bool is_reduced = next_reduced < axes.size() && axes[next_reduced] == d;
    if (is_reduced && op.keep_dims) ++next_kept;
    input[d] = is_reduced ? along[next_reduced++] : map[next_kept++];
    if (!is_reduced && varies_along_row(input[d])) throw Unfoldable{};
  }
  const std::int32_t x = element(node.inputs[0], input);
  switch (op.monoid) {
    case graph::Monoid::sum: return expr.apply(ExprOp::row_sum, x);
    case graph::Monoid::max: return expr.apply(ExprOp::row_max, x);
    case graph::Monoid::min: return expr.apply(ExprOp::row_min, x);
    case graph::Monoid::prod: return expr.apply(ExprOp::row_prod, x);
    case graph::Monoid::log_sum_exp: return log_sum_exp(x);
    case graph::Monoid::mean: break;
  }
  const graph::DType type = body_.type(node.inputs[0]).dtype;
  const auto length = graph::is_integer(type) ? expr.integer(row_length(), type)
                                              : expr.constant(static_cast<double>(row_length()), type);
  return expr.apply(ExprOp::div, expr.apply(ExprOp::row_sum, x), length);
}

}  // namespace kiln::agents
