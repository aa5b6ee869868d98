// Convolutions, pooling and padding against the oracle; small integers, so that sums are exact in every order.
#include <doctest/doctest.h>


#include "tests/graph/build.h"
#include "tests/writer/against_oracle.h"

using namespace kiln;
using namespace kiln::graph;
using graph::test::apply;

namespace {

// Convolution of x [2, groups c, in...] with [.., window...], then relu(y + bias).
struct Case {
  Shape in, window;
  Steps steps;
  std::int64_t groups = 1, c = 3, m = 5, n = 2;
  bool transposed = false;
  Shape extra{};
};

Graph convolution(const Case& k, bool epilogue = true) {
  Graph g;
  Shape x = {k.n, k.groups * k.c}, w = k.transposed ? Shape{k.groups * k.c, k.m} : Shape{k.groups * k.m, k.c};
  x.insert(x.end(), k.in.begin(), k.in.end());
  w.insert(w.end(), k.window.begin(), k.window.end());
  const ValueId input = g.add_input("x", {DType::f32, x});
  const ValueId weight = g.add_constant("w", testing::small_integers({DType::f32, w}, 7));
  const Shape extra = k.extra.empty() ? Shape(k.in.size(), 0) : k.extra;
  ValueId y = g.add_node(Convolution{k.steps, k.groups, k.transposed, extra}, {input, weight}, "conv")[0];
  if (epilogue) {
    Shape bias(k.in.size() + 1, 1);
    bias[0] = k.groups * k.m;
    y = apply(g, ExprOp::add, y, g.add_constant("b", testing::small_integers({DType::f32, bias}, 9)));
    y = apply(g, ExprOp::max, y, test::scalar(g, 0));
  }
  g.outputs = {y};
  return g;
}

const Case k1d{{19}, {4}, {{2}, {1}, {1}, {2}}};
const Case k2d{{9, 21}, {3, 3}, {{1, 1}, {1, 1}, {1, 1}, {1, 1}}};
const Case kStrided{{13, 17}, {3, 5}, {{2, 3}, {1, 2}, {1, 4}, {0, 3}}};
const Case kGrouped{{7, 7}, {3, 3}, {{2, 2}, {1, 1}, {1, 1}, {1, 1}}, 4, 2, 3};
const Case kDepthwise{{14, 15}, {5, 5}, {{1, 1}, {1, 1}, {2, 2}, {2, 2}}, 6, 1, 1};
const Case k3d{{4, 5, 6}, {2, 3, 3}, {{1, 2, 1}, {1, 1, 2}, {1, 0, 2}, {0, 1, 2}}, 1, 2, 3};
const Case kPointwise{{6, 7}, {1, 1}, {{1, 1}, {1, 1}, {0, 0}, {0, 0}}, 1, 8, 17};
const Case kTransposed{{6, 5}, {3, 4}, {{2, 3}, {1, 1}, {1, 2}, {0, 1}}, 2, 3, 4, 2, true, {1, 0}};
const Case kTransposedDilated{{5}, {3}, {{3}, {2}, {0}, {1}}, 1, 4, 3, 1, true, {2}};

}  // namespace

TEST_CASE("direct convolution: ranks, strides, dilations, groups, depthwise, one tap") {
  for (const Case& k : {k1d, k2d, kStrided, kGrouped, kDepthwise, k3d, kPointwise})
    CHECK(testing::differences(convolution(k), "convolution", "direct", {2, {{"mc", 16}, {"tiles_per_task", 1}}}) == 0);
}

TEST_CASE("direct convolution, transposed: output padding, cut edges, groups, dilation") {
  for (const Case& k : {kTransposed, kTransposedDilated})
    CHECK(testing::differences(convolution(k, false), "convolution", "direct", {1, {{"nv", 1}}}) == 0);
}

TEST_CASE("convolution with channels in vectors: ranks, strides, dilations, groups, one tap, transposed") {
  for (const Case& k : {k1d, k2d, kStrided, kGrouped, kDepthwise, k3d, kPointwise})
    CHECK(testing::differences(convolution(k), "convolution", "channels",
                               {2, {{"kc", 16}, {"nr", 4}, {"lines_per_task", 1}, {"panels_per_task", 1}}}) == 0);
  for (const Case& k : {kTransposed, kTransposedDilated})
    CHECK(testing::differences(convolution(k, false), "convolution", "channels", {1, {{"nr", 4}, {"kc", 16}}}) == 0);
}

TEST_CASE("convolution with channels in vectors: more channels than a block, of x and of the result") {
  Case many = k2d;
  many.n = 1;
  many.c = 37;
  many.m = 71;
  CHECK(testing::differences(convolution(many), "convolution", "channels",
                             {4, {{"kc", 16}, {"lines_per_task", 4}}}) == 0);
  CHECK(testing::differences(convolution(many), "convolution", "channels",
                             {2, {{"isa", 128}, {"mv", 2}, {"nr", 4}}}) == 0);
}

