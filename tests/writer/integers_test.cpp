// Integers in the lanes of vectors, and products of them: exact, whatever the values.
#include <doctest/doctest.h>

#include <algorithm>
#include <limits>
#include <random>

#include "tests/writer/against_oracle.h"

using namespace kiln;
using graph::DType;
using graph::ExprOp;
using graph::Tensor;
using graph::ValueId;

namespace {

struct Product {
  graph::Shape a, b;
  DType type_a, type_b;
  bool weight = true, transposed_b = false;
};

int differences(const Product& c, const std::string& name, const testing::Setting& setting) {
  graph::Graph g;
  const ValueId a = g.add_input("a", {c.type_a, c.a});
  std::vector<Tensor> inputs = {testing::any_integers(g.type(a), 1)};
  Tensor right = testing::any_integers({c.type_b, c.b}, 2);
  ValueId b = -1;
  if (c.weight) {
    b = g.add_constant("b", std::move(right));
  } else {
    b = g.add_input("b", right.type);
    inputs.push_back(std::move(right));
  }
  g.outputs = g.add_node(graph::MatMul{false, c.transposed_b}, {a, b}, "matmul");
  return testing::differences(g, inputs, "matmul", name, setting);
}

// As QLinearMatMul does: less a zero point times what the columns add up to, scaled, rounded, moved, cut to u8.
int requantised_differences(const std::string& name, const testing::Setting& setting) {
  graph::Graph g;
  constexpr std::int64_t m = 37, n = 45, k = 130;
  const ValueId a = g.add_input("a", {DType::u8, {m, k}}), shift = g.add_input("shift", {DType::i32, {n}});
  const ValueId b = g.add_constant("b", testing::any_integers({DType::i8, {k, n}}, 4));
  const ValueId sum = g.add_node(graph::MatMul{false, false}, {a, b}, "matmul")[0];
  graph::Expr e;
  const auto centred = e.apply(ExprOp::sub, e.operand(0, DType::i32), e.operand(1, DType::i32));
  // A power of two, so that float32 is exact here and ties are met.
  const auto scaled = e.apply(ExprOp::mul, e.cast(centred, DType::f32), e.constant(0x1p-11, DType::f32));
  const auto moved = e.apply(ExprOp::add, e.apply(ExprOp::round, scaled), e.constant(117, DType::f32));
  e.results = {e.cast(moved, DType::u8)};
  g.outputs = g.add_node(graph::Pointwise{e}, {sum, shift}, "requantise");
  Tensor shifts = Tensor::zeros(g.type(shift));
  std::mt19937 random(9);
  for (std::int32_t& s : shifts.as<std::int32_t>()) s = static_cast<std::int32_t>(random() % 1000000) - 500000;
  return testing::differences(g, {testing::any_integers(g.type(a), 3), shifts}, "matmul", name, setting);
}

const std::map<std::string, std::int64_t> kSmallBlocks = {{"kc", 256}, {"mc", 32}, {"nc", 192}};

}  // namespace

TEST_CASE("products of integers are exact on every width of vectors") {
  for (const std::int64_t isa : testing::vector_widths()) {
    INFO("vectors of " << isa << " bits");
    std::map<std::string, std::int64_t> tunables = kSmallBlocks;
    tunables["isa"] = isa;
    CHECK(differences({{45, 515}, {515, 67}, DType::u8, DType::i8}, "packed", {2, tunables}) == 0);
    CHECK(requantised_differences("packed", {2, tunables}) == 0);
  }
  CHECK(differences({{3, 13, 70}, {3, 67, 70}, DType::i8, DType::u8, false, true}, "packed", {2, kSmallBlocks}) == 0);
  CHECK(differences({{19, 70}, {70, 33}, DType::i32, DType::i32}, "packed", {1, kSmallBlocks}) == 0);
}

