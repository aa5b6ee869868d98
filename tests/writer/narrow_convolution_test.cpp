// Convolutions and windows of 16-bit floats and of bytes: exact on integers, on every width of vectors.
#include <doctest/doctest.h>

#include <cmath>

#include "tests/writer/against_oracle.h"

using namespace kiln;
using namespace kiln::graph;

namespace {

// Convolution of x [2, groups c, in...] with [.., window...].
struct Case {
  Shape in, window;
  Steps steps;
  std::int64_t groups = 1, c = 3, m = 5;
  bool transposed = false;
};

const Case kPlane{{9, 21}, {3, 3}, {{1, 1}, {1, 1}, {1, 1}, {1, 1}}, 1, 11, 13};
const Case kStrided{{13, 17}, {3, 5}, {{2, 3}, {1, 2}, {1, 4}, {0, 3}}, 1, 8, 9};
const Case kGrouped{{7, 7}, {3, 3}, {{2, 2}, {1, 1}, {1, 1}, {1, 1}}, 4, 9, 10};
const Case kDepthwise{{14, 15}, {5, 5}, {{1, 1}, {1, 1}, {2, 2}, {2, 2}}, 6, 1, 1};
const Case kLine{{40}, {4}, {{2}, {1}, {1}, {2}}, 1, 70, 33};
const Case kBox{{4, 5, 6}, {2, 3, 3}, {{1, 2, 1}, {1, 1, 2}, {1, 0, 2}, {0, 1, 2}}, 1, 8, 17};
const Case kOneTap{{6, 7}, {1, 1}, {{1, 1}, {1, 1}, {0, 0}, {0, 0}}, 1, 70, 65};
const Case kTransposed{{6, 5}, {3, 4}, {{2, 3}, {1, 1}, {1, 2}, {0, 1}}, 2, 9, 8, true};

struct Types {
  DType x, w;
};

Tensor drawn(const TensorType& type, unsigned seed) {
  return is_integer(type.dtype) ? testing::any_integers(type, seed) : testing::small_integers(type, seed);
}

// The sums themselves (i32), or with a bias and relu in float32 where they are floats.
int differences(const Case& k, Types types, const std::string& name, const testing::Setting& setting) {
  Graph g;
  Shape x = {2, k.groups * k.c}, w = k.transposed ? Shape{k.groups * k.c, k.m} : Shape{k.groups * k.m, k.c};
  x.insert(x.end(), k.in.begin(), k.in.end());
  w.insert(w.end(), k.window.begin(), k.window.end());
  const ValueId input = g.add_input("x", {types.x, x});
  const ValueId weight = g.add_constant("w", drawn({types.w, w}, 7));
  const ValueId sum = g.add_node(Convolution{k.steps, k.groups, k.transposed, Shape(k.in.size(), 0)}, {input, weight},
                                 "conv")[0];
  g.outputs = {sum};
  if (is_float(types.x)) {
    Shape channels(k.in.size() + 1, 1);
    channels[0] = k.groups * k.m;
    const ValueId bias = g.add_constant("b", drawn({types.x, channels}, 9));
    Expr e;
    const auto wide = [&](std::int32_t i) { return e.cast(e.operand(i, types.x), DType::f32); };
    e.results = {e.apply(ExprOp::max, e.apply(ExprOp::add, wide(0), wide(1)), e.constant(0, DType::f32))};
    g.outputs = g.add_node(Pointwise{e}, {sum, bias}, "bias and relu");
  }
  return testing::differences(g, {drawn(g.type(input), 3)}, "convolution", name, setting);
}

const testing::Setting kSmallTasks{2, {{"mc", 16}, {"tiles_per_task", 1}}};

}  // namespace

TEST_CASE("direct convolutions of 16-bit floats and of bytes on every width of vectors") {
  for (const std::int64_t isa : testing::vector_widths()) {
    INFO("vectors of " << isa << " bits");
    testing::Setting setting{2, {{"isa", isa}, {"tiles_per_task", 1}}};
    CHECK(differences(kPlane, {DType::bf16, DType::bf16}, "direct", setting) == 0);
    CHECK(differences(kStrided, {DType::u8, DType::i8}, "direct", setting) == 0);
  }
  CHECK(differences(kStrided, {DType::f16, DType::f16}, "direct", kSmallTasks) == 0);
  CHECK(differences(kTransposed, {DType::i8, DType::u8}, "direct", kSmallTasks) == 0);
  CHECK(differences(kDepthwise, {DType::i32, DType::i32}, "direct", kSmallTasks) == 0);
}

TEST_CASE("convolutions of 16-bit floats with channels in vectors") {
  const testing::Setting setting{2, {{"kc", 16}, {"nr", 4}, {"lines_per_task", 1}, {"panels_per_task", 1}}};
  CHECK(differences(kPlane, {DType::bf16, DType::bf16}, "channels", setting) == 0);
  CHECK(differences(kTransposed, {DType::f16, DType::f16}, "channels", {1, {{"nr", 4}, {"kc", 16}}}) == 0);
}

