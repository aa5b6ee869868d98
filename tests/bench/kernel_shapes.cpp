#include "tests/bench/kernel_shapes.h"

#include <cstdio>
#include <cstdlib>

namespace kiln::bench {

using graph::DType;
using graph::ExprOp;

namespace {

std::vector<std::int64_t> numbers(const std::string& text) {
  std::vector<std::int64_t> out;
  for (std::size_t at = 0; at < text.size();) {
    out.push_back(std::strtoll(text.c_str() + at, nullptr, 10));
    at = text.find('x', at);
    if (at == std::string::npos) break;
    ++at;
  }
  return out;
}

std::int32_t gelu(graph::Expr& e, std::int32_t x) {
  const auto erf = e.apply(ExprOp::erf, e.apply(ExprOp::mul, x, e.constant(0.70710678118654752, DType::f32)));
  return e.apply(ExprOp::mul, e.apply(ExprOp::mul, x, e.constant(0.5, DType::f32)),
                 e.apply(ExprOp::add, erf, e.constant(1, DType::f32)));
}

Workload matmul(const std::vector<std::int64_t>& s, const std::string& epilogue) {
  agents::MatmulKernel k;
  const bool bf16 = epilogue == "bf16", int8 = epilogue == "int8";
  const DType a = bf16 ? DType::bf16 : int8 ? DType::u8 : DType::f32, b = int8 ? DType::i8 : a;
  const DType out = int8 ? DType::i32 : a;
  k.m = s[0];
  k.n = s[1];
  k.k = s[2];
  k.a = {0, a, 0, {k.k, 1}};
  k.b = {1, b, 0, {k.n, 1}};
  k.b_is_weight = true;
  auto result = k.epilogue.operand(0, out);
  if (epilogue == "bias" || epilogue == "gelu") {
    k.reads = {{2, DType::f32, 0, {0, 1}}};
    result = k.epilogue.apply(ExprOp::add, result, k.epilogue.operand(1, DType::f32));
  }
  if (epilogue == "gelu") result = gelu(k.epilogue, result);
  k.epilogue.results = {result};
  k.writes = {{0, out, 0, {k.n, 1}}};
  return {k, {k.m * k.k, k.k * k.n, k.n}, {k.m * k.n}, {a, b}};
}

Workload rows(const std::vector<std::int64_t>& s, bool softmax) {
  agents::RowKernel k;
  k.outer = {s[0]};
  k.length = s[1];
  k.reads = {{0, DType::f32, 0, {s[1], 1}}};
  auto& e = k.expr;
  const auto x = e.operand(0, DType::f32);
  if (softmax) {
    const auto weight = e.apply(ExprOp::exp, e.apply(ExprOp::sub, x, e.apply(ExprOp::row_max, x)));
    e.results = {e.apply(ExprOp::div, weight, e.apply(ExprOp::row_sum, weight))};
  } else {
    k.reads.push_back({1, DType::f32, 0, {0, 1}});
    k.reads.push_back({2, DType::f32, 0, {0, 1}});
    const auto n = e.constant(1.0 / static_cast<double>(s[1]), DType::f32);
    const auto centred = e.apply(ExprOp::sub, x, e.apply(ExprOp::mul, e.apply(ExprOp::row_sum, x), n));
    const auto variance = e.apply(ExprOp::mul, e.apply(ExprOp::row_sum, e.apply(ExprOp::mul, centred, centred)), n);
    const auto inverse = e.apply(ExprOp::rsqrt, e.apply(ExprOp::add, variance, e.constant(1e-12, DType::f32)));
    e.results = {e.apply(ExprOp::add,
                         e.apply(ExprOp::mul, e.apply(ExprOp::mul, centred, inverse), e.operand(1, DType::f32)),
                         e.operand(2, DType::f32))};
  }
  k.writes = {{0, DType::f32, 0, {s[1], 1}}};
  k.write_per_row = {false};
  return {k, {s[0] * s[1], s[1], s[1]}, {s[0] * s[1]}};
}

Workload attention(const std::vector<std::int64_t>& s) {
  agents::AttentionKernel k;
  k.batch = {s[0]};
  k.s = s[1];
  k.t = s[2];
  k.d = k.e = s[3];
  k.scale = 0.125;
  const std::int64_t row = s[0] * s[3];
  k.q = {0, DType::f32, 0, {s[3], row, 1}};
  k.k = {1, DType::f32, 0, {s[3], row, 1}};
  k.v = {2, DType::f32, 0, {s[3], row, 1}};
  k.mask = agents::Access{3, DType::f32, 0, {0, 0, 1}};
  k.out = {0, DType::f32, 0, {s[3], row, 1}};
  return {k, {s[1] * row, s[2] * row, s[2] * row, s[2]}, {s[1] * row}};
}

Workload pointwise_gelu(std::int64_t count) {
  agents::PointwiseKernel k;
  k.space = {count};
  k.reads = {{0, DType::f32, 0, {1}}};
  k.expr.results = {gelu(k.expr, k.expr.operand(0, DType::f32))};
  k.writes = {{0, DType::f32, 0, {1}}};
  return {k, {count}, {count}};
}

// x [N, C, H, W]; window: M x K x stride, then groups; padding of half a window. A transposed one doubles the extents
// when its stride is 2 and its window 4. `types`: "bf16", "int8" (u8 by i8), or of f32.
Workload convolution(const std::vector<std::int64_t>& x, const std::vector<std::int64_t>& window, bool transposed,
                     const std::string& types) {
  const DType of_x = types == "bf16" ? DType::bf16 : types == "int8" ? DType::u8 : DType::f32;
  const DType of_w = types == "int8" ? DType::i8 : of_x;
  const std::int64_t m = window.at(0), k = window.at(1), stride = window.at(2);
  const std::int64_t groups = window.size() > 3 ? window[3] : 1, before = transposed ? (k - stride) / 2 : k / 2;
  graph::Graph g;
  const graph::ValueId in = g.add_input("x", {of_x, x});
  const graph::Shape of = transposed ? graph::Shape{x[1], m / groups, k, k} : graph::Shape{m, x[1] / groups, k, k};
  const graph::ValueId w = g.add_constant("w", graph::Tensor::zeros({of_w, of}));
  const graph::Steps steps{{stride, stride}, {1, 1}, {before, before}, {before, before}};
  g.outputs = g.add_node(graph::Convolution{steps, groups, transposed, {0, 0}}, {in, w}, "convolution");
  const agents::RegionCut cut = agents::cut_region(g, {0});
  return {*agents::lower(cut.region),
          {graph::element_count(x), graph::element_count(of)},
          {graph::element_count(g.type(g.outputs[0]).shape)},
          {of_x, of_w}};
}

}  // namespace

Workload workload_of(const std::string& shape) {
  const std::size_t colon = shape.find(':'), second = shape.find(':', colon + 1);
  const std::string kind = shape.substr(0, colon);
  const std::vector<std::int64_t> size =
      numbers(shape.substr(colon + 1, second == std::string::npos ? second : second - colon - 1));
  if (kind == "matmul" && size.size() == 3)
    return matmul(size, second == std::string::npos ? "none" : shape.substr(second + 1));
  if ((kind == "softmax" || kind == "layernorm") && size.size() == 2) return rows(size, kind == "softmax");
  if (kind == "attention" && size.size() == 4) return attention(size);
  if (kind == "gelu" && size.size() == 1) return pointwise_gelu(size[0]);
  if ((kind == "conv" || kind == "deconv") && size.size() == 4 && second != std::string::npos) {
    const std::size_t third = shape.find(':', second + 1);
    return convolution(size, numbers(shape.substr(second + 1, third == std::string::npos ? third : third - second - 1)),
                       kind == "deconv", third == std::string::npos ? "" : shape.substr(third + 1));
  }
  std::fprintf(stderr, "cannot read shape '%s': see tests/bench/kernel_shapes.h\n", shape.c_str());
  std::exit(2);
}

}  // namespace kiln::bench
