// Random region bodies: chains of views, pointwise nodes and one anchor, as models have them and as they do not.
#pragma once

#include <algorithm>
#include <numeric>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "agents/region/region.h"

namespace kiln::agents::bodies {

using graph::DType;
using graph::ExprOp;
using graph::Shape;
using graph::ValueId;

class Builder {
 public:
  explicit Builder(std::uint64_t seed) : random_(seed) {}

  graph::Graph g;

  std::int64_t below(std::int64_t n) { return static_cast<std::int64_t>(random_() % static_cast<std::uint64_t>(n)); }
  bool chance(int percent) { return below(100) < percent; }
  const Shape& shape(ValueId v) const { return g.type(v).shape; }

  ValueId input(Shape of, DType type = DType::f32) {
    return g.add_input("in" + std::to_string(g.inputs.size()), {type, std::move(of)});
  }
  Shape random_shape(std::size_t rank) {
    static const std::int64_t extents[] = {1, 2, 3, 4, 6, 8};
    Shape s;
    for (std::size_t d = 0; d < rank; ++d) s.push_back(extents[below(6)]);
    return s;
  }
  ValueId add(graph::Op op, std::vector<ValueId> in) { return g.add_node(std::move(op), std::move(in), "test").at(0); }
  ValueId reshape(ValueId v, Shape to) { return add(graph::Reshape{std::move(to)}, {v}); }
  ValueId transpose(ValueId v, std::vector<std::int32_t> p) { return add(graph::Transpose{std::move(p)}, {v}); }

  std::vector<std::int32_t> permutation(std::size_t rank) {
    std::vector<std::int32_t> p(rank);
    std::iota(p.begin(), p.end(), 0);
    for (std::size_t i = rank; i > 1; --i)
      std::swap(p[i - 1], p[static_cast<std::size_t>(below(static_cast<std::int64_t>(i)))]);
    return p;
  }

  // Another shape with as many elements: two dimensions merged, or one split.
  ValueId random_reshape(ValueId v) {
    Shape s = shape(v);
    if (s.size() > 1 && chance(50)) {
      const auto d = static_cast<std::size_t>(below(static_cast<std::int64_t>(s.size()) - 1));
      s[d] *= s[d + 1];
      s.erase(s.begin() + static_cast<std::ptrdiff_t>(d) + 1);
    } else if (!s.empty() && s.size() < 5) {
      const auto d = static_cast<std::size_t>(below(static_cast<std::int64_t>(s.size())));
      std::vector<std::int64_t> divisors;
      for (std::int64_t f = 1; f <= s[d]; ++f)
        if (s[d] % f == 0) divisors.push_back(f);
      const std::int64_t f = divisors[static_cast<std::size_t>(below(static_cast<std::int64_t>(divisors.size())))];
      s[d] /= f;
      s.insert(s.begin() + static_cast<std::ptrdiff_t>(d) + 1, f);
    }
    return reshape(v, s);
  }
  ValueId random_slice(ValueId v) {
    graph::Slice op;
    for (const std::int64_t extent : shape(v)) {
      const std::int64_t step = chance(60) ? 1 : chance(50) ? 2 : -1;
      const std::int64_t most = (extent + std::abs(step) - 1) / std::abs(step);
      const std::int64_t take = chance(50) ? most : 1 + below(most);
      const std::int64_t span = (take - 1) * std::abs(step) + 1;
      const std::int64_t first = below(extent - span + 1);
      op.starts.push_back(step > 0 ? first : first + span - 1);
      op.extents.push_back(take);
      op.steps.push_back(step);
    }
    return add(std::move(op), {v});
  }
  ValueId random_expand(ValueId v) {
    Shape to = shape(v);
    for (std::int64_t& extent : to)
      if (extent == 1 && chance(60)) extent = 2 + below(3);
    if (to.size() < 4 && chance(30)) to.insert(to.begin(), 2);
    return add(graph::Expand{to}, {v});
  }
  // `keeps`: only views that move every element to one place.
  ValueId random_view(ValueId v, bool keeps) {
    const std::int64_t kind = below(keeps ? 2 : 4);
    if (kind == 0) return random_reshape(v);
    if (kind == 1) return transpose(v, permutation(shape(v).size()));
    return kind == 2 ? random_slice(v) : random_expand(v);
  }
  ValueId views(ValueId v, std::int64_t most, bool keeps) {
    for (std::int64_t i = below(most + 1); i > 0; --i) v = random_view(v, keeps);
    return v;
  }

