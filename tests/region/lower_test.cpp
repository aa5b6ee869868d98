#include <doctest/doctest.h>

#include <functional>

#include "agents/graph/interpreter.h"
#include "tests/graph/inputs.h"
#include "tests/region/bodies.h"
#include "tests/region/reference.h"

using namespace kiln;
using namespace kiln::agents;
using bodies::Builder;
using graph::DType;
using graph::Shape;
using graph::ValueId;
using graph::test::inputs_for;

namespace {

std::vector<double> doubles(const graph::Tensor& t) {
  std::vector<double> out;
  for (std::int64_t i = 0; i < t.count(); ++i) out.push_back(graph::load_double(t.type.dtype, t.bytes.data(), i));
  return out;
}

std::string text_of(const graph::Graph& g) {
  std::string text;
  for (const graph::Node& n : g.nodes) {
    text += std::string(graph::kind_name(n.op)) + " ->";
    for (const ValueId v : n.outputs) text += " " + std::to_string(v) + graph::to_string(g.type(v).shape);
    text += " from";
    for (const ValueId v : n.inputs) text += " " + std::to_string(v) + graph::to_string(g.type(v).shape);
    text += "\n";
  }
  return text;
}

// The kernel, executed by the reference, equals the body, evaluated by the oracle; each element is written once.
void check_equal(const Region& region, const Kernel& kernel, std::uint64_t seed) {
  INFO(text_of(region.body));
  INFO(describe(kernel));
  const std::vector<graph::Tensor> inputs = inputs_for(region.body, seed, 2);
  const std::vector<graph::Tensor> expected = graph::evaluate(region.body, inputs, graph::Arithmetic::fp64);
  reference::Memory memory;
  for (const graph::Tensor& t : inputs) memory.inputs.push_back(doubles(t));
  for (const graph::Tensor& t : expected) {
    memory.outputs.emplace_back(static_cast<std::size_t>(t.count()), std::nan(""));
    memory.written.emplace_back(static_cast<std::size_t>(t.count()), 0);
  }
  std::visit(reference::Run{memory}, kernel);
  for (std::size_t o = 0; o < expected.size(); ++o) {
    const std::vector<double> wanted = doubles(expected[o]);
    for (std::size_t i = 0; i < wanted.size(); ++i) {
      REQUIRE(memory.written[o][i] == 1);
      const bool same = std::fabs(memory.outputs[o][i] - wanted[i]) <= 1e-9 * (1 + std::fabs(wanted[i])) ||
                        (std::isnan(memory.outputs[o][i]) && std::isnan(wanted[i]));
      REQUIRE_MESSAGE(same,
                      "output " << o << " element " << i << ": " << memory.outputs[o][i] << " is not " << wanted[i]);
    }
  }
}

// Lowers `count` random bodies and checks those that lower; returns how many did.
int check_many(int count, std::uint64_t seed, const char* family, const std::function<Region(Builder&)>& make) {
  int lowered = 0;
  for (int i = 0; i < count; ++i) {
    CAPTURE(i);
    Builder builder(seed * 100003 + static_cast<std::uint64_t>(i));
    const Region region = make(builder);
    graph::validate(region.body);
    const std::optional<Kernel> kernel = lower(region);
    if (!kernel) continue;
    if (family) REQUIRE(anchor(*kernel) == family);
    check_equal(region, *kernel, seed + static_cast<std::uint64_t>(i));
    ++lowered;
  }
  return lowered;
}

}  // namespace

TEST_CASE("bodies of pointwise nodes and views compute what the oracle computes") {
  const int lowered = check_many(400, 1, "pointwise", [](Builder& b) {
    ValueId v = b.operand(b.random_shape(static_cast<std::size_t>(1 + b.below(4))));
    for (std::int64_t i = b.below(4); i >= 0; --i) v = b.chain(b.views(v, 2, false), 2);
    return b.region({v});
  });
  CHECK(lowered >= 320);
}

TEST_CASE("two results of one pointwise body are both written") {
  const int lowered = check_many(100, 2, "pointwise", [](Builder& b) {
    const ValueId first = b.pointwise(b.views(b.input(b.random_shape(3)), 2, false));
    return b.region({first, b.views(b.pointwise(first), 1, true)});
  });
  CHECK(lowered >= 80);
}

