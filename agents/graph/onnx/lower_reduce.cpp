// Reductions and softmax.
#include <numeric>

#include "agents/graph/onnx/lowering.h"

namespace kiln::graph::onnx {
namespace {

using Outputs = std::vector<ValueId>;

// nullopt: nothing is reduced, and the operator is applied to each element by itself.
std::optional<std::vector<std::int32_t>> reduced_axes(const Call& call, std::int64_t since) {
  const std::size_t rank = call.type(call.in(0)).shape.size();
  const auto given = call.ints_by_opset("axes", since, 1);
  std::vector<std::int32_t> axes;
  if (!given || given->empty()) {
    if (call.get_int("noop_with_empty_axes", 0) != 0) return std::nullopt;
    axes.resize(rank);
    std::iota(axes.begin(), axes.end(), 0);
    return axes;
  }
  for (const std::int64_t axis : *given) axes.push_back(call.axis(axis, rank));
  return axes;
}

ValueId reduce_value(const Call& call, Monoid monoid, ValueId x, std::int64_t since) {
  const auto axes = reduced_axes(call, since);
  if (!axes) return x;
  return call.add(Reduce{monoid, *axes, call.get_int("keepdims", 1) != 0}, {x});
}

template <Monoid monoid, std::int64_t since>
Outputs reduce(const Call& call) { return {reduce_value(call, monoid, call.in(0), since)}; }

Outputs reduce_l2(const Call& call) {
  const ValueId square = call.apply(ExprOp::mul, call.in(0), call.in(0));
  return {call.apply(ExprOp::sqrt, reduce_value(call, Monoid::sum, square, 18))};
}

Outputs reduce_l1(const Call& call) {
  return {reduce_value(call, Monoid::sum, call.apply(ExprOp::abs, call.in(0)), 18)};
}

Outputs reduce_sum_square(const Call& call) {
  return {reduce_value(call, Monoid::sum, call.apply(ExprOp::mul, call.in(0), call.in(0)), 18)};
}

// Before operator set 13 the input is seen as a matrix: dimensions axis..rank-1 together are one row.
template <bool log>
Outputs softmax(const Call& call) {
  const ValueId x = call.in(0);
  const Shape shape = call.type(x).shape;
  const bool modern = call.state.opset >= 13;
  const std::int32_t axis = call.axis(call.get_int("axis", modern ? -1 : 1), shape.size());
  if (modern || static_cast<std::size_t>(axis) + 1 == shape.size()) return {call.add(Softmax{axis, log}, {x})};
  const Shape outer(shape.begin(), shape.begin() + axis), inner(shape.begin() + axis, shape.end());
  const ValueId flat = call.reshape(x, {element_count(outer), element_count(inner)});
  return {call.reshape(call.add(Softmax{1, log}, {flat}), shape)};
}

Outputs reduce_log_sum(const Call& call) {
  return {call.apply(ExprOp::log, reduce_value(call, Monoid::sum, call.in(0), 18))};
}

}  // namespace

std::vector<OperatorRow> reduce_operators() {
  return {{"ReduceSum", reduce<Monoid::sum, 13>},
          {"ReduceMean", reduce<Monoid::mean, 18>},
          {"ReduceMax", reduce<Monoid::max, 18>},
          {"ReduceMin", reduce<Monoid::min, 18>},
          {"ReduceProd", reduce<Monoid::prod, 18>},
          {"ReduceL2", reduce_l2},
          {"ReduceL1", reduce_l1},
          {"ReduceSumSquare", reduce_sum_square},
          {"Softmax", softmax<false>},
          {"LogSoftmax", softmax<true>},
          {"ReduceLogSum", reduce_log_sum},
          {"ReduceLogSumExp", reduce<Monoid::log_sum_exp, 18>}};
}

}  // namespace kiln::graph::onnx
