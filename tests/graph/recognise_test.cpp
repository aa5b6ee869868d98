// The recognised norms, activations, scans, rotary embeddings and shared heads: each against the graph as it was
// written.
#include <doctest/doctest.h>

#include <cmath>

#include "tests/graph/proof.h"

using namespace kiln;
using namespace kiln::graph;
using namespace kiln::graph::test;

namespace {

ValueId c(Graph& g, double value) { return scalar(g, static_cast<float>(value)); }

ValueId select(Graph& g, ValueId condition, ValueId yes, ValueId no) {
  Expr e;
  e.results = {
      e.apply(ExprOp::select, e.operand(0, DType::boolean), e.operand(1, DType::f32), e.operand(2, DType::f32))};
  return g.add_node(Pointwise{e}, {condition, yes, no}, "where")[0];
}

ValueId reduce(Graph& g, Monoid monoid, ValueId x, std::int32_t axis) {
  return g.add_node(Reduce{monoid, {axis}, true}, {x}, "reduce")[0];
}

// As Hugging Face's Llama writes it: x * rsqrt(mean(x^2) + eps), then the weight.
Graph rms_norm(int spelling) {
  Graph g;
  const ValueId x = g.add_input("x", {DType::f32, {5, 16}});
  const ValueId square = spelling == 0 ? apply(g, ExprOp::mul, x, x) : apply(g, ExprOp::pow, x, c(g, 2));
  const ValueId root = apply(g, ExprOp::sqrt, apply(g, ExprOp::add, reduce(g, Monoid::mean, square, 1), c(g, 1e-6)));
  ValueId y = -1;
  if (spelling == 0) y = apply(g, ExprOp::div, x, root);
  if (spelling == 1) y = apply(g, ExprOp::mul, x, apply(g, ExprOp::reciprocal, root));
  if (spelling == 2) y = apply(g, ExprOp::mul, x, apply(g, ExprOp::div, c(g, 1), root));
  g.outputs = {apply(g, ExprOp::mul, g.add_constant("weight", random_floats({16}, 8)), y)};
  return g;
}

// PyTorch's export of nn.GroupNorm(groups, channels).
Graph group_norm(std::int64_t groups, bool affine_inside) {
  Graph g;
  const ValueId x = g.add_input("x", {DType::f32, {2, 6, 3, 4}});
  const ValueId rows = g.add_node(Reshape{{2, groups, 6 / groups * 12}}, {x}, "reshape")[0];
  const auto along = [&](float value) {
    return g.add_constant("p", floats({groups, 1}, std::vector<float>(static_cast<std::size_t>(groups), value)));
  };
  const ValueId scale = affine_inside ? g.add_constant("s", random_floats({groups, 1}, 5)) : along(1);
  const ValueId norm = g.add_node(LayerNorm{2, 1e-5}, {rows, scale, along(0)}, "instance")[0];
  const ValueId back = g.add_node(Reshape{{2, 6, 3, 4}}, {norm}, "back")[0];
  const ValueId scaled = apply(g, ExprOp::mul, back, g.add_constant("weight", random_floats({6, 1, 1}, 6)));
  g.outputs = {apply(g, ExprOp::add, scaled, g.add_constant("bias", random_floats({6, 1, 1}, 7)))};
  return g;
}

ValueId activation(Graph& g, const std::string& name, ValueId x) {
  const auto softplus = [&] { return apply(g, ExprOp::log, apply(g, ExprOp::add, apply(g, ExprOp::exp, x), c(g, 1))); };
  const auto clipped = [&] {
    return apply(g, ExprOp::min, apply(g, ExprOp::max, apply(g, ExprOp::add, x, c(g, 3)), c(g, 0)), c(g, 6));
  };
  if (name == "silu") return apply(g, ExprOp::mul, x, apply(g, ExprOp::sigmoid, x));
  if (name == "silu/exp") {
    const ValueId below = apply(g, ExprOp::add, apply(g, ExprOp::exp, apply(g, ExprOp::neg, x)), c(g, 1));
    return apply(g, ExprOp::div, x, below);
  }
  if (name == "gelu (sigmoid)")
    return apply(g, ExprOp::mul, x, apply(g, ExprOp::sigmoid, apply(g, ExprOp::mul, x, c(g, 1.702))));
  if (name == "mish") return apply(g, ExprOp::mul, x, apply(g, ExprOp::tanh, softplus()));
  if (name == "hard_swish") return apply(g, ExprOp::mul, x, apply(g, ExprOp::div, clipped(), c(g, 6)));
  if (name == "hard_swish/after") return apply(g, ExprOp::div, apply(g, ExprOp::mul, x, clipped()), c(g, 6));
  if (name == "hard_sigmoid") return apply(g, ExprOp::div, clipped(), c(g, 6));
  return softplus();
}

// torch.logsumexp as its decomposition writes it.
Graph log_sum_exp(bool guarded) {
  Graph g;
  const ValueId x = g.add_input("x", {DType::f32, {4, 7}});
  const ValueId top = reduce(g, Monoid::max, x, 1);
  ValueId shift = top;
  if (guarded) shift = select(g, apply(g, ExprOp::equal, apply(g, ExprOp::abs, top), c(g, INFINITY)), c(g, 0), top);
  const ValueId sum = reduce(g, Monoid::sum, apply(g, ExprOp::exp, apply(g, ExprOp::sub, x, shift)), 1);
  g.outputs = {apply(g, ExprOp::add, apply(g, ExprOp::log, sum), shift)};
  return g;
}

ValueId flip(Graph& g, ValueId x) {
  const std::int64_t n = g.type(x).shape[1];
  return g.add_node(Slice{{0, n - 1}, g.type(x).shape, {1, -1}}, {x}, "flip")[0];
}

Graph rotary(bool swapped, bool wide_tables) {
  Graph g;
  const ValueId x = g.add_input("x", {DType::f32, {2, 3, 5, 8}});
  const Shape table = wide_tables ? Shape{5, 8} : Shape{5, 1};
  const ValueId cosine = g.add_constant("cos", random_floats(table, 2)),
                sine = g.add_constant("sin", random_floats(table, 3));
  const ValueId low = g.add_node(Slice{{0, 0, 0, 0}, {2, 3, 5, 4}, {1, 1, 1, 1}}, {x}, "low")[0];
  const ValueId high = g.add_node(Slice{{0, 0, 0, swapped ? 0 : 4}, {2, 3, 5, 4}, {1, 1, 1, 1}}, {x}, "high")[0];
  const ValueId turned = g.add_node(Concat{3}, {apply(g, ExprOp::neg, high), low}, "turned")[0];
  g.outputs = {apply(g, ExprOp::add, apply(g, ExprOp::mul, x, cosine), apply(g, ExprOp::mul, sine, turned))};
  return g;
}

enum class Mask { none, shared, per_head };

Graph grouped_query(Mask mask) {
  Graph g;
  const ValueId q = g.add_input("q", {DType::f32, {2, 6, 4, 8}}), k = g.add_input("k", {DType::f32, {2, 2, 5, 8}});
  const ValueId v = g.add_input("v", {DType::f32, {2, 2, 5, 3}});
  const auto repeated = [&](ValueId x) {
    const Shape s = g.type(x).shape;
    const ValueId one = g.add_node(Reshape{{s[0], s[1], 1, s[2], s[3]}}, {x}, "unsqueeze")[0];
    const ValueId wide = g.add_node(Expand{{s[0], s[1], 3, s[2], s[3]}}, {one}, "expand")[0];
    return g.add_node(Reshape{{s[0], s[1] * 3, s[2], s[3]}}, {wide}, "repeat")[0];
  };
  std::vector<ValueId> inputs = {q, repeated(k), repeated(v)};
  if (mask == Mask::shared) inputs.push_back(g.add_constant("mask", random_floats({2, 1, 4, 5}, 9)));
  if (mask == Mask::per_head) inputs.push_back(g.add_constant("mask", random_floats({6, 4, 5}, 9)));
  g.outputs = g.add_node(Attention{0.35, false}, inputs, "attention");
  return g;
}

// The mean over both dimensions of x by a weight that broadcasts to it.
Graph weighted_mean(const Shape& x, const Shape& weight) {
  Graph g;
  const ValueId of = g.add_input("x", {DType::f32, x});
  const ValueId by = g.add_constant("w", random_floats(weight, 7));
  g.outputs = g.add_node(Reduce{Monoid::mean, {0, 1}, false}, {apply(g, ExprOp::mul, of, by)}, "mean");
  return g;
}

}  // namespace