TEST_CASE("what Concat joins of computed parts is written side by side") {
  const int lowered = check_many(300, 9, "pointwise", [](Builder& b) {
    const Shape shape = b.random_shape(static_cast<std::size_t>(1 + b.below(4)));
    const auto axis = static_cast<std::int32_t>(b.below(static_cast<std::int64_t>(shape.size())));
    // Parts that share what they are computed from, as the halves of a rotary embedding do, and parts that are read.
    std::vector<ValueId> read = {b.input(shape), b.operand(shape)}, parts;
    for (std::int64_t i = 1 + b.below(3); i >= 0; --i) {
      const ValueId from = read[static_cast<std::size_t>(b.below(2))];
      parts.push_back(i == 0 || b.chance(75) ? b.chain(b.pointwise(from), 2) : from);
    }
    std::vector<ValueId> outputs;
    if (b.chance(20)) outputs.push_back(parts.back());  // which is read by others too
    outputs.push_back(b.views(b.add(graph::Concat{axis}, parts), b.chance(30) ? 1 : 0, true));
    return b.region(outputs);
  });
  CHECK(lowered >= 200);
  Builder b(1);
  const ValueId x = b.input({4, 6}), y = b.input({4, 3});
  CHECK_FALSE(lower(b.region({b.add(graph::Concat{1}, {b.pointwise(x), y})})));  // parts of different extents
}

TEST_CASE("row reductions with pointwise before, between and after compute what the oracle computes") {
  const int lowered = check_many(400, 3, "row", [](Builder& b) {
    ValueId v = b.chain(b.operand(b.random_shape(static_cast<std::size_t>(1 + b.below(3)))), 2);
    std::vector<ValueId> outputs;
    if (b.chance(20)) outputs.push_back(v);  // the residual sum, kept beside its normalisation
    v = b.chance(25) ? b.centred(v) : b.row(v);
    v = b.views(b.chain(v, 2), 1, true);
    outputs.push_back(v);
    return b.region(outputs);
  });
  CHECK(lowered >= 300);
}

TEST_CASE("rows of several dimensions, with operands that move along some of them, compute what the oracle computes") {
  const int lowered = check_many(300, 10, "row", [](Builder& b) {
    Shape shape = b.random_shape(4), part = shape;
    for (std::size_t d = 0; d < shape.size(); ++d)
      if (b.chance(50)) part[d] = 1;
    const ValueId x = b.views(b.input(shape), 1, true);
    if (b.shape(x) != shape) return b.region({b.row(b.pointwise(x))});
    const ValueId scaled = b.less(x, b.input(part));
    const std::int32_t axis = static_cast<std::int32_t>(b.below(3)) + 1;
    std::vector<std::int32_t> axes;
    for (std::int32_t d = axis; d < 4; ++d) axes.push_back(d);
    const ValueId mean = b.add(graph::Reduce{graph::Monoid::mean, axes, true}, {scaled});
    return b.region({b.chance(50) ? mean : b.less(b.less(x, mean), b.input(part))});
  });
  CHECK(lowered >= 250);
}

TEST_CASE("the scale per channel of a group norm stands still along the rest of its row") {
  Builder b(1);
  const ValueId x = b.input({2, 3, 4, 10}), scale = b.input({3, 4, 1});
  const ValueId mean = b.add(graph::Reduce{graph::Monoid::mean, {2, 3}, true}, {x});
  const std::optional<Kernel> kernel = lower(b.region({b.less(b.less(x, mean), scale)}));
  REQUIRE(kernel);
  const auto& k = std::get<RowKernel>(*kernel);
  CHECK(k.outer == Shape{2, 3});
  CHECK(k.along == Shape{4, 10});
  CHECK(k.length == 40);
  REQUIRE(k.reads.size() == 2);
  CHECK(k.reads[0].strides == std::vector<std::int64_t>{120, 40, 10, 1});
  CHECK(k.reads[1].strides == std::vector<std::int64_t>{0, 4, 1, 0});
  CHECK((is_own(k, k.reads[0]) && varies_along(k, k.reads[1]) && !is_own(k, k.reads[1])));
  CHECK(widest_vector(k) == 2);  // vectors that do not go past the inner dimension
}

