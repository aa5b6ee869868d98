#include "tests/bench/mutations/workloads.h"

#include <algorithm>
#include <numeric>
#include <random>

#include "tests/graph/build.h"

namespace kiln::mutation {
namespace {

using namespace graph;

constexpr DType f32 = DType::f32;

// The extents of one round's shapes: the usual ones in round 0, later any from 1 to somewhat beyond them.
class Extents {
 public:
  explicit Extents(std::uint64_t round) : usual_(round == 0), random_(round) {}
  std::int64_t operator()(std::int64_t usual) {
    return usual_ ? usual
                  : 1 + static_cast<std::int64_t>(random_() % static_cast<std::uint64_t>(usual + usual / 4 + 2));
  }

 private:
  const bool usual_;
  std::mt19937_64 random_;
};

// x * 0.5 * (1 + erf(x / sqrt 2)) + bias, with the bias along the rows.
Graph gelu(Extents& extent) {
  Graph g;
  const std::int64_t rows = extent(7), columns = extent(37);
  const ValueId x = g.add_input("x", {f32, {rows, columns}}), bias = g.add_input("bias", {f32, {columns}});
  Expr e;
  const auto a = e.operand(0, f32), b = e.operand(1, f32);
  const auto erf = e.apply(ExprOp::erf, e.apply(ExprOp::mul, a, e.constant(0.70710678118654752, f32)));
  const auto half = e.apply(ExprOp::mul, a, e.constant(0.5, f32));
  e.results = {e.apply(ExprOp::add, e.apply(ExprOp::mul, half, e.apply(ExprOp::add, erf, e.constant(1, f32))), b)};
  g.outputs = g.add_node(Pointwise{e}, {x, bias}, "gelu");
  return g;
}

// tanh(x) where x < y, else x * sigmoid(y); and the comparison itself.
Graph selected(Extents& extent) {
  Graph g;
  const std::int64_t count = extent(1003);
  const ValueId x = g.add_input("x", {f32, {count}}), y = g.add_input("y", {f32, {count}});
  Expr e;
  const auto a = e.operand(0, f32), b = e.operand(1, f32);
  const auto less = e.apply(ExprOp::less, a, b);
  e.results = {
      e.apply(ExprOp::select, less, e.apply(ExprOp::tanh, a), e.apply(ExprOp::mul, a, e.apply(ExprOp::sigmoid, b))),
      less};
  g.outputs = g.add_node(Pointwise{e}, {x, y}, "selected");
  return g;
}

Graph integers(Extents& extent) {
  Graph g;
  const Shape shape{extent(9), extent(21)};
  const ValueId a = g.add_input("a", {DType::i64, shape}), d = g.add_input("d", {DType::f64, shape});
  Expr e;
  const auto x = e.operand(0, DType::i64), y = e.operand(1, DType::f64);
  e.results = {
      e.cast(e.apply(ExprOp::mod, e.apply(ExprOp::mul, x, e.integer(5, DType::i64)), e.integer(3, DType::i64)), f32),
      e.apply(ExprOp::sqrt, e.apply(ExprOp::abs, y))};
  g.outputs = g.add_node(Pointwise{e}, {a, d}, "integers");
  return g;
}

Graph transposed(Extents& extent) {
  Graph g;
  const ValueId x = g.add_input("x", {f32, {extent(3), extent(50), extent(37)}});
  const ValueId t = g.add_node(Transpose{{0, 2, 1}}, {x}, "transpose")[0];
  Expr e;
  e.results = {e.operand(0, f32)};
  g.outputs = g.add_node(Pointwise{e}, {t}, "copy");
  return g;
}

Graph gathered(Extents& extent) {
  Graph g;
  const ValueId data = g.add_input("data", {f32, {extent(2), extent(11), extent(19)}}),
                at = g.add_input("at", {DType::i64, {extent(23)}});
  g.outputs = g.add_node(Gather{1}, {data, at}, "gather");
  return g;
}

Graph concatenated(Extents& extent) {
  Graph g;
  const std::int64_t outer = extent(4), inner = extent(13);
  const ValueId a = g.add_input("a", {f32, {outer, extent(5), inner}}),
                b = g.add_input("b", {f32, {outer, extent(9), inner}});
  g.outputs = g.add_node(Concat{1}, {a, b}, "concat");
  return g;
}

Graph softmax(Extents& extent) {
  Graph g;
  g.outputs = g.add_node(Softmax{1, false}, {g.add_input("x", {f32, {extent(5), extent(137)}})}, "softmax");
  return g;
}

Graph layer_norm(Extents& extent) {
  Graph g;
  const std::int64_t rows = extent(6), columns = extent(45);
  const ValueId x = g.add_input("x", {f32, {rows, columns}}), scale = g.add_input("scale", {f32, {columns}}),
                bias = g.add_input("bias", {f32, {columns}});
  g.outputs = g.add_node(LayerNorm{1, 1e-5}, {x, scale, bias}, "layer norm");
  return g;
}

Graph row_maximum(Extents& extent) {
  Graph g;
  g.outputs =
      g.add_node(Reduce{Monoid::max, {1}, false}, {g.add_input("x", {f32, {extent(9), extent(71)}})}, "maximum");
  return g;
}

Graph row_mean(Extents& extent) {
  Graph g;
  g.outputs = g.add_node(Reduce{Monoid::mean, {1}, true}, {g.add_input("x", {f32, {extent(9), extent(201)}})}, "mean");
  return g;
}

Tensor weight(Shape shape) {
  Tensor out = Tensor::zeros({f32, std::move(shape)});
  float value = 0;
  for (float& x : out.as<float>()) x = (value = value < 3 ? value + 0.37f : value - 6.1f);
  return out;
}

// relu(a w + bias) with w constant, deep enough for three blocks of kc.
Graph dense(Extents& extent) {
  Graph g;
  const std::int64_t m = extent(19), n = extent(45), k = extent(520);
  const ValueId a = g.add_input("a", {f32, {m, k}}), w = g.add_constant("w", weight({k, n})),
                bias = g.add_input("bias", {f32, {n}});
  const ValueId product = g.add_node(MatMul{false, false}, {a, w}, "product")[0];
  Expr e;
  e.results = {e.apply(ExprOp::max, e.apply(ExprOp::add, e.operand(0, f32), e.operand(1, f32)), e.constant(0, f32))};
  g.outputs = g.add_node(Pointwise{e}, {product, bias}, "bias and relu");
  return g;
}

Graph batched(Extents& extent) {
  Graph g;
  const std::int64_t batch = extent(2), m = extent(37), n = extent(29), k = extent(33);
  const ValueId a = g.add_input("a", {f32, {batch, m, k}}), b = g.add_input("b", {f32, {batch, k, n}});
  g.outputs = g.add_node(MatMul{false, false}, {a, b}, "product");
  return g;
}

Graph attention(Extents& extent, bool causal) {
  Graph g;
  const std::int64_t heads = extent(2), rows = extent(45), keys = rows + extent(105), deep = extent(20),
                     wide = extent(32);
  const ValueId q = g.add_input("q", {f32, {heads, rows, deep}}), k = g.add_input("k", {f32, {heads, keys, deep}}),
                v = g.add_input("v", {f32, {heads, keys, wide}});
  std::vector<ValueId> inputs = {q, k, v};
  if (!causal) inputs.push_back(g.add_input("mask", {f32, {rows, keys}}));
  g.outputs = g.add_node(Attention{0.223606797749979, causal}, inputs, "attention");
  return g;
}

ValueId biased_relu(Graph& g, ValueId x, std::int64_t channels) {
  const ValueId bias = g.add_input("bias", {f32, {channels, 1, 1}});
  Expr e;
  e.results = {e.apply(ExprOp::max, e.apply(ExprOp::add, e.operand(0, f32), e.operand(1, f32)), e.constant(0, f32))};
  return g.add_node(Pointwise{e}, {x, bias}, "bias and relu")[0];
}

// relu(conv(x, w) + bias): 3 x 3 and padded, of every second place along one dimension; or depthwise.
Graph convolution(Extents& extent, bool depthwise) {
  Graph g;
  const std::int64_t batch = extent(2), channels = extent(5), height = extent(9), width = extent(21);
  const std::int64_t results = depthwise ? channels : extent(7);
  const ValueId x = g.add_input("x", {f32, {batch, channels, height, width}});
  const ValueId w = g.add_constant("w", weight({results, depthwise ? 1 : channels, 3, 3}));
  const Convolution op{{{1, depthwise ? 1 : 2}, {1, 1}, {1, 1}, {1, 1}}, depthwise ? channels : 1, false, {0, 0}};
  g.outputs = {biased_relu(g, g.add_node(op, {x, w}, "convolution")[0], results)};
  return g;
}

Graph transposed_convolution(Extents& extent) {
  Graph g;
  const std::int64_t channels = extent(4), results = extent(5);
  const ValueId x = g.add_input("x", {f32, {extent(2), channels, extent(7), extent(13)}});
  const ValueId w = g.add_constant("w", weight({channels, results, 3, 4}));
  const Convolution op{{{2, 2}, {1, 1}, {1, 1}, {1, 1}}, 1, true, {0, 0}};
  g.outputs = {biased_relu(g, g.add_node(op, {x, w}, "transposed convolution")[0], results)};
  return g;
}

// Windows of 3 x 2, two apart along each dimension.
Graph windows(Extents& extent, Monoid monoid) {
  Graph g;
  const std::int64_t height = extent(11), width = 1 + extent(33);
  const ValueId x = g.add_input("x", {f32, {extent(3), extent(4), height, width}});
  const Window op{monoid, {3, 2}, {{2, 2}, {1, 1}, {1, 0}, {1, 0}}, {(height + 1) / 2, width / 2},
                  monoid == Monoid::mean, false};
  g.outputs = g.add_node(op, {x}, "windows");
  return g;
}

Graph scanned(Extents& extent) {
  Graph g;
  const ValueId x = g.add_input("x", {f32, {extent(5), extent(90), extent(3)}});
  g.outputs = g.add_node(Scan{Monoid::sum, 1, true, true}, {x}, "scan");
  return g;
}

Graph place_of_maximum(Extents& extent) {
  Graph g;
  const ValueId x = g.add_input("x", {f32, {extent(6), extent(70), extent(3)}});
  g.outputs = g.add_node(Arg{true, 1, true, false}, {x}, "arg");
  return g;
}

Graph padded(Extents& extent) {
  Graph g;
  const ValueId x = g.add_input("x", {f32, {extent(5), extent(17)}}), value = g.add_input("value", {f32, {}});
  g.outputs = g.add_node(Pad{{1, 3}, {2, 0}}, {x, value}, "pad");
  return g;
}

Graph scattered(Extents& extent) {
  Graph g;
  const std::int64_t rows = extent(9), columns = extent(21), updates = extent(6);
  const ValueId data = g.add_input("data", {f32, {rows, columns}}), at = g.add_input("at", {DType::i64, {updates}}),
                with = g.add_input("updates", {f32, {updates, columns}});
  g.outputs = g.add_node(Scatter{Combine::add}, {data, at, with}, "scatter");
  return g;
}

Expr function(ExprOp op) {
  Expr e;
  e.results = {e.apply(op, e.operand(0, f32))};
  return e;
}

// Rows of a batch end at different steps; the weights are small enough for errors not to grow from step to step.
Graph recurrent(Extents& extent, Cell cell) {
  Graph g;
  const std::int64_t steps = extent(5), batch = extent(3), hidden = extent(19), gates = cell == Cell::gru ? 3 : 4;
  std::vector<std::int64_t> lengths;
  for (std::int64_t b = 0; b < batch; ++b) lengths.push_back(std::max<std::int64_t>(0, steps - 2 * b));
  std::vector<ValueId> inputs = {g.add_input("x", {f32, {steps, batch, gates * hidden}}),
                                 g.add_constant("r", test::random_floats({gates * hidden, hidden}, 1, 0.2)),
                                 g.add_constant("bias", test::random_floats({gates * hidden}, 2, 0.5)),
                                 g.add_input("h", {f32, {batch, hidden}}),
                                 g.add_constant("lengths", test::tensor<std::int64_t>(DType::i64, {batch}, lengths))};
  const bool gru = cell == Cell::gru;
  Recurrent op{cell, gru, gru, false, 0, {function(ExprOp::sigmoid), function(ExprOp::tanh)}};
  if (cell == Cell::lstm) {
    op.activations.push_back(function(ExprOp::tanh));
    inputs.push_back(g.add_input("c", {f32, {batch, hidden}}));
    inputs.push_back(g.add_constant("peepholes", test::random_floats({3 * hidden}, 3, 0.3)));
  }
  g.outputs = g.add_node(op, inputs, "layer");
  return g;
}

agents::Partition one_region(const Graph& g) {
  std::vector<std::int32_t> nodes(g.nodes.size());
  std::iota(nodes.begin(), nodes.end(), 0);
  agents::RegionCut cut = agents::cut_region(g, nodes);
  return {{std::move(cut.region)}, {std::move(cut.instance)}};
}

}  // namespace

std::vector<Workload> workloads(std::uint64_t round) {
  Extents extent(round);
  std::vector<Workload> out;
  const auto add = [&](const char* family, const char* what, Graph graph) {
    std::string name = what;
    for (const ValueId id : graph.inputs) name += " " + to_string(graph.type(id).shape);
    out.push_back({family, std::move(name), std::move(graph)});
  };
  add("pointwise", "gelu", gelu(extent));
  add("pointwise", "select", selected(extent));
  add("pointwise", "i64 and f64", integers(extent));
  add("movement", "transpose", transposed(extent));
  add("movement", "gather", gathered(extent));
  add("movement", "concat", concatenated(extent));
  add("movement", "pad", padded(extent));
  add("movement", "scatter", scattered(extent));
  add("row", "softmax", softmax(extent));
  add("row", "layer norm", layer_norm(extent));
  add("row", "maximum", row_maximum(extent));
  add("row", "mean", row_mean(extent));
  add("matmul", "dense", dense(extent));
  add("matmul", "batched", batched(extent));
  add("attention", "masked", attention(extent, false));
  add("attention", "causal", attention(extent, true));
  add("convolution", "strided", convolution(extent, false));
  add("convolution", "depthwise", convolution(extent, true));
  add("convolution", "transposed", transposed_convolution(extent));
  add("window", "maximum", windows(extent, Monoid::max));
  add("window", "mean", windows(extent, Monoid::mean));
  add("line", "scan", scanned(extent));
  add("line", "arg", place_of_maximum(extent));
  add("recurrent", "gru", recurrent(extent, Cell::gru));
  add("recurrent", "lstm", recurrent(extent, Cell::lstm));
  return out;
}

std::optional<Prepared> prepare(const Workload& workload, const std::vector<store::TemplateSpec>& corpus,
                 const agents::NodeFacts& node, std::int32_t threads) {
  Prepared out;
  out.workload = workload;
  const agents::Partition original = one_region(workload.graph);
  out.standalone = agents::standalone(original.regions.front(), 1);
  out.partition = one_region(out.standalone);
  const agents::Region& region = out.partition.regions.front();
  std::optional<agents::Kernel> kernel = agents::lower(region);
  if (!kernel) return std::nullopt;
  out.kernel = std::move(*kernel);
  out.figures = agents::figures_of(out.kernel, node, threads);
  for (const store::TemplateSpec& spec : corpus) {
    if (spec.target != "cpu" || spec.vendor || !agents::accepts(spec, out.kernel)) continue;
    agents::Space space = agents::enumerate(spec, region, out.kernel, out.figures, node);
    if (!space.rows.empty()) out.choices.push_back({&spec, std::move(space)});
  }
  if (out.choices.empty()) return std::nullopt;
  return out;
}

agents::RenderedKernel rendered(const Prepared& p, std::size_t choice, std::size_t row, const agents::NodeFacts& node) {
  const Prepared::Choice& c = p.choices[choice];
  return agents::render(*c.spec, p.partition.regions.front(), p.kernel, agents::variant_of(c.space, row), p.figures,
                        node);
}

}  // namespace kiln::mutation
