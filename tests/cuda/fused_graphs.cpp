// Graphs of chains that one kernel computes: norms whose parameters move along a part of a row, and windows that are
// read where pointwise and row kernels need them.
#include "tests/cuda/collection.h"

namespace kiln::testing {
namespace {

// A window of `kernel` by `kernel` over the last two dimensions, no padding.
ValueId pooled(Graph& g, ValueId x, Monoid monoid, std::int64_t kernel, std::int64_t stride) {
  const Shape& shape = g.type(x).shape;
  graph::Window op{monoid, {}, {}, {}, false, false};
  for (std::size_t d = shape.size() - 2; d < shape.size(); ++d) {
    op.kernel.push_back(kernel);
    op.steps.strides.push_back(stride);
    op.steps.dilations.push_back(1);
    op.steps.before.push_back(0);
    op.steps.after.push_back(0);
    op.extents.push_back((shape[d] - kernel) / stride + 1);
  }
  return add_node(g, op, {x});
}

// x [n, groups, channels, elements], normalised over the last two, with a scale and a bias for each channel; the norm
// is written as an import leaves it.
ValueId group_norm(Graph& g, ValueId x) {
  const Shape shape = g.type(x).shape;
  const ValueId scale = input(g, {shape[1], shape[2], 1}), bias = input(g, {shape[1], shape[2], 1});
  const ValueId mean = add_node(g, graph::Reduce{Monoid::mean, {2, 3}, true}, {x});
  const ValueId squares = pointwise(g, {x, mean}, [](Expr& e, const auto& in) {
    const auto centred = e.apply(ExprOp::sub, in[0], in[1]);
    return e.apply(ExprOp::mul, centred, centred);
  });
  const ValueId variance = add_node(g, graph::Reduce{Monoid::mean, {2, 3}, true}, {squares});
  return pointwise(g, {x, mean, variance, scale, bias}, [](Expr& e, const auto& in) {
    const auto deviation = e.apply(ExprOp::sqrt, e.apply(ExprOp::add, in[2], e.constant(1e-5, DType::f32)));
    const auto normal = e.apply(ExprOp::div, e.apply(ExprOp::sub, in[0], in[1]), deviation);
    return e.apply(ExprOp::add, e.apply(ExprOp::mul, normal, in[3]), in[4]);
  });
}

}  // namespace

void add_fused(Collection& c) {
  c.add("group norm with its scales, and tanh", [](Graph& g) {
    return unary(g, group_norm(g, input(g, {2, 3, 4, 35})), ExprOp::tanh);
  });
  c.add("group norm of long rows", [](Graph& g) { return group_norm(g, input(g, {2, 2, 4, 2600})); });
  c.add("group norm of rows that blocks take in turn", [](Graph& g) {
    return group_norm(g, input(g, {3, 2, 4, 2500}));
  });
  c.add("rows that lie in two places, and their sum", [](Graph& g) {  // channels of [n, c, h], as a batch norm's
    const ValueId x = input(g, {5, 6, 24});
    const ValueId sum = add_node(g, graph::Reduce{Monoid::sum, {0, 2}, true}, {x});
    return binary(g, x, sum, ExprOp::div);
  });
  c.add("largest of a channel, and tanh of it", [](Graph& g) {
    return unary(g, pooled(g, silu(g, input(g, {3, 10, 21})), Monoid::max, 2, 2), ExprOp::tanh);
  });
  c.add("mean window of a sum in f16, scaled", [](Graph& g) {
    const ValueId x = input(g, {2, 3, 12, 16}, DType::f16);
    const ValueId sum = binary(g, x, input(g, {3, 1, 1}, DType::f16), ExprOp::add);
    return binary(g, pooled(g, sum, Monoid::mean, 4, 4), input(g, {3, 1, 1}, DType::f16), ExprOp::mul);
  });
  c.add("windows that share elements, squared", [](Graph& g) {
    const ValueId y = pooled(g, input(g, {2, 11, 13}), Monoid::max, 3, 2);
    return binary(g, y, y, ExprOp::mul);
  });
  c.add("windows of windows, plus one", [](Graph& g) {
    const ValueId y = pooled(g, pooled(g, input(g, {2, 18, 22}), Monoid::max, 2, 2), Monoid::mean, 2, 2);
    return pointwise(g, {y}, [](Expr& e, const auto& in) {
      return e.apply(ExprOp::add, in[0], e.constant(1, DType::f32));
    });
  });
  c.add("mean of a plane of windows", [](Graph& g) {
    const ValueId y = pooled(g, input(g, {3, 4, 18, 20}), Monoid::max, 2, 2);
    return unary(g, add_node(g, graph::Reduce{Monoid::mean, {2, 3}, true}, {y}), ExprOp::tanh);
  });
  c.add("softmax over the channels of windows", [](Graph& g) {
    return add_node(g, graph::Softmax{1, false}, {pooled(g, input(g, {2, 12, 8, 10}), Monoid::max, 2, 2)});
  });
}

}  // namespace kiln::testing
