// Graphs of chains that one kernel computes: norms whose parameters move along a part of a row, windows that are read
// where pointwise and row kernels need them, and products and convolutions that sum their results up.
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

// The mean of x and that of the squares about it, over `axes`.
std::vector<ValueId> moments(Graph& g, ValueId x, const std::vector<std::int32_t>& axes) {
  const ValueId mean = add_node(g, graph::Reduce{Monoid::mean, axes, true}, {x});
  const ValueId squares = pointwise(g, {x, mean}, [](Expr& e, const auto& in) {
    const auto centred = e.apply(ExprOp::sub, in[0], in[1]);
    return e.apply(ExprOp::mul, centred, centred);
  });
  return {mean, add_node(g, graph::Reduce{Monoid::mean, axes, true}, {squares})};
}

ValueId biased(Graph& g, ValueId x, Shape bias, double more) {
  return pointwise(g, {x, input(g, std::move(bias), g.type(x).dtype)}, [&](Expr& e, const auto& in) {
    return e.apply(ExprOp::add, e.apply(ExprOp::add, in[0], in[1]), e.constant(more, g.type(x).dtype));
  });
}

void add_statistics(Collection& c) {
  c.add_outputs("convolution, and the moments of each channel", [](Graph& g) -> std::vector<ValueId> {
    const graph::Convolution op{{{1, 2}, {1, 1}, {1, 1}, {1, 1}}, 1, false, {0, 0}};
    const ValueId y = biased(g, add_node(g, op, {input(g, {3, 5, 13, 12}), input(g, {20, 5, 3, 3})}), {20, 1, 1}, 0);
    const std::vector<ValueId> of = moments(g, y, {2, 3});
    return {y, of[0], of[1]};
  });
  c.add_outputs("convolution far from zero, and the moments of each channel", [](Graph& g) -> std::vector<ValueId> {
    const graph::Convolution op{{{1, 1}, {1, 1}, {0, 0}, {0, 0}}, 1, false, {0, 0}};
    const ValueId y = biased(g, add_node(g, op, {input(g, {2, 6, 17, 15}), input(g, {9, 6, 3, 3})}), {9, 1, 1}, 1000);
    const std::vector<ValueId> of = moments(g, y, {2, 3});
    return {y, of[0], of[1]};
  });
  c.add_outputs("grouped convolution in f16, and the moments of groups of channels", [](Graph& g) {
    const graph::Convolution op{{{1}, {1}, {1}, {1}}, 2, false, {0}};
    const DType half = DType::f16;
    const ValueId y = add_node(g, op, {input(g, {3, 8, 50}, half), input(g, {12, 4, 3}, half)});
    const ValueId wide = pointwise(g, {y}, [](Expr& e, const auto& in) { return e.cast(in[0], DType::f32); });
    const ValueId grouped = add_node(g, graph::Reshape{{3, 3, 4, 50}}, {wide});
    std::vector<ValueId> of = moments(g, grouped, {2, 3});
    of.insert(of.begin(), unary(g, y, ExprOp::tanh));
    return of;
  });
  c.add_outputs("transposed convolution, and its group norm's mean and scale", [](Graph& g) {
    const graph::Convolution op{{{2, 3}, {1, 1}, {1, 0}, {0, 2}}, 1, true, {1, 0}};
    const ValueId y = unary(g, add_node(g, op, {input(g, {2, 6, 5, 7}), input(g, {6, 12, 3, 4})}), ExprOp::tanh);
    const Shape shape = g.type(y).shape;
    std::vector<ValueId> of = moments(g, add_node(g, graph::Reshape{{2, 3, 4 * shape[2] * shape[3]}}, {y}), {2});
    of[1] = pointwise(g, {of[1], input(g, {3, 1})}, [](Expr& e, const auto& in) {
      const auto moved = e.apply(ExprOp::add, in[0], e.constant(1e-5, DType::f32));
      return e.apply(ExprOp::mul, e.apply(ExprOp::rsqrt, moved), in[1]);
    });
    of.insert(of.begin(), y);
    return of;
  });
  c.add_outputs("depthwise convolution, and the mean of each channel", [](Graph& g) -> std::vector<ValueId> {
    const graph::Convolution op{{{1, 2}, {1, 1}, {1, 2}, {1, 2}}, 7, false, {0, 0}};
    const ValueId y = silu(g, add_node(g, op, {input(g, {2, 7, 14, 17}), input(g, {7, 1, 3, 5})}));
    return {y, add_node(g, graph::Reduce{Monoid::mean, {2, 3}, true}, {y})};
  });
  c.add("mean of each channel of a convolution over a volume", [](Graph& g) {
    const graph::Convolution op{{{1, 1, 2}, {1, 2, 1}, {1, 0, 1}, {1, 0, 1}}, 1, false, {0, 0, 0}};
    const ValueId y = add_node(g, op, {input(g, {2, 3, 6, 7, 8}), input(g, {9, 3, 3, 2, 3})});
    return unary(g, add_node(g, graph::Reduce{Monoid::mean, {2, 3, 4}, false}, {gelu(g, y)}), ExprOp::tanh);
  });
  c.add_outputs("product, and the moments of its columns", [](Graph& g) -> std::vector<ValueId> {
    const ValueId product = add_node(g, graph::MatMul{false, true}, {input(g, {77, 24}), input(g, {50, 24})});
    const ValueId y = biased(g, product, {50}, 3);
    const std::vector<ValueId> of = moments(g, y, {0});
    return {y, of[0], of[1]};
  });
}

}  // namespace

void add_fused(Collection& c) {
  add_statistics(c);
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
  c.add("windows of a softmax over channels", [](Graph& g) {
    const ValueId x = input(g, {2, 12, 8, 10});
    return unary(g, pooled(g, add_node(g, graph::Softmax{1, false}, {x}), Monoid::max, 2, 2), ExprOp::tanh);
  });
  c.add("softmax over the channels of windows", [](Graph& g) {
    return add_node(g, graph::Softmax{1, false}, {pooled(g, input(g, {2, 12, 8, 10}), Monoid::max, 2, 2)});
  });
}

}  // namespace kiln::testing
