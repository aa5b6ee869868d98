// Normalisations. Those over groups, instances and layers are one kind of node, LayerNorm, over suitable dimensions.
#include <algorithm>
#include <numeric>

#include "agents/graph/onnx/lowering.h"

namespace kiln::graph::onnx {
namespace {

using Outputs = std::vector<ValueId>;
using Axes = std::vector<std::int32_t>;

Axes axes_from(std::size_t begin, std::size_t rank) {
  Axes axes(rank - begin);
  std::iota(axes.begin(), axes.end(), static_cast<std::int32_t>(begin));
  return axes;
}

std::size_t channel_rank(const Call& call) {
  const std::size_t rank = call.type(call.in(0)).shape.size();
  if (rank < 2) malformed("its input has no channels");
  return rank;
}

struct Moments {
  ValueId mean, variance;  // biased
};

Moments moments(const Call& call, ValueId x, const Axes& axes) {
  const ValueId mean = call.reduce(Monoid::mean, x, axes);
  const ValueId centred = call.apply(ExprOp::sub, x, mean);
  return {mean, call.reduce(Monoid::mean, call.apply(ExprOp::mul, centred, centred), axes)};
}

Outputs layer_norm(const Call& call) {
  const ValueId x = call.in(0);
  const std::size_t rank = call.type(x).shape.size();
  const std::int32_t axis = call.axis(call.get_int("axis", -1), rank);
  const double epsilon = call.get_float("epsilon", 1e-5f);
  std::vector<ValueId> inputs = {x, call.in(1)};
  if (call.has(2)) inputs.push_back(call.in(2));
  Outputs out = {call.add(LayerNorm{axis, epsilon}, inputs)};
  if (!call.wants(1) && !call.wants(2)) return out;
  const Moments of = moments(call, x, axes_from(static_cast<std::size_t>(axis), rank));
  out.push_back(of.mean);
  out.push_back(call.apply(ExprOp::rsqrt, call.apply(ExprOp::add, of.variance, epsilon)));
  return out;
}

Outputs instance_norm(const Call& call) {
  const std::size_t rank = channel_rank(call);
  if (rank < 3) malformed("its input has no dimension beside the channels");
  return {call.add(LayerNorm{2, call.get_float("epsilon", 1e-5f)},
                   {call.in(0), call.per_channel(call.in(1), rank), call.per_channel(call.in(2), rank)})};
}

// Wu and He, "Group Normalization", 2018. Scale and bias are one per group in operator set 18, one per channel from 21.
Outputs group_norm(const Call& call) {
  const ValueId x = call.in(0);
  const std::size_t rank = channel_rank(call);
  const Shape shape = call.type(x).shape;
  const std::int64_t groups = call.get_int("num_groups", 0);
  if (groups < 1 || shape[1] % groups != 0) malformed("its groups do not divide its channels");
  Shape grouped = {shape[0], groups, shape[1] / groups};
  grouped.insert(grouped.end(), shape.begin() + 2, shape.end());
  const auto parameter = [&](std::size_t i) {
    const std::int64_t count = element_count(call.type(call.in(i)).shape);
    if (count != groups && count != shape[1])
      malformed("its scale and bias are neither one per group nor one per channel");
    Shape to(rank, 1);
    to[0] = groups;
    to[1] = count / groups;
    return call.reshape(call.in(i), to);
  };
  const LayerNorm op{2, call.get_float("epsilon", 1e-5f)};
  return {call.reshape(call.add(op, {call.reshape(x, grouped), parameter(1), parameter(2)}), shape)};
}

// Zhang and Sennrich, "Root Mean Square Layer Normalization", 2019. Computed in float32 or wider, as stash_type asks.
Outputs rms_norm(const Call& call) {
  const DType type = call.type(call.in(0)).dtype;
  const DType wide = type == DType::f64 ? DType::f64 : DType::f32;
  const ValueId x = call.cast(call.in(0), wide);
  const std::int32_t axis = call.axis(call.get_int("axis", -1), call.type(x).shape.size());
  const LayerNorm op{axis, call.get_float("epsilon", 1e-5f), false};
  const ValueId scale = call.in(1);
  if (wide == type && call.type(scale).dtype == type) return {call.add(op, {x, scale})};
  const ValueId normal = call.cast(call.add(op, {x, call.scalar(1, wide)}), call.type(scale).dtype);
  return {call.apply(ExprOp::mul, normal, scale)};
}

// With the statistics of training: y = x a + b, where a and b are constant with them.
Outputs batch_norm(const Call& call) {
  const ValueId x = call.in(0);
  const std::size_t rank = channel_rank(call);
  const double epsilon = call.get_float("epsilon", 1e-5f);
  if (call.state.opset < 9 && call.get_int("spatial", 1) == 0)
    refuse("it normalises each element by itself (spatial = 0)");
  if (call.state.opset < 7 && call.get_int("is_test", 0) == 0) refuse("it is in training mode (is_test = 0)");
  const bool training = call.get_int("training_mode", 0) != 0;
  if (!training && (call.wants(1) || call.wants(2)))
    refuse("it gives running statistics, which only training mode has");
  const DType type = call.type(x).dtype, wide = call.type(call.in(3)).dtype;
  const ValueId scale = call.cast(call.in(1), wide), bias = call.cast(call.in(2), wide);
  if (!training) {
    const ValueId deviation = call.apply(ExprOp::sqrt, call.apply(ExprOp::add, call.in(4), epsilon));
    const ValueId a = call.apply(ExprOp::div, scale, deviation);
    const ValueId b = call.apply(ExprOp::sub, bias, call.apply(ExprOp::mul, call.in(3), a));
    const ValueId scaled = call.apply(ExprOp::mul, x, call.per_channel(call.cast(a, type), rank));
    return {call.apply(ExprOp::add, scaled, call.per_channel(call.cast(b, type), rank))};
  }
  Axes axes = axes_from(1, rank);
  axes[0] = 0;
  const Moments of = moments(call, call.cast(x, wide), axes);
  const ValueId centred = call.apply(ExprOp::sub, call.cast(x, wide), of.mean);
  const ValueId normal =
      call.apply(ExprOp::div, centred, call.apply(ExprOp::sqrt, call.apply(ExprOp::add, of.variance, epsilon)));
  const ValueId y = call.apply(ExprOp::add, call.apply(ExprOp::mul, normal, call.per_channel(scale, rank)),
                               call.per_channel(bias, rank));
  const double momentum = call.get_float("momentum", 0.9f);
  const auto running = [&](std::size_t old, ValueId now) {
    const ValueId kept = call.apply(ExprOp::mul, call.in(old), momentum);
    return call.apply(ExprOp::add, kept,
                      call.apply(ExprOp::mul, call.reshape(now, call.type(kept).shape), 1 - momentum));
  };
  return {call.cast(y, type), running(3, of.mean), running(4, of.variance)};
}

Outputs mean_variance_norm(const Call& call) {
  const ValueId x = call.in(0);
  const std::size_t rank = call.type(x).shape.size();
  Axes axes;
  for (const std::int64_t axis : call.get_ints("axes").value_or(std::vector<std::int64_t>{0, 2, 3}))
    axes.push_back(call.axis(axis, rank));
  const Moments of = moments(call, x, axes);
  const ValueId deviation = call.apply(ExprOp::add, call.apply(ExprOp::sqrt, of.variance), 1e-9);
  return {call.apply(ExprOp::div, call.apply(ExprOp::sub, x, of.mean), deviation)};
}

Outputs lp_norm(const Call& call) {
  const ValueId x = call.in(0);
  const std::int32_t axis = call.axis(call.get_int("axis", -1), call.type(x).shape.size());
  const std::int64_t p = call.get_int("p", 2);
  if (p != 1 && p != 2) malformed("its p is neither 1 nor 2");
  const ValueId powers = p == 1 ? call.apply(ExprOp::abs, x) : call.apply(ExprOp::mul, x, x);
  const ValueId sum = call.reduce(Monoid::sum, powers, {axis});
  return {call.apply(ExprOp::div, x, p == 1 ? sum : call.apply(ExprOp::sqrt, sum))};
}

}  // namespace

std::vector<OperatorRow> normalisation_operators() {
  return {{"LayerNormalization", layer_norm}, {"InstanceNormalization", instance_norm},
          {"GroupNormalization", group_norm}, {"RMSNormalization", rms_norm},
          {"BatchNormalization", batch_norm}, {"MeanVarianceNormalization", mean_variance_norm},
          {"LpNormalization", lp_norm}};
}

}  // namespace kiln::graph::onnx