  // An operand of the given shape: an input read directly, or through a transpose or a split dimension.
  ValueId operand(const Shape& of) {
    if (of.size() > 1 && chance(30)) {
      const std::vector<std::int32_t> p = permutation(of.size());
      Shape source(of.size());
      for (std::size_t d = 0; d < of.size(); ++d) source[static_cast<std::size_t>(p[d])] = of[d];
      return transpose(input(source), p);
    }
    if (chance(20)) return reshape(input({graph::element_count(of)}), of);
    return input(of);
  }
  Shape broadcastable(const Shape& to) {
    Shape s = to;
    for (std::int64_t& extent : s)
      if (chance(30)) extent = 1;
    const auto drop = static_cast<std::ptrdiff_t>(chance(30) ? below(static_cast<std::int64_t>(s.size()) + 1) : 0);
    s.erase(s.begin(), s.begin() + drop);
    return s;
  }

  ValueId pointwise(ValueId v) {
    graph::Pointwise p;
    graph::Expr& e = p.expr;
    std::vector<ValueId> in = {v};
    const std::int32_t x = e.operand(0, DType::f32);
    std::int32_t r = x;
    switch (below(5)) {
      case 0: r = e.apply(ExprOp::tanh, x); break;
      case 1:
        r = e.apply(ExprOp::add, e.apply(ExprOp::mul, x, e.constant(0.5, DType::f32)), e.constant(-0.25, DType::f32));
        break;
      case 2:
        in.push_back(operand(broadcastable(shape(v))));
        r = e.apply(ExprOp::add, x, e.operand(1, DType::f32));
        break;
      case 3:
        in.push_back(operand(broadcastable(shape(v))));
        in.push_back(scalar(1.5));
        r = e.apply(ExprOp::mul, e.apply(ExprOp::sub, e.operand(1, DType::f32), x), e.operand(2, DType::f32));
        break;
      default: {
        const std::int32_t less = e.apply(ExprOp::less, x, e.constant(0, DType::f32));
        r = e.apply(ExprOp::select, less, e.apply(ExprOp::neg, x),
                    e.apply(ExprOp::max, x, e.constant(0.125, DType::f32)));
      }
    }
    e.results = {r};
    return add(std::move(p), in);
  }
  ValueId chain(ValueId v, std::int64_t most) {
    for (std::int64_t i = below(most + 1); i > 0; --i) v = pointwise(v);
    return v;
  }
  ValueId scalar(double value) {
    graph::Tensor t = graph::Tensor::zeros({DType::f32, {}});
    graph::store_double(DType::f32, t.bytes.data(), 0, value);
    return g.add_constant("c" + std::to_string(g.values.size()), std::move(t));
  }

  // The difference of two values, the second of which broadcasts.
  ValueId less(ValueId a, ValueId b) {
    graph::Pointwise p;
    p.expr.results = {p.expr.apply(graph::ExprOp::sub, p.expr.operand(0, DType::f32), p.expr.operand(1, DType::f32))};
    return add(std::move(p), {a, b});
  }
  ValueId row(ValueId v) {
    const auto rank = static_cast<std::int32_t>(shape(v).size());
    const auto axis = static_cast<std::int32_t>(chance(70) ? rank - 1 : below(rank));
    switch (below(4)) {
      case 0: return add(graph::Softmax{axis, chance(30)}, {v});
      case 1: {
        const Shape tail(shape(v).begin() + axis, shape(v).end());
        std::vector<ValueId> in = {v, input(tail)};
        if (chance(70)) in.push_back(input(tail));
        return add(graph::LayerNorm{axis, 1e-5, chance(70)}, in);
      }
      default: {
        std::vector<std::int32_t> axes = {axis};
        if (axis == rank - 1 && rank > 1 && chance(30)) axes.insert(axes.begin(), axis - 1);
        const graph::Monoid monoids[] = {graph::Monoid::sum, graph::Monoid::mean, graph::Monoid::max,
                                         graph::Monoid::min, graph::Monoid::prod, graph::Monoid::log_sum_exp};
        return add(graph::Reduce{monoids[below(6)], axes, chance(60)}, {v});
      }
    }
  }
  // x - mean(x), squared and averaged: two reductions over the same rows.
  ValueId centred(ValueId v) {
    const auto axis = static_cast<std::int32_t>(shape(v).size()) - 1;
    const ValueId mean = add(graph::Reduce{graph::Monoid::mean, {axis}, true}, {v});
    graph::Pointwise p;
    const std::int32_t d = p.expr.apply(ExprOp::sub, p.expr.operand(0, DType::f32), p.expr.operand(1, DType::f32));
    p.expr.results = {p.expr.apply(ExprOp::mul, d, d)};
    return add(graph::Reduce{graph::Monoid::sum, {axis}, chance(50)}, {add(std::move(p), {v, mean})});
  }