TEST_CASE("RMSNorm in three spellings is one norm that is not centred") {
  for (const int spelling : {0, 1, 2}) {
    const Proof p = simplified(rms_norm(spelling));
    REQUIRE(p.after.nodes.size() == 1);
    CHECK_FALSE(std::get<LayerNorm>(p.after.nodes[0].op).centred);
    CHECK(logged(p.log, "rms_norm: "));
    CHECK(disagreement(p, awkward({5, 16})) < 1e-12);
  }
}

TEST_CASE("a norm without a scale is recognised, and one whose scale was taken keeps the second apart") {
  Graph g = rms_norm(0);
  g.outputs = {g.nodes.back().inputs[1]};
  const Proof bare = simplified(g);
  CHECK(count<LayerNorm>(bare.after) == 1);
  CHECK(disagreement(bare, awkward({5, 16})) < 1e-12);
  Graph twice = rms_norm(1);
  twice.outputs = {apply(twice, ExprOp::mul, twice.outputs[0], twice.add_constant("again", random_floats({5, 1}, 3)))};
  const Proof p = simplified(twice);
  CHECK(p.after.nodes.size() == 2);
  CHECK(disagreement(p, awkward({5, 16})) < 1e-12);
}

TEST_CASE("group normalisation takes its scale and bias per channel") {
  for (const std::int64_t groups : {1, 2, 6}) {
    const Proof p = simplified(group_norm(groups, false));
    CHECK(logged(p.log, "group_norm: "));
    CHECK(count<LayerNorm>(p.after) == 1);
    CHECK(count<Pointwise>(p.after) == 0);
    CHECK(disagreement(p, awkward({2, 6, 3, 4})) < 1e-9);
  }
}