TEST_CASE("what is computed from a row's result and another value of its shape is written along the row") {
  Builder b(1);
  const ValueId x = b.input({3, 4, 5}), residual = b.input({3, 4, 5});
  const ValueId mean = b.add(graph::Reduce{graph::Monoid::mean, {1}, true}, {x});
  const Region region = b.region({b.less(residual, b.pointwise(mean))});
  const std::optional<Kernel> kernel = lower(region);
  REQUIRE(kernel);
  check_equal(region, *kernel, 3);
  CHECK(anchor(*kernel) == "row");
}

TEST_CASE("windows that leave nothing out are read where they are needed") {
  const int lowered = check_many(300, 11, nullptr, [](Builder& b) {
    const Shape shape = {1 + b.below(3), 2 + b.below(7), 2 + b.below(7)};
    ValueId v = b.chance(50) ? b.input(shape) : b.chain(b.input(shape), 2);
    graph::Window op{b.chance(50) ? graph::Monoid::max : graph::Monoid::mean, {}, {}, {}, false, false};
    for (std::size_t d = 1; d < 3; ++d) {
      const std::int64_t kernel = 1 + b.below(std::min<std::int64_t>(3, shape[d])), stride = kernel + b.below(2);
      op.kernel.push_back(kernel);
      op.steps.strides.push_back(stride);
      op.steps.dilations.push_back(1);
      op.steps.before.push_back(0);
      op.steps.after.push_back(0);
      op.extents.push_back((shape[d] - kernel) / stride + 1);
    }
    v = b.chain(b.add(op, {v}), 2);
    if (b.chance(60)) v = b.pointwise(b.row(v));
    return b.region({b.pointwise(v)});
  });
  CHECK(lowered == 300);
}

TEST_CASE("a window that overlaps, is padded or is large is an anchor, which takes nothing in") {
  const auto windowed = [](std::int64_t kernel, std::int64_t stride, std::int64_t before) {
    Builder b(1);
    const std::int64_t out = (40 + before - kernel) / stride + 1;
    const graph::Window op{graph::Monoid::max, {kernel}, {{stride}, {1}, {before}, {0}}, {out}, false, false};
    return lower(b.region({b.pointwise(b.add(op, {b.input({3, 40})}))})).has_value();
  };
  CHECK(windowed(2, 2, 0));
  CHECK(windowed(3, 2, 0));
  CHECK_FALSE(windowed(3, 1, 0));
  CHECK_FALSE(windowed(2, 2, 1));
  CHECK(windowed(20, 20, 0));
  Builder b(1);
  const graph::Window large{graph::Monoid::max, {80}, {{80}, {1}, {0}, {0}}, {2}, false, false};
  CHECK_FALSE(lower(b.region({b.pointwise(b.add(large, {b.input({3, 160})}))})));
}

TEST_CASE("products with epilogues and views on every side compute what the oracle computes") {
  const int lowered = check_many(400, 4, "matmul", [](Builder& b) {
    ValueId v = b.chain(b.matmul(), 3);
    if (b.chance(50)) v = b.chain(b.views(v, 2, true), 1);
    return b.region({v});
  });
  CHECK(lowered >= 300);
}

TEST_CASE("attention between split and merged heads computes what the oracle computes") {
  CHECK(check_many(200, 5, "attention", [](Builder& b) { return b.region({b.attention()}); }) >= 190);
}

TEST_CASE("gathers and concatenations compute what the oracle computes") {
  CHECK(check_many(200, 6, "gather", [](Builder& b) { return b.region({b.views(b.chain(b.gather(), 2), 1, true)}); }) >=
        140);
  CHECK(check_many(200, 7, "concat", [](Builder& b) { return b.region({b.views(b.concat(), 1, true)}); }) >= 140);
}

TEST_CASE("anything at all lowers or is refused, and what lowers is right") {
  (void)check_many(600, 8, nullptr, [](Builder& b) {
    std::vector<ValueId> outputs;
    const std::int64_t kind = b.below(6);
    ValueId v = kind == 0   ? b.matmul()
                : kind == 1 ? b.gather()
                : kind == 2 ? b.attention()
                            : b.operand(b.random_shape(3));
    for (std::int64_t i = b.below(4); i >= 0; --i) {
      v = b.chain(b.views(v, 2, false), 2);
      if (b.chance(40) && !b.shape(v).empty()) v = b.row(v);
      if (b.chance(20)) outputs.push_back(v);
    }
    outputs.push_back(v);
    std::erase_if(outputs,
                  [&](ValueId o) { return std::find(b.g.inputs.begin(), b.g.inputs.end(), o) != b.g.inputs.end(); });
    if (outputs.empty()) outputs.push_back(b.pointwise(v));
    return b.region(outputs);
  });
}

