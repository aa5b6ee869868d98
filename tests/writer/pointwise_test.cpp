// Pointwise kernels, copies, gathers and concatenations against plain loops.
#include <doctest/doctest.h>

#include <cmath>
#include <numeric>

#include "runtime/base/error.h"
#include "tests/writer/built_kernel.h"

using namespace kiln;
using graph::DType;
using graph::ExprOp;

namespace {

std::vector<float> ramp(std::size_t count) {
  std::vector<float> x(count);
  std::iota(x.begin(), x.end(), -17.0f);
  return x;
}

agents::PointwiseKernel permuted(std::int64_t planes, std::int64_t down, std::int64_t across) {
  agents::PointwiseKernel k;  // out[p, d, a] = in[p, a, d]
  k.space = {planes, down, across};
  k.reads = {{0, DType::f32, 0, {down * across, 1, down}}};
  k.expr.results = {k.expr.operand(0, DType::f32)};
  k.writes = {{0, DType::f32, 0, {down * across, across, 1}}};
  return k;
}

void check_permuted(const std::string& name, const testing::Setting& setting) {
  const std::int64_t planes = 3, down = 37, across = 50;
  const auto x = ramp(static_cast<std::size_t>(planes * down * across));
  std::vector<float> y(x.size() + 1, -1e9f);
  testing::BuiltKernel built(
      testing::rendered(testing::template_of("pointwise", name), permuted(planes, down, across), setting),
      setting.threads);
  built.run({x.data()}, {y.data()});
  int wrong = 0;
  for (std::int64_t p = 0; p < planes; ++p)
    for (std::int64_t d = 0; d < down; ++d)
      for (std::int64_t a = 0; a < across; ++a)
        wrong += y[static_cast<std::size_t>((p * down + d) * across + a)] !=
                 x[static_cast<std::size_t>((p * across + a) * down + d)];
  CHECK(wrong == 0);
  CHECK(y.back() == -1e9f);
}

}  // namespace

TEST_CASE("broadcast, offset, reversed and strided operands with a mask; two results, one of them boolean") {
  // space [5, 21]: y0 = mask[j] ? a[i, j] * s[i] : b[20 - j]; y1 = a < b
  agents::PointwiseKernel k;
  k.space = {5, 21};
  k.reads = {{0, DType::f32, 3, {50, 2}},
             {1, DType::f32, 0, {1, 0}},
             {2, DType::f32, 20, {0, -1}},
             {3, DType::boolean, 0, {0, 1}}};
  auto& e = k.expr;
  const auto a = e.operand(0, DType::f32), s = e.operand(1, DType::f32), b = e.operand(2, DType::f32),
             mask = e.operand(3, DType::boolean);
  e.results = {e.apply(ExprOp::select, mask, e.apply(ExprOp::mul, a, s), b), e.apply(ExprOp::less, a, b)};
  k.writes = {{0, DType::f32, 0, {21, 1}}, {1, DType::boolean, 0, {21, 1}}};
  const auto x = ramp(300), scale = ramp(5), other = ramp(21);
  std::vector<std::uint8_t> on(21);
  for (std::size_t j = 0; j < on.size(); ++j) on[j] = j % 3 == 0;
  std::vector<float> y0(5 * 21);
  std::vector<std::uint8_t> y1(5 * 21);
  testing::BuiltKernel built(
      testing::rendered(testing::template_of("pointwise", "fused"), k, {2, {{"elements_per_task", 2048}}}), 2);
  built.run({x.data(), scale.data(), other.data(), on.data()}, {y0.data(), y1.data()});
  for (std::size_t i = 0; i < 5; ++i)
    for (std::size_t j = 0; j < 21; ++j) {
      const float left = x[3 + i * 50 + j * 2], right = other[20 - j];
      CHECK(y0[i * 21 + j] == (on[j] ? left * scale[i] : right));
      CHECK(y1[i * 21 + j] == (left < right));
    }
}