TEST_CASE("convolution on the tile unit: ranks, strides, dilations, groups, taps as channels, transposed") {
  if (!testing::has_feature("amx_bf16")) {
    MESSAGE("this machine has no tile unit");
    return;
  }
  // Channels enough for the template, around a whole number of tiles.
  const auto wide = [](Case k, std::int64_t c, std::int64_t m) {
    k.c = c;
    k.m = m;
    return k;
  };
  for (const Case& k : {wide(k1d, 8, 40), wide(k2d, 33, 31), wide(kStrided, 32, 8), wide(kGrouped, 9, 10),
                        wide(k3d, 8, 17), wide(kPointwise, 70, 65)})
    CHECK(testing::differences(convolution(k), "convolution", "amx", {2, {{"pairs_per_task", 1}}}) == 0);
  for (const Case& k : {wide(k1d, 3, 40), wide(k2d, 3, 31), wide(kStrided, 2, 8), wide(k3d, 3, 17)})
    CHECK(testing::differences(convolution(k, false), "convolution", "amx", {1, {{"fold", 1}}}) == 0);
  for (const Case& k : {wide(kTransposed, 8, 9), wide(kTransposedDilated, 40, 33)})
    CHECK(testing::differences(convolution(k, false), "convolution", "amx", {1, {{"panels_per_task", 1}}}) == 0);
}

TEST_CASE("direct convolution on narrow vectors, and of an image whose channels come last") {
  CHECK(testing::differences(convolution(kStrided), "convolution", "direct",
                             {2, {{"isa", 128}, {"mr", 2}, {"nv", 2}}}) == 0);
  Graph g;
  const ValueId x = g.add_input("x", {DType::f32, {1, 8, 9, 4}});
  const ValueId first = g.add_node(Transpose{{0, 3, 1, 2}}, {x}, "to channels first")[0];
  const ValueId w = g.add_constant("w", testing::small_integers({DType::f32, {6, 4, 3, 3}}, 3));
  const ValueId y =
      g.add_node(Convolution{{{1, 1}, {1, 1}, {1, 1}, {1, 1}}, 1, false, {0, 0}}, {first, w}, "conv")[0];
  g.outputs = g.add_node(Transpose{{0, 2, 3, 1}}, {y}, "to channels last");
  CHECK(testing::differences(g, "convolution", "direct") == 0);
}

TEST_CASE("oneDNN convolutions, with bias and relu as its own") {
  for (const Case& k : {k1d, kStrided, kGrouped})
    CHECK(testing::differences(convolution(k), "convolution", "onednn", {2, {}}) == 0);
  CHECK(testing::differences(convolution(kTransposedDilated, false), "convolution", "onednn", {2, {}}) == 0);
  Case one = k2d;  // a single image: channels are shared out
  one.n = 1;
  one.m = 40;
  CHECK(testing::differences(convolution(one), "convolution", "onednn", {2, {}}) == 0);
}

namespace {

Graph window(Monoid monoid, Shape in, Shape kernel, Steps steps, Shape extents, bool counts, bool positions,
             DType type = DType::f32) {
  Graph g;
  const ValueId x = g.add_input("x", {type, std::move(in)});
  const Window op{monoid, std::move(kernel), std::move(steps), std::move(extents), counts, positions};
  g.outputs = g.add_node(op, {x}, "pool");
  return g;
}

}  // namespace

TEST_CASE("windows: maxima with places, means that count padding or not, dilation, ceiling, one to three dimensions") {
  const Steps two{{2, 2}, {1, 2}, {1, 1}, {1, 2}};
  const auto check = [](const Graph& g, double tolerance = 0) {
    CHECK(testing::differences(g, "window", "plain", {2, {{"rows_per_task", 1}}}, tolerance) == 0);
  };
  check(window(Monoid::max, {2, 3, 9, 11}, {3, 3}, two, {5, 5}, false, true));
  check(window(Monoid::max, {3, 9, 11}, {2, 3}, two, {5, 5}, false, false, DType::i8));
  check(window(Monoid::mean, {2, 9, 11}, {3, 3}, two, {5, 5}, false, false), 1e-6);
  check(window(Monoid::mean, {2, 9, 11}, {3, 3}, two, {5, 5}, true, false), 1e-6);
  check(window(Monoid::sum, {4, 17}, {4}, {{1}, {1}, {0}, {0}}, {14}, false, false));
  check(window(Monoid::min, {2, 4, 5, 6}, {2, 2, 2}, {{1, 2, 1}, {1, 1, 1}, {0, 0, 1}, {0, 1, 0}}, {3, 3, 6}, false,
               false));
}

TEST_CASE("padding of any type, before and after") {
  for (const DType type : {DType::f32, DType::i64, DType::u8}) {
    Graph g;
    const ValueId x = g.add_input("x", {type, {3, 4, 5}});
    const ValueId value = g.add_constant("v", testing::small_integers({type, {}}, 5));
    g.outputs = g.add_node(Pad{{1, 0, 2}, {0, 3, 1}}, {x, value}, "pad");
    CHECK(testing::differences(g, "pad", "copy", {2, {{"rows_per_task", 1}}}) == 0);
  }
}