TEST_CASE("head split and merge around attention fold into its strides") {
  Builder b(1);
  const auto split = [&](ValueId v) { return b.transpose(b.reshape(v, {2, 5, 3, 4}), {0, 2, 1, 3}); };
  const ValueId q = b.input({2, 5, 12}), k = b.input({2, 5, 12}), v = b.input({2, 5, 12});
  const ValueId out = b.add(graph::Attention{0.5, false}, {split(q), split(k), split(v)});
  const std::optional<Kernel> kernel = lower(b.region({b.reshape(b.transpose(out, {0, 2, 1, 3}), {2, 5, 12})}));
  REQUIRE(kernel);
  const auto& a = std::get<AttentionKernel>(*kernel);
  CHECK(a.batch == Shape{2, 3});
  CHECK((a.s == 5 && a.t == 5 && a.d == 4 && a.e == 4));
  const std::vector<std::int64_t> strides = {60, 4, 12, 1};  // batch, head, position, channel of [2, 5, 3 * 4]
  CHECK(a.q.strides == strides);
  CHECK(a.k.strides == strides);
  CHECK(a.v.strides == strides);
  CHECK(a.out.strides == strides);
  CHECK(describe(*kernel) == "attention 2x3 x 5x5x4");
}

TEST_CASE("leading dimensions of a product with a weight become rows") {
  Builder b(1);
  const ValueId x = b.input({2, 5, 12}), w = b.input({12, 7}), bias = b.input({7});
  const ValueId product = b.add(graph::MatMul{false, false}, {x, w});
  graph::Pointwise sum;
  sum.expr.results = {
      sum.expr.apply(graph::ExprOp::add, sum.expr.operand(0, DType::f32), sum.expr.operand(1, DType::f32))};
  Region region = b.region({b.add(std::move(sum), {product, bias})});
  region.weight = {false, true, true};
  const std::optional<Kernel> kernel = lower(region);
  REQUIRE(kernel);
  const auto& k = std::get<MatmulKernel>(*kernel);
  CHECK(k.batch.empty());
  CHECK((k.m == 10 && k.n == 7 && k.k == 12));
  CHECK(k.b_is_weight);
  CHECK(k.a.strides == std::vector<std::int64_t>{12, 1});
  CHECK(k.b.strides == std::vector<std::int64_t>{7, 1});
  REQUIRE(k.reads.size() == 1);
  CHECK(k.reads[0].strides == std::vector<std::int64_t>{0, 1});
  CHECK(k.writes.at(0).strides == std::vector<std::int64_t>{7, 1});
  const Cost cost = cost_of(region);
  CHECK(cost.flops == 2 * 10 * 7 * 12 + 10 * 7);
  CHECK(cost.bytes == 4 * (10 * 12 + 12 * 7 + 7 + 10 * 7));
}

TEST_CASE("what a gather leaves out is not counted as read, under another shape either") {
  graph::Graph g;
  const auto x = g.add_input("x", {graph::DType::f32, {64, 512}});
  const auto places = g.add_input("places", {graph::DType::i64, {64}});
  const auto line = g.add_node(graph::Reshape{{64 * 512}}, {x}, "line")[0];
  g.outputs = g.add_node(graph::Gather{0}, {line, places}, "taken");
  // The indices and the results; of the line one element is certain, since all indices may be the same.
  CHECK(cost_of(cut_region(g, {0, 1}).region).bytes == 8 * 64 + 4 * 64 + 4);
}

TEST_CASE("a region is the same in whatever order its results are asked for") {
  graph::Graph g;
  const auto x = g.add_input("x", {graph::DType::f32, {4, 8}});
  const auto first = g.add_node(graph::Softmax{1, false}, {x}, "first")[0];
  const auto last = g.add_node(graph::Softmax{0, false}, {first}, "last")[0];
  g.outputs = {last, first};
  const RegionCut cut = cut_region(g, {0, 1}, {last, first});
  CHECK(cut.region.key == cut_region(g, {0, 1}, {first, last}).region.key);
  CHECK(cut.instance.outputs == std::vector{first, last});
}