TEST_CASE("integers, conversions and double precision take the scalar path") {
  // y0 = i64 -> f32 of (a mod 7); y1 = a / b (toward zero, no trap on zero); y2 = sqrt in f64; y3 = saturating cast
  agents::PointwiseKernel k;
  k.space = {40};
  k.reads = {{0, DType::i64, 0, {1}}, {1, DType::i64, 0, {1}}, {2, DType::f64, 0, {1}}};
  auto& e = k.expr;
  const auto a = e.operand(0, DType::i64), b = e.operand(1, DType::i64), d = e.operand(2, DType::f64);
  e.results = {e.cast(e.apply(ExprOp::mod, a, e.integer(7, DType::i64)), DType::f32), e.apply(ExprOp::div, a, b),
               e.apply(ExprOp::sqrt, d), e.cast(e.apply(ExprOp::mul, d, e.constant(1e9, DType::f64)), DType::i32)};
  k.writes = {{0, DType::f32, 0, {1}}, {1, DType::i64, 0, {1}}, {2, DType::f64, 0, {1}}, {3, DType::i32, 0, {1}}};
  std::vector<std::int64_t> x(40), y(40);
  std::vector<double> z(40);
  for (int i = 0; i < 40; ++i) {
    x[static_cast<std::size_t>(i)] = i - 20;
    y[static_cast<std::size_t>(i)] = i % 5 - 2;
    z[static_cast<std::size_t>(i)] = i * 0.25;
  }
  std::vector<float> r0(40);
  std::vector<std::int64_t> r1(40);
  std::vector<double> r2(40);
  std::vector<std::int32_t> r3(40);
  testing::BuiltKernel built(
      testing::rendered(testing::template_of("pointwise", "fused"), k, {1, {{"elements_per_task", 2048}}}), 1);
  built.run({x.data(), y.data(), z.data()}, {r0.data(), r1.data(), r2.data(), r3.data()});
  for (std::size_t i = 0; i < 40; ++i) {
    CHECK(r0[i] == static_cast<float>(((x[i] % 7) + 7) % 7));
    if (y[i] != 0) CHECK(r1[i] == x[i] / y[i]);
    CHECK(r2[i] == std::sqrt(z[i]));
    CHECK(r3[i] == (z[i] * 1e9 >= 2147483647.0 ? 2147483647 : static_cast<std::int32_t>(z[i] * 1e9)));
  }
}

TEST_CASE("a permuted copy is the same through blocks, through strides and through oneDNN") {
  check_permuted("transpose", {2, {{"tile", 16}, {"tiles_per_task", 8}}});
  check_permuted("fused", {2, {{"elements_per_task", 2048}}});
  check_permuted("onednn", {1, {}});
}

TEST_CASE("one long row is cut into columns") {
  agents::PointwiseKernel k;
  k.space = {100003};
  k.reads = {{0, DType::f32, 0, {1}}};
  k.expr.results = {k.expr.apply(ExprOp::abs, k.expr.operand(0, DType::f32))};
  k.writes = {{0, DType::f32, 0, {1}}};
  const auto x = ramp(100003);
  std::vector<float> y(x.size() + 1, -5.0f);
  testing::BuiltKernel built(
      testing::rendered(testing::template_of("pointwise", "fused"), k, {2, {{"elements_per_task", 8192}}}), 2);
  built.run({x.data()}, {y.data()});
  int wrong = 0;
  for (std::size_t i = 0; i < x.size(); ++i) wrong += y[i] != std::fabs(x[i]);
  CHECK(wrong == 0);
  CHECK(y.back() == -5.0f);
}

