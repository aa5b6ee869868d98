// Graphs to partition: a transformer encoder as importers leave it, and random ones.
#pragma once

#include "tests/region/bodies.h"

namespace kiln::agents::models {

using bodies::Builder;
using graph::ExprOp;
using graph::ValueId;

inline ValueId weight(Builder& b, graph::Shape shape) {
  graph::Tensor t = graph::Tensor::zeros({graph::DType::f32, std::move(shape)});
  for (std::int64_t i = 0; i < t.count(); ++i)
    graph::store_double(graph::DType::f32, t.bytes.data(), i, static_cast<double>(b.below(2001) - 1000) / 4000);
  return b.g.add_constant("w" + std::to_string(b.g.values.size()), std::move(t));
}

inline ValueId binary(Builder& b, ExprOp op, ValueId x, ValueId y) {
  graph::Pointwise p;
  p.expr.results = {p.expr.apply(op, p.expr.operand(0, graph::DType::f32), p.expr.operand(1, graph::DType::f32))};
  return b.add(std::move(p), {x, y});
}

inline ValueId linear(Builder& b, ValueId x, std::int64_t n) {
  const std::int64_t k = b.shape(x).back();
  return binary(b, ExprOp::add, b.add(graph::MatMul{false, false}, {x, weight(b, {k, n})}), weight(b, {n}));
}

inline ValueId gelu(Builder& b, ValueId v) {
  graph::Pointwise p;
  graph::Expr& e = p.expr;
  const auto c = [&](double value) { return e.constant(value, graph::DType::f32); };
  const std::int32_t x = e.operand(0, graph::DType::f32);
  const std::int32_t erf = e.apply(ExprOp::erf, e.apply(ExprOp::mul, x, c(0.70710678118654752)));
  e.results = {e.apply(ExprOp::mul, e.apply(ExprOp::mul, x, c(0.5)), e.apply(ExprOp::add, erf, c(1)))};
  return b.add(std::move(p), {v});
}

inline ValueId norm(Builder& b, ValueId v) {
  const std::int64_t n = b.shape(v).back();
  return b.add(graph::LayerNorm{2, 1e-5}, {v, weight(b, {n}), weight(b, {n})});
}

// x [B, S, H * D], mask [B, 1, 1, S]; post-norm, as BERT has it.
inline ValueId encoder_layer(Builder& b, ValueId x, ValueId mask, std::int64_t h) {
  const std::int64_t batch = b.shape(x)[0], s = b.shape(x)[1], width = b.shape(x)[2], d = width / h;
  const auto heads = [&](ValueId v) { return b.transpose(b.reshape(v, {batch, s, h, d}), {0, 2, 1, 3}); };
  const ValueId q = heads(linear(b, x, width)), k = heads(linear(b, x, width)), v = heads(linear(b, x, width));
  const ValueId mixed = b.add(graph::Attention{0.5, false}, {q, k, v, mask});
  const ValueId merged = b.reshape(b.transpose(mixed, {0, 2, 1, 3}), {batch, s, width});
  const ValueId attended = norm(b, binary(b, ExprOp::add, linear(b, merged, width), x));
  return norm(b, binary(b, ExprOp::add, linear(b, gelu(b, linear(b, attended, 2 * width)), width), attended));
}

inline graph::Graph encoder(int layers, std::int64_t batch) {
  Builder b(7);
  ValueId x = b.input({batch, 6, 8});
  const ValueId mask = b.input({batch, 1, 1, 6});
  for (int i = 0; i < layers; ++i) x = encoder_layer(b, x, mask, 2);
  b.g.name = "encoder";
  b.g.outputs = {x};
  return std::move(b.g);
}

// Nodes of every kind over whatever came before, some of it used several times.
inline graph::Graph random_graph(std::uint64_t seed) {
  Builder b(seed);
  std::vector<ValueId> pool = {b.operand(b.random_shape(3))};
  for (std::int64_t i = 3 + b.below(10); i > 0; --i) {
    const ValueId v = pool[static_cast<std::size_t>(b.below(static_cast<std::int64_t>(pool.size())))];
    const std::int64_t kind = b.below(8);
    if (kind < 3) pool.push_back(b.pointwise(v));
    if (kind == 3 || kind == 4) pool.push_back(b.random_view(v, false));
    if (kind == 5 && !b.shape(v).empty()) pool.push_back(b.row(v));
    if (kind == 6 && b.shape(v).size() > 1) pool.push_back(linear(b, v, 1 + b.below(5)));
    if (kind == 7) pool.push_back(b.chance(50) ? b.gather() : b.attention());
    if (b.chance(15) && graph::element_count(b.shape(pool.back())) > 4096) pool.pop_back();
  }
  const auto is_input = [&](ValueId v) {
    return std::find(b.g.inputs.begin(), b.g.inputs.end(), v) != b.g.inputs.end();
  };
  std::set<ValueId> outputs;
  for (const ValueId v : pool)
    if (!is_input(v) && (outputs.empty() || b.chance(40))) outputs.insert(v);
  if (!is_input(pool.back())) outputs.insert(pool.back());
  if (outputs.empty()) outputs.insert(b.pointwise(pool.back()));
  b.g.outputs.assign(outputs.begin(), outputs.end());
  b.g.name = "random";
  return std::move(b.g);
}

}  // namespace kiln::agents::models