TEST_CASE("a group norm that has a scale of its own already stays in parts") {
  const Proof p = simplified(group_norm(2, true));
  CHECK_FALSE(logged(p.log, "group_norm: "));
  CHECK(count<Pointwise>(p.after) == 2);
  CHECK(disagreement(p, awkward({2, 6, 3, 4})) == 0);
}

TEST_CASE("activations in other spellings are one pointwise node with the very same values") {
  for (const std::string name :
       {"silu", "silu/exp", "gelu (sigmoid)", "mish", "hard_swish", "hard_swish/after", "hard_sigmoid", "softplus"}) {
    Graph g;
    g.outputs = {activation(g, name, g.add_input("x", {DType::f32, {7, 9}}))};
    const Proof p = simplified(g);
    INFO(name);
    CHECK(p.after.nodes.size() == 1);
    CHECK(logged(p.log, name.substr(0, name.find('/')) + ": "));
    std::vector<Tensor> inputs = awkward({7, 9});
    inputs[0].as<float>()[0] = INFINITY;
    inputs[0].as<float>()[1] = -INFINITY;
    inputs[0].as<float>()[2] = NAN;
    CHECK(disagreement(p, inputs) == 0);
  }
}

TEST_CASE("a product that is no activation stays") {
  Graph g;
  const ValueId x = g.add_input("x", {DType::f32, {3}});
  g.outputs = {apply(g, ExprOp::mul, x, apply(g, ExprOp::sigmoid, apply(g, ExprOp::mul, x, c(g, 1.5))))};
  CHECK(simplified(g).after.nodes.size() == 3);
}

TEST_CASE("a guarded log-sum-exp is one reduction, rows of infinities included; an unguarded one stays") {
  const Proof p = simplified(log_sum_exp(true));
  CHECK(p.after.nodes.size() == 1);
  CHECK(logged(p.log, "log_sum_exp: "));
  std::vector<Tensor> inputs = awkward({4, 7});
  for (std::size_t i = 0; i < 7; ++i) inputs[0].as<float>()[i] = -INFINITY;
  inputs[0].as<float>()[9] = INFINITY;
  inputs[0].as<float>()[15] = NAN;
  inputs[0].as<float>()[22] = -INFINITY;
  CHECK(disagreement(p, inputs) < 1e-12);
  CHECK(count<Reduce>(simplified(log_sum_exp(false)).after) == 2);
}