TEST_CASE("products of bytes on the tile unit are exact: all signs, tails, k in blocks, either order of B") {
  if (!testing::has_feature("amx_int8")) return;
  const testing::Setting setting{2, kSmallBlocks};
  CHECK(differences({{45, 515}, {515, 67}, DType::u8, DType::i8}, "amx_int8", setting) == 0);
  CHECK(differences({{7, 600}, {230, 600}, DType::i8, DType::i8, true, true}, "amx_int8", setting) == 0);
  CHECK(differences({{3, 33, 61}, {3, 61, 40}, DType::u8, DType::u8, false}, "amx_int8", setting) == 0);
  CHECK(differences({{1, 1}, {1, 1}, DType::i8, DType::u8}, "amx_int8", setting) == 0);
  CHECK(requantised_differences("amx_int8", setting) == 0);
}

TEST_CASE("products of bytes by VNNI are exact: either sign of A, tails, either order of B") {
  if (!testing::has_feature("avx512_vnni")) return;
  const testing::Setting setting{2, {{"mc", 32}, {"nc", 192}}};
  CHECK(differences({{45, 515}, {515, 67}, DType::u8, DType::i8}, "avx512_vnni", setting) == 0);
  CHECK(differences({{3, 13, 70}, {3, 230, 70}, DType::i8, DType::i8, false, true}, "avx512_vnni", setting) == 0);
  CHECK(differences({{1, 1}, {1, 1}, DType::i8, DType::i8}, "avx512_vnni", setting) == 0);
  CHECK(requantised_differences("avx512_vnni", setting) == 0);
}

TEST_CASE("quantised numbers in lanes: saturation, ties, NaN, wrapping, and integers that choose") {
  for (const std::int64_t isa : testing::vector_widths()) {
    INFO("vectors of " << isa << " bits");
    graph::Graph g;
    const ValueId x = g.add_input("x", {DType::f32, {5, 53}}), n = g.add_input("n", {DType::i32, {5, 53}}),
                  u = g.add_input("u", {DType::u8, {53}});
    graph::Expr e;
    const auto real = e.operand(0, DType::f32), whole = e.operand(1, DType::i32), byte = e.operand(2, DType::u8);
    const auto quotient = e.apply(ExprOp::round, e.apply(ExprOp::div, real, e.constant(0.25, DType::f32)));
    const auto wide = e.cast(byte, DType::i32);
    const auto centred = e.apply(ExprOp::sub, wide, e.integer(-2147483647 - 1, DType::i32));
    const auto product = e.apply(ExprOp::mul, whole, wide);
    const auto least = e.apply(ExprOp::min, product, whole);
    e.results = {e.cast(quotient, DType::i8),
                 e.cast(quotient, DType::u8),
                 e.cast(quotient, DType::i32),
                 e.cast(product, DType::i8),
                 e.cast(e.apply(ExprOp::max, least, centred), DType::u8),
                 e.apply(ExprOp::select, e.apply(ExprOp::less, whole, wide), wide, whole),
                 e.apply(ExprOp::mul, e.cast(wide, DType::f32), real)};
    g.outputs = g.add_node(graph::Pointwise{e}, {x, n, u}, "quantise");
    std::vector<Tensor> inputs = {Tensor::zeros(g.type(x)), testing::any_integers(g.type(n), 5),
                                  testing::any_integers(g.type(u), 6)};
    std::mt19937 random(7);
    for (float& value : inputs[0].as<float>()) value = static_cast<float>(static_cast<int>(random() % 1024) - 512) / 8;
    const float ends[] = {std::numeric_limits<float>::quiet_NaN(),
                          std::numeric_limits<float>::infinity(),
                          -3e38f,
                          536870912.0f,
                          536870848.0f,
                          -536870912.0f,
                          -536870976.0f,
                          3e9f};  // 2^31 / 4 and beside it
    std::copy(std::begin(ends), std::end(ends), inputs[0].as<float>().begin() + 3);
    for (std::size_t i = 3; i < 3 + std::size(ends); ++i) inputs[2].as<std::uint8_t>()[i] = 1;
    CHECK(testing::differences(g, inputs, "pointwise", "fused", {1, {{"isa", isa}}}) == 0);
  }
}
