#include "tests/cuda/graphs.h"

#include <functional>

namespace kiln::testing {
namespace {

using graph::DType;
using graph::Expr;
using graph::ExprOp;
using graph::Graph;
using graph::Monoid;
using graph::Shape;
using graph::ValueId;

ValueId input(Graph& g, Shape shape, DType type = DType::f32) {
  return g.add_input("x" + std::to_string(g.inputs.size()), {type, std::move(shape)});
}

ValueId add_node(Graph& g, graph::Op op, std::vector<ValueId> inputs) {
  return g.add_node(std::move(op), std::move(inputs), "test").at(0);
}

ValueId add_transpose(Graph& g, ValueId x, std::vector<std::int32_t> permutation) {
  return add_node(g, graph::Transpose{std::move(permutation)}, {x});
}

using Body = std::function<std::int32_t(Expr&, const std::vector<std::int32_t>&)>;
ValueId pointwise(Graph& g, const std::vector<ValueId>& inputs, const Body& body) {
  graph::Pointwise p;
  std::vector<std::int32_t> operands;
  for (std::size_t i = 0; i < inputs.size(); ++i)
    operands.push_back(p.expr.operand(static_cast<std::int32_t>(i), g.type(inputs[i]).dtype));
  p.expr.results = {body(p.expr, operands)};
  return add_node(g, p, inputs);
}

ValueId unary(Graph& g, ValueId x, ExprOp op) {
  return pointwise(g, {x}, [&](Expr& e, const auto& in) { return e.apply(op, in[0]); });
}
ValueId binary(Graph& g, ValueId x, ValueId y, ExprOp op) {
  return pointwise(g, {x, y}, [&](Expr& e, const auto& in) { return e.apply(op, in[0], in[1]); });
}
ValueId silu(Graph& g, ValueId x) {
  return pointwise(
      g, {x}, [](Expr& e, const auto& in) { return e.apply(ExprOp::mul, in[0], e.apply(ExprOp::sigmoid, in[0])); });
}
// x / 2 (1 + erf(x / sqrt 2))
ValueId gelu(Graph& g, ValueId x) {
  const DType type = g.type(x).dtype;
  return pointwise(g, {x}, [&](Expr& e, const auto& in) {
    const auto erf = e.apply(ExprOp::erf, e.apply(ExprOp::mul, in[0], e.constant(0.7071067811865476, type)));
    return e.apply(ExprOp::mul, e.apply(ExprOp::mul, in[0], e.constant(0.5, type)),
                   e.apply(ExprOp::add, erf, e.constant(1, type)));
  });
}
// x / sqrt(mean(x^2) + eps) * scale
ValueId rms_norm(Graph& g, ValueId x, ValueId scale) {
  const auto rank = static_cast<std::int32_t>(g.type(x).shape.size());
  const ValueId mean = add_node(g, graph::Reduce{Monoid::mean, {rank - 1}, true}, {binary(g, x, x, ExprOp::mul)});
  return pointwise(g, {x, mean, scale}, [&](Expr& e, const auto& in) {
    const auto inverse = e.apply(ExprOp::rsqrt, e.apply(ExprOp::add, in[1], e.constant(1e-5, g.type(x).dtype)));
    return e.apply(ExprOp::mul, e.apply(ExprOp::mul, in[0], inverse), in[2]);
  });
}

class Collection {
 public:
  void add(const std::string& name, const std::function<ValueId(Graph&)>& body) {
    Graph g;
    g.name = name;
    g.outputs = {body(g)};
    graph::validate(g);
    graphs.push_back({name, std::move(g)});
  }
  std::vector<NamedGraph> graphs;
};

void add_pointwise(Collection& c) {
  c.add("relu of an odd count", [](Graph& g) {
    return pointwise(g, {input(g, {1003})},
                     [](Expr& e, const auto& in) { return e.apply(ExprOp::max, in[0], e.constant(0, DType::f32)); });
  });
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
  c.add("concat in the middle", [](Graph& g) {
    return add_node(g, graph::Concat{1}, {input(g, {4, 3, 7}), input(g, {4, 5, 7}), input(g, {4, 1, 7})});
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
  return std::move(c.graphs);
}

std::vector<NamedGraph> large_graphs() {
  Collection c;
  c.add("relu f32 16384x16384", [](Graph& g) {
    return pointwise(g, {input(g, {16384, 16384})},
                     [](Expr& e, const auto& in) { return e.apply(ExprOp::max, in[0], e.constant(0, DType::f32)); });
  });
  c.add("gelu f32 16384x16384", [](Graph& g) { return gelu(g, input(g, {16384, 16384})); });
  c.add("bias + gelu f32 8192x16384", [](Graph& g) {
    return gelu(g, binary(g, input(g, {8192, 16384}), input(g, {16384}), ExprOp::add));
  });
  c.add("silu * up bf16 16384x12288", [](Graph& g) {
    return binary(g, silu(g, input(g, {16384, 12288}, DType::bf16)), input(g, {16384, 12288}, DType::bf16),
                  ExprOp::mul);
  });
  c.add("silu * up bf16 1x12288", [](Graph& g) {
    return binary(g, silu(g, input(g, {1, 12288}, DType::bf16)), input(g, {1, 12288}, DType::bf16), ExprOp::mul);
  });
  c.add("softmax f32 4096x8192", [](Graph& g) {
    return add_node(g, graph::Softmax{1, false}, {input(g, {4096, 8192})});
  });
  c.add("softmax bf16 16384x8192", [](Graph& g) {
    return add_node(g, graph::Softmax{1, false}, {input(g, {16384, 8192}, DType::bf16)});
  });
  c.add("softmax f32 1024x393216", [](Graph& g) {
    return add_node(g, graph::Softmax{1, false}, {input(g, {1024, 393216})});
  });
  c.add("layer norm f32 16x4194304", [](Graph& g) {
    return add_node(g, graph::LayerNorm{1, 1e-5},
                    {input(g, {16, 4194304}), input(g, {4194304}), input(g, {4194304})});
  });
  for (const std::int64_t tokens : {1, 128, 2048, 16384})
    c.add("rms norm bf16 " + std::to_string(tokens) + "x8192", [&](Graph& g) {
      return rms_norm(g, input(g, {tokens, 8192}, DType::bf16), input(g, {8192}, DType::bf16));
    });
  c.add("add + rms norm bf16 16384x8192", [](Graph& g) {
    const ValueId sum =
        binary(g, input(g, {16384, 8192}, DType::bf16), input(g, {16384, 8192}, DType::bf16), ExprOp::add);
    return rms_norm(g, sum, input(g, {8192}, DType::bf16));
  });
  c.add("layer norm bf16 16384x4096", [](Graph& g) {
    return add_node(
        g, graph::LayerNorm{1, 1e-5},
        {input(g, {16384, 4096}, DType::bf16), input(g, {4096}, DType::bf16), input(g, {4096}, DType::bf16)});
  });
  c.add("sum of rows f32 32768x16384", [](Graph& g) {
    return add_node(g, graph::Reduce{Monoid::sum, {1}, false}, {input(g, {32768, 16384})});
  });
  c.add("sum of the middle f32 128x4096x1024", [](Graph& g) {
    return add_node(g, graph::Reduce{Monoid::sum, {1}, false}, {input(g, {128, 4096, 1024})});
  });
  c.add("transpose f32 16384x16384", [](Graph& g) { return add_transpose(g, input(g, {16384, 16384}), {1, 0}); });
  return std::move(c.graphs);
}

}  // namespace kiln::testing
