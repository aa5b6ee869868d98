#include "tests/cuda/collection.h"

#include <limits>

namespace kiln::testing {
namespace {

void add_pointwise(Collection& c) {
  c.add("relu of an odd count", [](Graph& g) {
    return pointwise(g, {input(g, {1003})},
                     [](Expr& e, const auto& in) { return e.apply(ExprOp::max, in[0], e.constant(0, DType::f32)); });
  });
  c.add("gelu in bf16", [](Graph& g) { return gelu(g, input(g, {40, 24}, DType::bf16)); });
  c.add("erf in f16", [](Graph& g) { return unary(g, input(g, {61, 9}, DType::f16), ExprOp::erf); });
  c.add("gelu of a sum with a bias", [](Graph& g) {
    return gelu(g, binary(g, input(g, {37, 24}), input(g, {24}), ExprOp::add));
  });
  c.add("rows scaled by a column", [](Graph& g) {
    return binary(g, input(g, {19, 33}), input(g, {19, 1}), ExprOp::mul);
  });
  c.add("silu in bf16", [](Graph& g) { return silu(g, input(g, {16, 136}, DType::bf16)); });
  c.add("gated silu in f16", [](Graph& g) {
    return binary(g, silu(g, input(g, {9, 40}, DType::f16)), input(g, {9, 40}, DType::f16), ExprOp::mul);
  });
  c.add("transposed operand", [](Graph& g) {
    return binary(g, add_transpose(g, input(g, {40, 24}), {1, 0}), input(g, {24, 40}), ExprOp::add);
  });
  c.add("permuted copy", [](Graph& g) { return add_transpose(g, input(g, {3, 34, 5, 16}), {0, 2, 1, 3}); });
  c.add("every other element", [](Graph& g) {
    return unary(g, add_node(g, graph::Slice{{1, 0}, {7, 20}, {1, 2}}, {input(g, {9, 40})}), ExprOp::tanh);
  });
  c.add("choice by comparison", [](Graph& g) {
    return pointwise(g, {input(g, {50, 7}), input(g, {7})}, [](Expr& e, const auto& in) {
      return e.apply(ExprOp::select, e.apply(ExprOp::less, in[0], in[1]), e.apply(ExprOp::neg, in[0]), in[1]);
    });
  });
  c.add("comparison to booleans",
        [](Graph& g) { return binary(g, input(g, {33}), input(g, {33}), ExprOp::less_equal); });
  c.add("integers", [](Graph& g) {
    return pointwise(g, {input(g, {70}, DType::i32), input(g, {70}, DType::i32)}, [](Expr& e, const auto& in) {
      return e.apply(ExprOp::add, e.apply(ExprOp::mul, in[0], in[1]), e.integer(-7, DType::i32));
    });
  });
  c.add("double precision", [](Graph& g) { return unary(g, input(g, {6, 10}, DType::f64), ExprOp::exp); });
  c.add("a scalar", [](Graph& g) { return unary(g, input(g, {}), ExprOp::exp); });
  c.add("broadcast in the middle", [](Graph& g) {
    return binary(g, input(g, {4, 6, 8}), input(g, {4, 1, 8}), ExprOp::sub);
  });
}

void add_operations(Collection& c) {
  for (const ExprOp op : {ExprOp::tan, ExprOp::atan, ExprOp::sinh, ExprOp::asinh, ExprOp::expm1})
    c.add(std::string(graph::name(op)), [&](Graph& g) { return unary(g, input(g, {64}), op); });
  for (const ExprOp op : {ExprOp::bit_and, ExprOp::bit_xor, ExprOp::shift_left, ExprOp::shift_right})
    c.add(std::string(graph::name(op)),
          [&](Graph& g) { return binary(g, input(g, {40}, DType::u8), input(g, {40}, DType::u8), op); });
}

void add_rows(Collection& c) {
  for (const std::int64_t length : {3, 33, 128, 1000, 5000})
    c.add("softmax of " + std::to_string(length), [&](Graph& g) {
      return add_node(g, graph::Softmax{1, false}, {input(g, {7, length})});
    });
  c.add("log-softmax in bf16", [](Graph& g) {
    return add_node(g, graph::Softmax{1, true}, {input(g, {5, 512}, DType::bf16)});
  });
  c.add("layer norm", [](Graph& g) {
    return add_node(g, graph::LayerNorm{1, 1e-5}, {input(g, {11, 768}), input(g, {768}), input(g, {768})});
  });
  c.add("layer norm of long rows", [](Graph& g) {
    return add_node(g, graph::LayerNorm{1, 1e-5}, {input(g, {2, 6000}), input(g, {6000}), input(g, {6000})});
  });
  c.add("softmax of rows that blocks take in turn", [](Graph& g) {
    return add_node(g, graph::Softmax{1, false}, {input(g, {8, 9000})});
  });
  c.add("layer norm of rows that blocks take in turn", [](Graph& g) {
    return add_node(g, graph::LayerNorm{1, 1e-5}, {input(g, {8, 9000}), input(g, {9000}), input(g, {9000})});
  });
  c.add("layer norm of an odd length that blocks take in turn", [](Graph& g) {
    return add_node(g, graph::LayerNorm{1, 1e-5}, {input(g, {7, 8195}), input(g, {8195}), input(g, {8195})});
  });
  c.add("layer norm of a sum in f16", [](Graph& g) {
    const ValueId sum = binary(g, input(g, {3, 320}, DType::f16), input(g, {3, 320}, DType::f16), ExprOp::add);
    return add_node(g, graph::LayerNorm{1, 1e-5}, {sum, input(g, {320}, DType::f16), input(g, {320}, DType::f16)});
  });
  c.add("rms norm in bf16", [](Graph& g) {
    return rms_norm(g, input(g, {6, 1024}, DType::bf16), input(g, {1024}, DType::bf16));
  });
  const std::pair<Monoid, const char*> monoids[] = {{Monoid::sum, "sum"},
                                                    {Monoid::mean, "mean"},
                                                    {Monoid::max, "max"},
                                                    {Monoid::min, "min"},
                                                    {Monoid::prod, "product"}};
  for (const auto& [monoid, name] : monoids)
    c.add(std::string(name) + " of rows", [&, m = monoid](Graph& g) {
      return add_node(g, graph::Reduce{m, {1}, false}, {input(g, {13, 100})});
    });
  c.add("sum of columns", [](Graph& g) {
    return add_node(g, graph::Reduce{Monoid::sum, {1}, false}, {input(g, {3, 50, 20})});
  });
  c.add("softmax over the middle", [](Graph& g) {
    return add_node(g, graph::Softmax{1, false}, {input(g, {2, 17, 24})});
  });
  c.add("mean and spread of channels", [](Graph& g) {
    const ValueId x = input(g, {2, 40, 36});
    const ValueId mean = add_node(g, graph::Reduce{Monoid::mean, {1}, true}, {x});
    const ValueId centred = binary(g, x, mean, ExprOp::sub);
    return binary(g, centred, add_node(g, graph::Reduce{Monoid::max, {1}, true}, {centred}), ExprOp::div);
  });
  c.add_outputs("mean and deviation of groups in f16", [](Graph& g) {  // as a group norm's statistics are taken
    const ValueId x = input(g, {2, 3, 4, 25}, DType::f16);
    const auto wide = [](Expr& e, std::int32_t v) { return e.cast(v, DType::f32); };
    const ValueId mean = add_node(g, graph::Reduce{Monoid::mean, {2, 3}, true},
                                  {pointwise(g, {x}, [&](Expr& e, const auto& in) { return wide(e, in[0]); })});
    const ValueId squares = pointwise(g, {x, mean}, [&](Expr& e, const auto& in) {
      const auto centred = e.apply(ExprOp::sub, wide(e, in[0]), in[1]);
      return e.apply(ExprOp::mul, centred, centred);
    });
    const ValueId variance = add_node(g, graph::Reduce{Monoid::mean, {2, 3}, true}, {squares});
    return std::vector<ValueId>{mean, unary(g, variance, ExprOp::sqrt)};
  });
  c.add("sum of everything", [](Graph& g) {
    return add_node(g, graph::Reduce{Monoid::sum, {0, 1}, false}, {input(g, {60, 70})});
  });
  c.add("largest integer", [](Graph& g) {
    return add_node(g, graph::Reduce{Monoid::max, {1}, true}, {input(g, {9, 64}, DType::i32)});
  });
}

void add_products(Collection& c) {
  c.add("matmul", [](Graph& g) {
    return add_node(g, graph::MatMul{false, false}, {input(g, {33, 40}), input(g, {40, 29})});
  });
  c.add("matmul with bias and gelu", [](Graph& g) {
    return gelu(g, binary(g, add_node(g, graph::MatMul{false, true}, {input(g, {20, 48}), input(g, {36, 48})}),
                          input(g, {36}), ExprOp::add));
  });
  c.add("batched matmul in bf16", [](Graph& g) {
    return add_node(g, graph::MatMul{true, false},
                    {input(g, {3, 24, 17}, DType::bf16), input(g, {3, 24, 50}, DType::bf16)});
  });
  c.add("matmul in double precision", [](Graph& g) {
    return add_node(g, graph::MatMul{false, false}, {input(g, {9, 70}, DType::f64), input(g, {70, 5}, DType::f64)});
  });
  c.add("causal attention", [](Graph& g) {
    return add_node(g, graph::Attention{0.25, true},
                    {input(g, {2, 3, 9, 16}), input(g, {2, 3, 13, 16}), input(g, {2, 3, 13, 8})});
  });
  c.add("attention whose first queries see no key, guarded", [](Graph& g) {
    return add_node(g, graph::Attention{0.25, true, true},
                    {input(g, {2, 9, 16}), input(g, {2, 5, 16}), input(g, {2, 5, 8})});
  });
  c.add("attention with a mask in f16", [](Graph& g) {
    return add_node(g, graph::Attention{0.2, false},
                    {input(g, {2, 7, 24}, DType::f16), input(g, {2, 70, 24}, DType::f16),
                     input(g, {2, 70, 24}, DType::f16), input(g, {7, 70}, DType::f16)});
  });
}

void add_moves(Collection& c) {
  c.add("rows of a table", [](Graph& g) {
    return unary(g, add_node(g, graph::Gather{0}, {input(g, {2, 20}), input(g, {11}, DType::i64)}), ExprOp::tanh);
  });
  c.add("columns of a table", [](Graph& g) {
    return add_node(g, graph::Gather{1}, {input(g, {6, 2, 5}, DType::bf16), input(g, {3}, DType::i32)});
  });
  c.add("padding on some sides", [](Graph& g) {
    return add_node(g, graph::Pad{{1, 0, 2}, {0, 0, 3}}, {input(g, {3, 4, 7}, DType::bf16), input(g, {}, DType::bf16)});
  });
  c.add("concat in the middle", [](Graph& g) {
    return add_node(g, graph::Concat{1}, {input(g, {4, 3, 7}), input(g, {4, 5, 7}), input(g, {4, 1, 7})});
  });
  c.add("rotary embedding in bf16", [](Graph& g) {  // concat(x1 cos1 - x2 sin1, x2 cos2 + x1 sin2)
    const ValueId x = input(g, {5, 3, 16}, DType::bf16);
    const ValueId cosine = input(g, {5, 1, 16}, DType::bf16), sine = input(g, {5, 1, 16}, DType::bf16);
    const auto half = [&](ValueId of, std::int64_t which) {
      Shape extents = g.type(of).shape;
      extents[2] /= 2;
      return add_node(g, graph::Slice{{0, 0, which * extents[2]}, extents, {1, 1, 1}}, {of});
    };
    const auto turned = [&](std::int64_t which, ExprOp sign) {
      return pointwise(g, {half(x, which), half(cosine, which), half(x, 1 - which), half(sine, which)},
                       [&](Expr& e, const auto& in) {
                         return e.apply(sign, e.apply(ExprOp::mul, in[0], in[1]), e.apply(ExprOp::mul, in[2], in[3]));
                       });
    };
    return add_node(g, graph::Concat{2}, {turned(0, ExprOp::sub), turned(1, ExprOp::add)});
  });
  c.add("computed parts side by side, with a tail", [](Graph& g) {
    const ValueId x = input(g, {3, 5});
    return add_node(g, graph::Concat{1}, {unary(g, x, ExprOp::tanh), x, unary(g, input(g, {3, 5}), ExprOp::neg)});
  });
}

}  // namespace

std::vector<NamedGraph> device_graphs() {
  Collection c;
  add_pointwise(c);
  add_operations(c);
  add_rows(c);
  add_products(c);
  add_moves(c);
  add_windows(c);
  add_lines(c);
  add_convolutions(c);
  add_fused(c);
  add_streamed_products(c);
  add_recurrent(c);
  return std::move(c.graphs);
}

std::vector<NamedGraph> long_row_graphs() {
  Collection c;
  constexpr std::int64_t length = 3 << 16;
  c.add("layer norm", [](Graph& g) {
    return add_node(g, graph::LayerNorm{1, 1e-5}, {input(g, {2, length}), input(g, {length}), input(g, {length})});
  });
  c.add("rms norm", [](Graph& g) { return rms_norm(g, input(g, {2, length}), input(g, {length})); });
  c.add_outputs("mean and variance", [](Graph& g) {  // a mean so near 0 that what errs to one side shows
    const ValueId x = input(g, {2, length});
    const ValueId mean = add_node(g, graph::Reduce{Monoid::mean, {1}, true}, {x});
    const ValueId centred = binary(g, x, mean, ExprOp::sub);
    const ValueId squares = binary(g, centred, centred, ExprOp::mul);
    return std::vector<ValueId>{mean, add_node(g, graph::Reduce{Monoid::mean, {1}, true}, {squares})};
  });
  c.add("mean of the middle", [](Graph& g) {
    return add_node(g, graph::Reduce{Monoid::mean, {1}, false}, {unary(g, input(g, {1, length, 9}), ExprOp::abs)});
  });
  return std::move(c.graphs);
}

NamedGraph rows_by_their_largest(std::int64_t n) {
  Collection c;
  c.add("rows by the largest of others", [&](Graph& g) {
    const ValueId x = input(g, {n, n}), y = input(g, {n, n});
    const ValueId largest = add_node(g, graph::Reduce{Monoid::max, {1}, true}, {y});
    return pointwise(g, {x, y, largest}, [](Expr& e, const auto& in) {  // y takes part, and makes no difference
      const auto least = e.apply(ExprOp::min, in[1], e.constant(-std::numeric_limits<double>::infinity(), DType::f32));
      return e.apply(ExprOp::div, e.apply(ExprOp::max, in[0], least), in[2]);
    });
  });
  return std::move(c.graphs[0]);
}

}  // namespace kiln::testing