TEST_CASE("a scan between flips runs from the end, and one that is shifted, or over shifted values, is exclusive") {
  Graph g;
  const ValueId x = g.add_input("x", {DType::f32, {3, 6}});
  g.outputs = {flip(g, g.add_node(Scan{Monoid::sum, 1, false, false}, {flip(g, x)}, "scan")[0])};
  const Proof reverse = simplified(g);
  REQUIRE(reverse.after.nodes.size() == 1);
  CHECK(std::get<Scan>(reverse.after.nodes[0].op).reverse);
  CHECK(logged(reverse.log, "scan (reverse): "));
  CHECK(disagreement(reverse, awkward({3, 6})) == 0);

  Graph h;
  const ValueId y = h.add_input("x", {DType::f32, {3, 6}});
  const ValueId zeros = h.add_node(Expand{{3, 1}}, {scalar(h, 0)}, "zeros")[0];
  const ValueId rest = h.add_node(Slice{{0, 0}, {3, 5}, {1, 1}}, {y}, "rest")[0];
  h.outputs =
      h.add_node(Scan{Monoid::sum, 1, false, false}, {h.add_node(Concat{1}, {zeros, rest}, "shift")[0]}, "scan");
  const Proof exclusive = simplified(h);
  REQUIRE(exclusive.after.nodes.size() == 1);
  CHECK(std::get<Scan>(exclusive.after.nodes[0].op).exclusive);
  CHECK(logged(exclusive.log, "scan (exclusive): "));
  CHECK(disagreement(exclusive, awkward({3, 6})) == 0);

  const std::pair<Monoid, float> beginnings[] = {{Monoid::sum, 0}, {Monoid::prod, 1}, {Monoid::sum, 1}};
  for (const auto& [monoid, start] : beginnings) {
    Graph outside;
    const ValueId all = outside.add_input("x", {DType::f32, {3, 6}});
    const ValueId begin = outside.add_node(Expand{{3, 1}}, {c(outside, start)}, "begin")[0];
    const ValueId part = outside.add_node(Slice{{0, 0}, {3, 5}, {1, 1}}, {all}, "part")[0];
    const ValueId scanned = outside.add_node(Scan{monoid, 1, false, false}, {part}, "scan")[0];
    outside.outputs = outside.add_node(Concat{1}, {begin, scanned}, "shift");
    const Proof p = simplified(outside);
    CHECK(logged(p.log, "scan (exclusive): ") == ((monoid == Monoid::prod) == (start == 1)));
    CHECK(disagreement(p, awkward({3, 6})) == 0);
  }
}

TEST_CASE("a flip of another dimension than the scan's stays") {
  Graph g;
  const ValueId x = g.add_input("x", {DType::f32, {6, 6}});
  g.outputs = {flip(g, g.add_node(Scan{Monoid::sum, 0, false, false}, {flip(g, x)}, "scan")[0])};
  const Proof p = simplified(g);
  CHECK(p.after.nodes.size() == 3);
  CHECK(disagreement(p, awkward({6, 6})) == 0);
}

TEST_CASE("a rotary embedding is computed half by half, with the very same values") {
  for (const bool wide : {false, true}) {
    const Proof p = simplified(rotary(false, wide));
    CHECK(logged(p.log, "rotary: "));
    CHECK(count<Concat>(p.after) == 1);
    CHECK(p.after.nodes.back().outputs[0] == p.after.outputs[0]);
    CHECK(std::holds_alternative<Concat>(p.after.nodes.back().op));  // nothing reads a rotated copy of x
    CHECK(disagreement(p, awkward({2, 3, 5, 8})) == 0);
  }
  CHECK_FALSE(logged(simplified(rotary(true, true)).log, "rotary: "));
}

