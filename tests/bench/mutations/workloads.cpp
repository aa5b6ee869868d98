#include "tests/bench/mutations/workloads.h"

#include <numeric>

#include "runtime/base/error.h"
#include "tests/graph/build.h"

namespace kiln::mutation {
namespace {

using namespace graph;

constexpr DType f32 = DType::f32;

// x * 0.5 * (1 + erf(x / sqrt 2)) + bias, over 7 x 37 with the bias along the rows.
Graph gelu() {
  Graph g;
  const ValueId x = g.add_input("x", {f32, {7, 37}}), bias = g.add_input("bias", {f32, {37}});
  Expr e;
  const auto a = e.operand(0, f32), b = e.operand(1, f32);
  const auto erf = e.apply(ExprOp::erf, e.apply(ExprOp::mul, a, e.constant(0.70710678118654752, f32)));
  const auto half = e.apply(ExprOp::mul, a, e.constant(0.5, f32));
  e.results = {e.apply(ExprOp::add, e.apply(ExprOp::mul, half, e.apply(ExprOp::add, erf, e.constant(1, f32))), b)};
  g.outputs = g.add_node(Pointwise{e}, {x, bias}, "gelu");
  return g;
}

// tanh(x) where x < y, else x * sigmoid(y); and the comparison itself: 1003 elements.
Graph selected() {
  Graph g;
  const ValueId x = g.add_input("x", {f32, {1003}}), y = g.add_input("y", {f32, {1003}});
  Expr e;
  const auto a = e.operand(0, f32), b = e.operand(1, f32);
  const auto less = e.apply(ExprOp::less, a, b);
  e.results = {
      e.apply(ExprOp::select, less, e.apply(ExprOp::tanh, a), e.apply(ExprOp::mul, a, e.apply(ExprOp::sigmoid, b))),
      less};
  g.outputs = g.add_node(Pointwise{e}, {x, y}, "selected");
  return g;
}

Graph integers() {
  Graph g;
  const ValueId a = g.add_input("a", {DType::i64, {9, 21}}), d = g.add_input("d", {DType::f64, {9, 21}});
  Expr e;
  const auto x = e.operand(0, DType::i64), y = e.operand(1, DType::f64);
  e.results = {
      e.cast(e.apply(ExprOp::mod, e.apply(ExprOp::mul, x, e.integer(5, DType::i64)), e.integer(3, DType::i64)), f32),
      e.apply(ExprOp::sqrt, e.apply(ExprOp::abs, y))};
  g.outputs = g.add_node(Pointwise{e}, {a, d}, "integers");
  return g;
}

Graph transposed() {
  Graph g;
  const ValueId x = g.add_input("x", {f32, {3, 50, 37}});
  const ValueId t = g.add_node(Transpose{{0, 2, 1}}, {x}, "transpose")[0];
  Expr e;
  e.results = {e.operand(0, f32)};
  g.outputs = g.add_node(Pointwise{e}, {t}, "copy");
  return g;
}

Graph gathered() {
  Graph g;
  const ValueId data = g.add_input("data", {f32, {2, 11, 19}}), at = g.add_input("at", {DType::i64, {23}});
  g.outputs = g.add_node(Gather{1}, {data, at}, "gather");
  return g;
}

Graph concatenated() {
  Graph g;
  const ValueId a = g.add_input("a", {f32, {4, 5, 13}}), b = g.add_input("b", {f32, {4, 9, 13}});
  g.outputs = g.add_node(Concat{1}, {a, b}, "concat");
  return g;
}

Graph softmax() {
  Graph g;
  g.outputs = g.add_node(Softmax{1, false}, {g.add_input("x", {f32, {5, 137}})}, "softmax");
  return g;
}

Graph layer_norm() {
  Graph g;
  const ValueId x = g.add_input("x", {f32, {6, 45}}), scale = g.add_input("scale", {f32, {45}}),
                bias = g.add_input("bias", {f32, {45}});
  g.outputs = g.add_node(LayerNorm{1, 1e-5}, {x, scale, bias}, "layer norm");
  return g;
}

Graph row_maximum() {
  Graph g;
  g.outputs = g.add_node(Reduce{Monoid::max, {1}, false}, {g.add_input("x", {f32, {9, 71}})}, "maximum");
  return g;
}

Graph row_mean() {
  Graph g;
  g.outputs = g.add_node(Reduce{Monoid::mean, {1}, true}, {g.add_input("x", {f32, {9, 201}})}, "mean");
  return g;
}

Tensor weight(Shape shape) {
  Tensor out = Tensor::zeros({f32, std::move(shape)});
  float value = 0;
  for (float& x : out.as<float>()) x = (value = value < 3 ? value + 0.37f : value - 6.1f);
  return out;
}

// relu(a w + bias) with w constant, deep enough for three blocks of kc.
Graph dense() {
  Graph g;
  const ValueId a = g.add_input("a", {f32, {19, 520}}), w = g.add_constant("w", weight({520, 45})),
                bias = g.add_input("bias", {f32, {45}});
  const ValueId product = g.add_node(MatMul{false, false}, {a, w}, "product")[0];
  Expr e;
  e.results = {e.apply(ExprOp::max, e.apply(ExprOp::add, e.operand(0, f32), e.operand(1, f32)), e.constant(0, f32))};
  g.outputs = g.add_node(Pointwise{e}, {product, bias}, "bias and relu");
  return g;
}

Graph batched() {
  Graph g;
  const ValueId a = g.add_input("a", {f32, {2, 37, 33}}), b = g.add_input("b", {f32, {2, 33, 29}});
  g.outputs = g.add_node(MatMul{false, false}, {a, b}, "product");
  return g;
}

Graph attention(bool causal) {
  Graph g;
  const ValueId q = g.add_input("q", {f32, {2, 45, 20}}), k = g.add_input("k", {f32, {2, 150, 20}}),
                v = g.add_input("v", {f32, {2, 150, 32}});
  std::vector<ValueId> inputs = {q, k, v};
  if (!causal) inputs.push_back(g.add_input("mask", {f32, {45, 150}}));
  g.outputs = g.add_node(Attention{0.223606797749979, causal}, inputs, "attention");
  return g;
}

agents::Partition one_region(const Graph& g) {
  std::vector<std::int32_t> nodes(g.nodes.size());
  std::iota(nodes.begin(), nodes.end(), 0);
  agents::RegionCut cut = agents::cut_region(g, nodes);
  return {{std::move(cut.region)}, {std::move(cut.instance)}};
}

}  // namespace

std::vector<Workload> workloads() {
  return {{"pointwise", "gelu of 7x37", gelu()},
          {"pointwise", "select of 1003", selected()},
          {"pointwise", "i64 and f64 of 9x21", integers()},
          {"movement", "transpose of 3x50x37", transposed()},
          {"movement", "gather of 2x23x19", gathered()},
          {"movement", "concat to 4x14x13", concatenated()},
          {"row", "softmax of 5x137", softmax()},
          {"row", "layer norm of 6x45", layer_norm()},
          {"row", "maximum of 9x71", row_maximum()},
          {"row", "mean of 9x201", row_mean()},
          {"matmul", "dense 19x45x520", dense()},
          {"matmul", "batched 2x37x29x33", batched()},
          {"attention", "masked 2x45x150x20", attention(false)},
          {"attention", "causal 2x45x150x20", attention(true)}};
}

Prepared prepare(const Workload& workload, const std::vector<store::TemplateSpec>& corpus,
                 const agents::NodeFacts& node, std::int32_t threads) {
  Prepared out;
  out.workload = workload;
  const agents::Partition original = one_region(workload.graph);
  out.standalone = agents::standalone(original.regions.front(), 1);
  out.partition = one_region(out.standalone);
  const agents::Region& region = out.partition.regions.front();
  std::optional<agents::Kernel> kernel = agents::lower(region);
  if (!kernel) throw Error(ErrorCode::internal, "cannot prepare '" + workload.name + "': it is not one kernel");
  out.kernel = std::move(*kernel);
  out.figures = agents::figures_of(out.kernel, node, threads);
  for (const store::TemplateSpec& spec : corpus) {
    if (spec.target != "cpu" || spec.vendor || !agents::accepts(spec, out.kernel)) continue;
    agents::Space space = agents::enumerate(spec, region, out.kernel, out.figures, node);
    if (!space.rows.empty()) out.choices.push_back({&spec, std::move(space)});
  }
  if (out.choices.empty())
    throw Error(ErrorCode::internal, "cannot prepare '" + workload.name + "': no template computes it");
  return out;
}

agents::RenderedKernel rendered(const Prepared& p, std::size_t choice, std::size_t row, const agents::NodeFacts& node) {
  const Prepared::Choice& c = p.choices[choice];
  return agents::render(*c.spec, p.partition.regions.front(), p.kernel, agents::variant_of(c.space, row), p.figures,
                        node);
}

}  // namespace kiln::mutation