TEST_CASE("convolutions of bytes by VNNI are exact: either sign of x, channels that fill no four, transposed") {
  if (!testing::has_feature("avx512_vnni")) return;
  CHECK(differences(kPlane, {DType::u8, DType::i8}, "avx512_vnni", kSmallTasks) == 0);
  for (const Case& k : {kStrided, kGrouped, kDepthwise, kLine, kBox, kOneTap, kTransposed})
    CHECK(differences(k, {DType::i8, DType::i8}, "avx512_vnni", {2, {{"tiles_per_task", 1}}}) == 0);
}

TEST_CASE("convolutions on the tile unit: of bfloat16, and of bytes of all signs, in every geometry") {
  if (!testing::has_feature("amx_int8")) return;
  const testing::Setting one_pair{2, {{"pairs_per_task", 1}}}, folded{1, {{"fold", 1}}};
  for (const Case& k : {kPlane, kStrided, kGrouped, kBox, kOneTap, kTransposed})
    CHECK(differences(k, {DType::bf16, DType::bf16}, "amx", one_pair) == 0);
  CHECK(differences(kPlane, {DType::u8, DType::i8}, "amx_int8", one_pair) == 0);
  CHECK(differences(kStrided, {DType::i8, DType::i8}, "amx_int8", one_pair) == 0);
  CHECK(differences(kGrouped, {DType::u8, DType::u8}, "amx_int8", one_pair) == 0);
  for (const Case& k : {kLine, kBox, kOneTap, kTransposed})
    CHECK(differences(k, {DType::i8, DType::u8}, "amx_int8", one_pair) == 0);
  Case few = kPlane;
  few.c = 3;
  CHECK(differences(few, {DType::u8, DType::i8}, "amx_int8", folded) == 0);
  CHECK(differences(few, {DType::bf16, DType::bf16}, "amx", folded) == 0);
}

TEST_CASE("tile convolutions of bfloat16 keep every magnitude, denormals and infinities too") {
  if (!testing::has_feature("amx_bf16")) return;
  // Powers of two times small integers: sums stay exact. From 2^50 on, and where anything is infinite, by plain sums.
  struct Scales {
    double x, w;
    bool infinite_x = false, infinite_w = false;
  };
  for (const Scales& by : {Scales{0x1p-130, 1}, Scales{0x1p90, 0x1p-20}, Scales{0x1p-20, 0x1p-125}, Scales{1, 1, true},
                           Scales{1, 1, false, true}, Scales{0x1p60, 0x1p-130, false, true}}) {
    Graph g;
    const ValueId x = g.add_input("x", {DType::bf16, {2, 40, 5, 20}});
    const auto scaled = [](const TensorType& type, unsigned seed, double scale, bool infinite) {
      Tensor out = testing::small_integers(type, seed);
      for (std::int64_t i = 0; i < out.count(); ++i)
        store_double(type.dtype, out.bytes.data(), i, load_double(type.dtype, out.bytes.data(), i) * scale);
      if (infinite) store_double(type.dtype, out.bytes.data(), out.count() / 3, HUGE_VAL);
      return out;
    };
    const ValueId w = g.add_constant("w", scaled({DType::bf16, {33, 40, 3, 3}}, 2, by.w, by.infinite_w));
    const Convolution op{{{1, 1}, {1, 1}, {1, 1}, {1, 1}}, 1, false, {0, 0}};
    const ValueId sum = g.add_node(op, {x, w}, "conv")[0];
    Expr e;
    e.results = {e.cast(e.operand(0, DType::bf16), DType::f32)};
    g.outputs = g.add_node(Pointwise{e}, {sum}, "cast");
    INFO("x " << by.x << ", w " << by.w);
    CHECK(testing::differences(g, {scaled(g.type(x), 1, by.x, by.infinite_x)}, "convolution", "amx",
                               {2, {{"pairs_per_task", 1}}}) == 0);
  }
}

TEST_CASE("windows of 16-bit floats and of bytes: maxima with places, means, sums") {
  const auto check = [](Monoid monoid, DType type, bool positions, double tolerance) {
    Graph g;
    const ValueId x = g.add_input("x", {type, {2, 9, 23}});
    const Window op{monoid, {3, 3}, {{2, 1}, {1, 2}, {1, 1}, {1, 2}}, {5, 22}, false, positions};
    g.outputs = g.add_node(op, {x}, "pool");
    CHECK(testing::differences(g, "window", "plain", {2, {{"rows_per_task", 1}}}, tolerance) == 0);
  };
  constexpr double kOneRounding = 0x1.02p-8;  // of bf16, and a little of float32
  for (const DType type : {DType::bf16, DType::f16}) {
    check(Monoid::max, type, true, 0);
    check(Monoid::min, type, false, 0);
    check(Monoid::sum, type, false, 0);
    check(Monoid::mean, type, false, kOneRounding);
  }
  check(Monoid::max, DType::u8, false, 0);
}