TEST_CASE("repeated heads of k and v are not copied") {
  for (const Mask mask : {Mask::none, Mask::shared, Mask::per_head}) {
    const Proof p = simplified(grouped_query(mask));
    CHECK(logged(p.log, "grouped_query: "));
    CHECK(count<Expand>(p.after) == 0);
    for (const double scale : {1.0, 100.0}) {
      const std::vector<Tensor> inputs = {random_floats({2, 6, 4, 8}, 1, scale), random_floats({2, 2, 5, 8}, 2),
                                          random_floats({2, 2, 5, 3}, 3)};
      CHECK(difference(run64(p.before, inputs), run64(p.after, inputs)) == 0);
    }
  }
}

TEST_CASE(
    "norm_parameters, reduce_runs, variance_runs: what is not one kernel's work is taken apart, with the same "
    "result") {
  const auto separated = [](const Graph& g) {
    Proof proof{g, g, {}};
    rewrite::separate(proof.after, proof.log);
    validate(proof.after);
    return proof;
  };
  Graph norm;
  const ValueId x = norm.add_input("x", {DType::f32, {3, 2, 4, 5}});
  const ValueId scale = norm.add_constant("s", random_floats({4, 1}, 5)),
                bias = norm.add_constant("b", random_floats({4, 1}, 6));
  norm.outputs = norm.add_node(LayerNorm{2, 1e-5, true}, {x, scale, bias}, "group norm");
  const Proof parameters = separated(norm);
  CHECK(logged(parameters.log, "norm_parameters: group norm"));
  CHECK(count<LayerNorm>(parameters.after) == 0);
  CHECK(count<Reduce>(parameters.after) == 2);
  CHECK(disagreement(parameters, awkward({3, 2, 4, 5})) <= 1e-11);

  for (const std::int32_t reduced : {1, 2}) {  // across what is normalised, and along a part of it
    Graph g;
    const ValueId in = g.add_input("x", {DType::f32, {3, 2, 4, 5}});
    const ValueId one = g.add_constant("s", random_floats({2, 1, 1}, 7));
    const ValueId normal = g.add_node(LayerNorm{2, 1e-5, true}, {in, one}, "instance norm")[0];
    g.outputs = g.add_node(Reduce{Monoid::max, {reduced}, false}, {normal}, "largest");
    const Proof across = separated(g);
    CHECK(logged(across.log, "norm_parameters: instance norm"));
    CHECK(disagreement(across, awkward({3, 2, 4, 5})) <= 1e-11);
    g.outputs = {g.outputs[0], normal};  // which is written whatever reduces it
    CHECK_FALSE(logged(separated(g).log, "norm_parameters: "));
  }
  Graph same;
  const ValueId of_rows = same.add_input("x", {DType::f32, {3, 2, 4, 5}});
  const ValueId unit = same.add_constant("s", random_floats({2, 1, 1}, 7));
  const ValueId of_each = same.add_node(LayerNorm{2, 1e-5, true}, {of_rows, unit}, "instance norm")[0];
  same.outputs = same.add_node(Reduce{Monoid::max, {2, 3}, false}, {of_each}, "largest");
  CHECK_FALSE(logged(separated(same).log, "norm_parameters: "));

  for (const Monoid monoid : {Monoid::sum, Monoid::mean, Monoid::max, Monoid::prod, Monoid::log_sum_exp})
    for (const bool keep : {false, true}) {
      Graph g;
      const ValueId y = g.add_input("x", {DType::f32, {3, 2, 4, 5}});
      g.outputs = g.add_node(Reduce{monoid, {0, 2, 3}, keep}, {y}, "statistics");
      const Proof p = separated(g);
      CHECK(logged(p.log, "reduce_runs: statistics"));
      CHECK(count<Reduce>(p.after) == 2);
      CHECK(p.after.type(p.after.outputs[0]) == g.type(g.outputs[0]));
      for (const Tensor& value : awkward({3, 2, 4, 5})) {
        const std::vector<double> before = run64(p.before, {value});
        double largest = 1e-300;
        for (const double v : before) largest = std::isfinite(v) ? std::max(largest, std::fabs(v)) : largest;
        CHECK(difference(before, run64(p.after, {value})) <= 1e-12 * largest);
      }
    }
  Graph batch;  // the statistics of a batch norm
  const ValueId v = batch.add_input("x", {DType::f32, {3, 2, 4, 5}});
  const auto binary = [&](ExprOp op, ValueId a, ValueId b) {
    Pointwise p;
    const std::int32_t left = p.expr.operand(0, DType::f32), right = p.expr.operand(1, DType::f32);
    p.expr.results = {p.expr.apply(op, left, right)};
    return batch.add_node(p, {a, b}, "centred")[0];
  };
  const ValueId mean = batch.add_node(Reduce{Monoid::mean, {0, 2, 3}, true}, {v}, "mean")[0];
  const ValueId centred = binary(ExprOp::sub, v, mean);
  const ValueId square = binary(ExprOp::mul, centred, centred);
  batch.outputs = batch.add_node(Reduce{Monoid::mean, {0, 2, 3}, false}, {square}, "variance");
  const Proof variance = separated(batch);
  CHECK(logged(variance.log, "variance_runs: variance"));
  int from_x = 0;  // reductions that read as many elements as x has
  for (const Node& node : variance.after.nodes)
    if (std::holds_alternative<Reduce>(node.op))
      from_x += element_count(variance.after.type(node.inputs[0]).shape) == 3 * 2 * 4 * 5 ? 1 : 0;
  CHECK(from_x == 2);
  for (const Tensor& value : awkward({3, 2, 4, 5})) {
    const std::vector<double> before = run64(variance.before, {value});
    CHECK(difference(before, run64(variance.after, {value})) <= 1e-12 * (before[0] + 1e-300));
  }

  CHECK(count<Reduce>(separated(weighted_mean({40, 6}, {6})).after) == 1);  // a row would be a third of a vector
  CHECK(count<Reduce>(separated(weighted_mean({6, 40}, {6, 40})).after) == 1);
  for (const Shape& weight : {Shape{40}, Shape{6, 1}}) {
    const Proof p = separated(weighted_mean({6, 40}, weight));
    CHECK(logged(p.log, "reduce_runs: mean"));
    CHECK(count<Reduce>(p.after) == 2);
    CHECK(disagreement(p, awkward({6, 40})) <= 1e-11);
  }
  Graph channels;  // a scale per channel that a reshape makes a scale per channel of a group
  const ValueId grouped = channels.add_input("x", {DType::f32, {2, 3, 4, 5, 6}});
  const ValueId per_channel = channels.add_constant("s", random_floats({3, 4, 1, 1}, 7));
  const ValueId flat =
      channels.add_node(Reshape{{2, 12, 5, 6}}, {apply(channels, ExprOp::mul, grouped, per_channel)}, "flat")[0];
  channels.outputs = channels.add_node(Reduce{Monoid::mean, {1, 2, 3}, false}, {flat}, "mean");
  const Proof of_channels = separated(channels);
  REQUIRE(count<Reduce>(of_channels.after) == 2);
  for (const Node& node : of_channels.after.nodes)
    if (const auto* first = std::get_if<Reduce>(&node.op)) {
      CHECK(first->axes == std::vector<std::int32_t>{2, 3});
      break;
    }
  CHECK(disagreement(of_channels, awkward({2, 3, 4, 5, 6})) <= 1e-11);
  Graph product;  // whose epilogue is all that is reduced
  const ValueId rows = product.add_input("x", {DType::f32, {6, 8}});
  const ValueId columns = product.add_constant("w", random_floats({8, 40}, 8));
  const ValueId result = product.add_node(MatMul{false, false}, {rows, columns}, "product")[0];
  const ValueId sum = apply(product, ExprOp::add, result, product.add_constant("b", random_floats({40}, 9)));
  product.outputs = product.add_node(Reduce{Monoid::mean, {0, 1}, false}, {sum}, "mean");
  CHECK(separated(product).log.empty());

  Graph neighbours;  // one run, with a dimension of extent 1 between
  const ValueId z = neighbours.add_input("x", {DType::f32, {3, 4, 1, 5}});
  neighbours.outputs = neighbours.add_node(Reduce{Monoid::sum, {1, 3}, false}, {z}, "sum");
  CHECK(separated(neighbours).log.empty());
}