TEST_CASE("gathered rows: negative indices, an epilogue with a second operand") {
  // data [2, 11, 19], indices [6]; out = data[o, idx, :] + position[idx position, :]
  agents::GatherKernel k;
  k.outer = 2;
  k.axis = 11;
  k.inner = 19;
  k.index_count = 6;
  k.data = {0, DType::f32, 0, {11 * 19, 19, 1}};
  k.indices = {1, DType::i64, 0, {1}};
  k.reads = {{2, DType::f32, 0, {0, 19, 1}}};
  auto& e = k.epilogue;
  e.results = {e.apply(ExprOp::add, e.operand(0, DType::f32), e.operand(1, DType::f32))};
  k.writes = {{0, DType::f32, 0, {6 * 19, 19, 1}}};
  const auto data = ramp(2 * 11 * 19), position = ramp(6 * 19);
  const std::vector<std::int64_t> indices = {0, 10, -1, 5, 5, -11};
  std::vector<float> y(2 * 6 * 19);
  testing::BuiltKernel built(testing::rendered(testing::template_of("gather", "rows"), k, {2, {{"rows_per_task", 4}}}),
                             2);
  built.run({data.data(), indices.data(), position.data()}, {y.data()});
  for (std::size_t o = 0; o < 2; ++o)
    for (std::size_t i = 0; i < 6; ++i)
      for (std::size_t j = 0; j < 19; ++j) {
        const auto row = static_cast<std::size_t>(indices[i] < 0 ? indices[i] + 11 : indices[i]);
        CHECK(y[(o * 6 + i) * 19 + j] == data[(o * 11 + row) * 19 + j] + position[i * 19 + j]);
      }
}

TEST_CASE("concatenation along the last and along a middle dimension") {
  for (const std::int32_t axis : {1, 2}) {
    agents::ConcatKernel k;
    k.space = axis == 2 ? graph::Shape{2, 3, 12} : graph::Shape{2, 7, 4};
    k.axis = axis;
    const std::int64_t first = axis == 2 ? 5 : 3, second = axis == 2 ? 7 : 4;
    const std::int64_t inner = axis == 2 ? 1 : 4, rows = axis == 2 ? 3 : 1;
    const auto source = [&](std::int32_t buffer, std::int64_t begin, std::int64_t extent) {
      const std::int64_t stride = axis == 2 ? extent : 4;
      return agents::ConcatKernel::Source{
          {buffer, DType::i64, 0, {axis == 2 ? 3 * extent : extent * 4, stride, 1}}, begin, extent};
    };
    k.sources = {source(0, 0, first), source(1, first, second)};
    k.write = {0, DType::i64, 0, graph::row_major_strides(k.space)};
    std::vector<std::int64_t> a(static_cast<std::size_t>(2 * rows * first * inner)),
        b(static_cast<std::size_t>(2 * rows * second * inner));
    std::iota(a.begin(), a.end(), 1000);
    std::iota(b.begin(), b.end(), 5000);
    std::vector<std::int64_t> y(a.size() + b.size());
    testing::BuiltKernel built(testing::rendered(testing::template_of("concat", "copy"), k, {2, {}}), 2);
    built.run({a.data(), b.data()}, {y.data()});
    // Block by block, as concatenation is defined.
    std::vector<std::int64_t> want;
    for (std::int64_t o = 0; o < 2 * rows; ++o) {
      want.insert(want.end(), a.begin() + o * first * inner, a.begin() + (o + 1) * first * inner);
      want.insert(want.end(), b.begin() + o * second * inner, b.begin() + (o + 1) * second * inner);
    }
    CHECK(y == want);
  }
}

TEST_CASE("rendering is deterministic, and refuses what breaks a constraint") {
  const auto spec = testing::template_of("pointwise", "transpose");
  const auto k = permuted(2, 8, 8);
  CHECK(testing::rendered(spec, k, {1, {}}).source == testing::rendered(spec, k, {1, {}}).source);
  CHECK_THROWS_AS((void)testing::rendered(spec, k, {1, {{"tile", 7}}}), Error);      // not a value
  CHECK_THROWS_AS((void)testing::rendered(spec, k, {1, {{"tyle", 16}}}), Error);     // not a tunable
  CHECK_THROWS_AS((void)testing::rendered(testing::template_of("matmul", "packed"), k, {1, {}}),
                  Error);  // another family
  const auto gemm = testing::template_of("pointwise", "fused");
  CHECK_THROWS_AS((void)testing::rendered(gemm, k, {1, {{"elements_per_task", 131072}}}),
                  Error);  // breaks a constraint
}