  ValueId matmul() {
    const std::int64_t m = 1 + below(5), n = 1 + below(6), k = 1 + below(6);
    const bool ta = chance(25), tb = chance(25);
    Shape batch = random_shape(static_cast<std::size_t>(below(3)));
    const auto extended = [](Shape s, std::int64_t x, std::int64_t y) {
      s.push_back(x);
      s.push_back(y);
      return s;
    };
    const Shape b_batch = chance(50) ? Shape{} : broadcastable(batch);
    const ValueId a = operand(extended(batch, ta ? k : m, ta ? m : k));
    return add(graph::MatMul{ta, tb}, {a, operand(extended(b_batch, tb ? n : k, tb ? k : n))});
  }

  // [B, S, H * D] split into heads, as every transformer does it, or already so.
  ValueId heads(std::int64_t b, std::int64_t s, std::int64_t h, std::int64_t d) {
    if (chance(30)) return operand({b, h, s, d});
    return transpose(reshape(input({b, s, h * d}), {b, s, h, d}), {0, 2, 1, 3});
  }
  ValueId attention() {
    const std::int64_t b = 1 + below(2), h = 1 + below(3), s = 1 + below(4), t = s + below(3), d = 1 + below(4),
                       e = 1 + below(4);
    std::vector<ValueId> in = {heads(b, s, h, d), heads(b, t, h, d), heads(b, t, h, e)};
    if (chance(50)) in.push_back(chance(50) ? input({b, 1, 1, t}) : operand(broadcastable({b, h, s, t})));
    const ValueId out = add(graph::Attention{0.5, chance(40)}, in);
    if (chance(30)) return out;
    return reshape(transpose(out, {0, 2, 1, 3}), {b, s, h * e});
  }
  ValueId gather() {
    const Shape data = random_shape(static_cast<std::size_t>(1 + below(3)));
    const auto axis = static_cast<std::int32_t>(below(static_cast<std::int64_t>(data.size())));
    const ValueId source = operand(data);
    return add(graph::Gather{axis}, {source, input(random_shape(static_cast<std::size_t>(below(3))), DType::i64)});
  }
  ValueId concat() {
    const Shape base = random_shape(static_cast<std::size_t>(1 + below(3)));
    const auto axis = static_cast<std::int32_t>(below(static_cast<std::int64_t>(base.size())));
    std::vector<ValueId> in;
    for (std::int64_t i = 2 + below(3); i > 0; --i) {
      Shape s = base;
      s[static_cast<std::size_t>(axis)] = 1 + below(4);
      in.push_back(operand(s));
    }
    return add(graph::Concat{axis}, in);
  }

  // The region whose outputs are `outputs`. Every second f32 input of rank two counts as a weight.
  Region region(std::vector<ValueId> outputs) {
    std::set<ValueId> unique(outputs.begin(), outputs.end());
    Region r;
    g.outputs.assign(unique.begin(), unique.end());
    for (const ValueId v : g.inputs) r.weight.push_back(shape(v).size() == 2 && v % 2 == 0);
    r.body = std::move(g);
    return r;
  }

 private:
  std::mt19937_64 random_;
};

}  // namespace kiln::agents::bodies