TEST_CASE("what windows leave out is not counted as read, and what they share is not counted twice") {
  graph::Graph g;
  const auto x = g.add_input("x", {graph::DType::f32, {2, 10, 12}});
  // Rows 0, 1, 4, 5, 8, 9; of the columns the even ones: a step of 2 under a dilation of 2.
  g.outputs = g.add_node(
      graph::Window{graph::Monoid::max, {2, 3}, {{4, 2}, {1, 2}, {0, 0}, {0, 0}}, {3, 4}, false, false}, {x}, "test");
  const Cost cost = cost_of(cut_region(g, {0}).region);
  CHECK(cost.bytes == doctest::Approx(4 * (2 * 6 * 6 + 2 * 3 * 4)));
  // Columns first: one maximum for each of 2 x 3 x 6, then two for each of 2 x 3 x 4. The least must not be above it.
  CHECK(cost.flops <= 36 + 48);
}

TEST_CASE("a product sums up the columns of its result, of one value that it computes, and no rows") {
  const auto lowered = [](std::int32_t axis, bool written, bool of_two) {
    Builder b(3);
    const ValueId y = b.pointwise(b.add(graph::MatMul{false, false}, {b.input({6, 4}), b.input({4, 5})}));
    std::vector<ValueId> outputs = {b.add(graph::Reduce{graph::Monoid::mean, {axis}, true}, {y})};
    if (written) outputs.push_back(y);
    if (of_two) outputs.push_back(b.add(graph::Reduce{graph::Monoid::sum, {axis}, false}, {b.pointwise(y)}));
    return b.region(outputs);
  };
  for (const bool written : {false, true}) {
    const Region region = lowered(0, written, false);
    const std::optional<Kernel> kernel = lower(region);
    REQUIRE(kernel);
    REQUIRE(statistics_of(*kernel) != nullptr);
    CHECK(std::get<MatmulKernel>(*kernel).writes.size() == (written ? 1 : 0));
    check_equal(region, *kernel, 3);
  }
  CHECK_FALSE(lower(lowered(1, true, false)));
  CHECK_FALSE(lower(lowered(0, true, true)));
}

TEST_CASE("what no single kernel computes is refused") {
  Builder b(1);
  const ValueId first = b.add(graph::MatMul{false, false}, {b.input({3, 4}), b.input({4, 5})});
  CHECK_FALSE(lower(b.region({b.add(graph::MatMul{false, false}, {first, b.input({5, 6})})})));
  Builder c(1);  // the product's rows are normalised: a second pass over the result
  const ValueId product = c.add(graph::MatMul{false, false}, {c.input({3, 4}), c.input({4, 5})});
  CHECK_FALSE(lower(c.region({c.add(graph::Softmax{1, false}, {product})})));
  Builder t(1);  // one element needs two elements of the product
  const ValueId square = t.add(graph::MatMul{false, false}, {t.input({4, 3}), t.input({3, 4})});
  graph::Pointwise sum;
  sum.expr.results = {
      sum.expr.apply(graph::ExprOp::add, sum.expr.operand(0, DType::f32), sum.expr.operand(1, DType::f32))};
  CHECK_FALSE(lower(t.region({t.add(std::move(sum), {square, t.transpose(square, {1, 0})})})));
  Builder d(1);  // merged heads as the depth of a product have two strides
  const ValueId merged = d.reshape(d.transpose(d.input({3, 5, 4}), {1, 0, 2}), {5, 12});
  CHECK_FALSE(lower(d.region({d.add(graph::MatMul{false, false}, {merged, d.input({12, 7})})})));
}

TEST_CASE("integer constants keep all 64 bits") {
  Builder b(1);
  graph::Tensor t = graph::Tensor::zeros({DType::i64, {}});
  const std::int64_t big = -(std::int64_t{1} << 62) - 1;
  t.as<std::int64_t>()[0] = big;
  const ValueId c = b.g.add_constant("big", std::move(t));
  graph::Pointwise p;
  p.expr.results = {p.expr.apply(graph::ExprOp::add, p.expr.operand(0, DType::i64), p.expr.operand(1, DType::i64))};
  const std::optional<Kernel> kernel = lower(b.region({b.add(std::move(p), {b.input({4}, DType::i64), c})}));
  REQUIRE(kernel);
  const graph::Expr& e = std::get<PointwiseKernel>(*kernel).expr;
  CHECK(std::any_of(e.nodes.begin(), e.nodes.end(),
                    [&](const graph::ExprNode& n) { return n.op == graph::ExprOp::constant && n.integer == big; }));
}
