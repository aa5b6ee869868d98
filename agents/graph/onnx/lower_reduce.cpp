// Reductions, softmax and layer normalisation.
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
  return axes ? call.add(Reduce{monoid, *axes, call.get_int("keepdims", 1) != 0}, {x}) : x;
}

template <Monoid monoid, std::int64_t since>
Outputs reduce(const Call& call) { return {reduce_value(call, monoid, call.in(0), since)}; }

Outputs reduce_l2(const Call& call) {
  const ValueId square = call.apply(ExprOp::mul, call.in(0), call.in(0));
  return {call.apply(ExprOp::sqrt, reduce_value(call, Monoid::sum, square, 18))};
}

Outputs reduce_l1(const Call& call) { return {reduce_value(call, Monoid::sum, call.apply(ExprOp::abs, call.in(0)), 18)}; }

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

bool wants(const Call& call, int output) { return call.node.output_size() > output && !call.node.output(output).empty(); }

Outputs layer_norm(const Call& call) {
  const ValueId x = call.in(0);
  const DType type = call.type(x).dtype;
  const std::size_t rank = call.type(x).shape.size();
  const std::int32_t axis = call.axis(call.get_int("axis", -1), rank);
  const double epsilon = call.get_float("epsilon", 1e-5f);
  std::vector<ValueId> inputs = {x, call.in(1)};
  if (call.has(2)) inputs.push_back(call.in(2));
  Outputs out = {call.add(LayerNorm{axis, epsilon}, inputs)};
  if (!wants(call, 1) && !wants(call, 2)) return out;
  std::vector<std::int32_t> axes(rank - static_cast<std::size_t>(axis));
  std::iota(axes.begin(), axes.end(), axis);
  const ValueId mean = call.add(Reduce{Monoid::mean, axes, true}, {x});
  const ValueId centred = call.apply(ExprOp::sub, x, mean);
  const ValueId variance = call.add(Reduce{Monoid::mean, axes, true}, {call.apply(ExprOp::mul, centred, centred)});
  out.push_back(mean);
  out.push_back(call.apply(ExprOp::rsqrt, call.apply(ExprOp::add, variance, call.scalar(epsilon, type))));
  return out;
}

}  // namespace

std::vector<OperatorRow> reduce_operators() {
  return {{"ReduceSum", reduce<Monoid::sum, 13>}, {"ReduceMean", reduce<Monoid::mean, 18>}, {"ReduceMax", reduce<Monoid::max, 18>},
          {"ReduceMin", reduce<Monoid::min, 18>}, {"ReduceProd", reduce<Monoid::prod, 18>}, {"ReduceL2", reduce_l2}, {"ReduceL1", reduce_l1},
          {"ReduceSumSquare", reduce_sum_square}, {"Softmax", softmax<false>}, {"LogSoftmax", softmax<true>}, {"LayerNormalization", layer_norm}};
}

}  // namespace kiln::graph::onnx
