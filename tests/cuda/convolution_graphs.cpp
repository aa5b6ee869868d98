// Convolutions of one to three dimensions.
#include "tests/cuda/collection.h"

namespace kiln::testing {

void add_convolutions(Collection& c) {
  const auto add = [&](const std::string& name, Shape x, Shape w, const graph::Convolution& op,
                       DType type = DType::f32) {
    c.add(name, [&](Graph& g) { return add_node(g, op, {input(g, x, type), input(g, w, type)}); });
  };
  const Shape no1 = {0}, no2 = {0, 0}, no3 = {0, 0, 0};
  c.add("convolution with bias and relu", [](Graph& g) {
    const ValueId sum = add_node(g, graph::Convolution{{{2, 1}, {1, 1}, {1, 1}, {1, 1}}, 1, false, {0, 0}},
                                 {input(g, {2, 5, 13, 12}), input(g, {20, 5, 3, 3})});
    return pointwise(g, {sum, input(g, {20, 1, 1})}, [](Expr& e, const auto& in) {
      return e.apply(ExprOp::max, e.apply(ExprOp::add, in[0], in[1]), e.constant(0, DType::f32));
    });
  });
  add("convolution over a line, grouped and dilated, in f16", {3, 8, 40}, {12, 4, 3},
      {{{3}, {2}, {2}, {1}}, 2, false, no1}, DType::f16);
  add("depthwise convolution", {2, 7, 14, 17}, {7, 1, 3, 5}, {{{1, 2}, {1, 1}, {1, 2}, {1, 2}}, 7, false, no2});
  add("convolution over a volume", {1, 3, 6, 7, 8}, {9, 3, 3, 2, 3},
      {{{1, 1, 2}, {1, 2, 1}, {1, 0, 1}, {1, 0, 1}}, 1, false, no3});
  add("convolution in double precision", {2, 4, 9, 9}, {5, 4, 1, 1}, {{{1, 1}, {1, 1}, {0, 0}, {0, 0}}, 1, false, no2},
      DType::f64);
  add("transposed convolution", {2, 6, 5, 7}, {6, 10, 3, 4}, {{{2, 3}, {1, 1}, {1, 0}, {0, 2}}, 1, true, {1, 0}});
  add("transposed convolution over a line, grouped and dilated, in bf16", {2, 6, 11}, {6, 4, 4},
      {{{2}, {3}, {1}, {2}}, 2, true, no1}, DType::bf16);
  add("transposed convolution over a volume, taps wide apart", {1, 4, 3, 4, 3}, {4, 3, 2, 3, 2},
      {{{2, 2, 4}, {2, 4, 1}, {0, 1, 0}, {1, 0, 0}}, 1, true, no3});
}

}  // namespace kiln::testing
