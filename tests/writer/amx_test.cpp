// Products on the tile unit: exact where float32 is, at most as wrong as float32 where it is not, and right at its
// edges.
#include <doctest/doctest.h>

#include <cmath>
#include <limits>
#include <random>

#include "tests/writer/built_kernel.h"

using namespace kiln;
using graph::DType;

namespace {

struct Product {
  std::int64_t m, n, k;
  bool transposed_b = false;
};

agents::MatmulKernel kernel_of(const Product& c) {
  agents::MatmulKernel k;
  k.m = c.m;
  k.n = c.n;
  k.k = c.k;
  k.a = {0, DType::f32, 0, {c.k, 1}};
  k.b = c.transposed_b ? agents::Access{1, DType::f32, 0, {1, c.k}} : agents::Access{1, DType::f32, 0, {c.n, 1}};
  k.b_is_weight = true;
  k.epilogue.results = {k.epilogue.operand(0, DType::f32)};
  k.writes = {{0, DType::f32, 0, {c.n, 1}}};
  return k;
}

std::vector<float> product(const std::string& name, const Product& c, const testing::Setting& setting,
                           const std::vector<float>& a, const std::vector<float>& b) {
  std::vector<float> out(static_cast<std::size_t>(c.m * c.n) + 16, -7777.0f);
  testing::BuiltKernel built(testing::rendered(testing::template_of("matmul", name), kernel_of(c), setting),
                             setting.threads);
  built.prepare({a.data(), b.data()});
  for (int repeat = 0; repeat < 2; ++repeat) built.run({a.data(), b.data()}, {out.data()});
  for (std::size_t i = static_cast<std::size_t>(c.m * c.n); i < out.size(); ++i) CHECK(out[i] == -7777.0f);
  return out;
}

double exact(const Product& c, const std::vector<float>& a, const std::vector<float>& b, std::int64_t i,
             std::int64_t j) {
  long double sum = 0;
  for (std::int64_t p = 0; p < c.k; ++p)
    sum += static_cast<long double>(a[static_cast<std::size_t>(i * c.k + p)]) *
           static_cast<long double>(b[static_cast<std::size_t>(c.transposed_b ? j * c.k + p : p * c.n + j)]);
  return static_cast<double>(sum);
}

// Of all elements: the error's norm over the result's.
double error_of(const Product& c, const std::vector<float>& a, const std::vector<float>& b,
                const std::vector<float>& got) {
  double error = 0, norm = 0;
  for (std::int64_t i = 0; i < c.m; ++i)
    for (std::int64_t j = 0; j < c.n; ++j) {
      const double want = exact(c, a, b, i, j),
                   difference = static_cast<double>(got[static_cast<std::size_t>(i * c.n + j)]) - want;
      error += difference * difference;
      norm += want * want;
    }
  return std::sqrt(error / norm);
}

std::vector<float> values(std::int64_t count, unsigned seed, float scale = 1, float shift = 0) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal;
  std::vector<float> x(static_cast<std::size_t>(count));
  for (float& v : x) v = (normal(random) + shift) * scale;
  return x;
}

const testing::Setting kSmallBlocks{2, {{"kc", 256}, {"mc", 32}, {"nc", 192}}};

}  // namespace

TEST_CASE("tile products of integers are exact: tails in every dimension, k in several blocks, either order of B") {
  if (!testing::has_feature("amx_bf16")) return;
  for (const Product& c : {Product{45, 67, 515}, Product{1, 1, 1}, Product{33, 40, 31, true}, Product{64, 32, 64},
                           Product{7, 230, 600, true}}) {
    std::vector<float> a = values(c.m * c.k, 1, 100), b = values(c.k * c.n, 2, 100);
    for (float& v : a) v = std::round(v);  // of up to 9 bits, so two parts
    for (float& v : b) v = std::round(v);
    const std::vector<float> got = product("amx", c, kSmallBlocks, a, b);
    int wrong = 0;
    for (std::int64_t i = 0; i < c.m; ++i)
      for (std::int64_t j = 0; j < c.n; ++j)
        wrong += static_cast<double>(got[static_cast<std::size_t>(i * c.n + j)]) != exact(c, a, b, i, j);
    INFO(c.m << " " << c.n << " " << c.k);
    CHECK(wrong == 0);
  }
}

TEST_CASE("tile products err no more than products in float32") {
  if (!testing::has_feature("amx_bf16")) return;
  const Product c{64, 96, 1024};
  for (const float shift : {0.0f, 1.0f}) {  // sums that cancel, and sums that grow
    const std::vector<float> a = values(c.m * c.k, 3, 1, shift), b = values(c.k * c.n, 4, 1, shift);
    const double tiles = error_of(c, a, b, product("amx", c, kSmallBlocks, a, b));
    const double plain = error_of(c, a, b, product("packed", c, {1, {{"kc", 1024}, {"mc", 32}, {"nc", 192}}}, a, b));
    INFO("shift " << shift << ": tiles " << tiles << ", plain " << plain);
    CHECK(tiles < 1.5 * plain);
    CHECK(tiles < 1e-6);
  }
}

TEST_CASE("rows and columns of any magnitude keep their precision") {
  if (!testing::has_feature("amx_bf16")) return;
  const Product c{40, 40, 70};
  std::vector<float> a = values(c.m * c.k, 5), b = values(c.k * c.n, 6);
  for (std::int64_t p = 0; p < c.k; ++p) {
    a[static_cast<std::size_t>(3 * c.k + p)] *= 1e-39f;   // a row of denormals
    a[static_cast<std::size_t>(35 * c.k + p)] *= 1e30f;
    b[static_cast<std::size_t>(p * c.n + 7)] *= 1e-30f;
    b[static_cast<std::size_t>(p * c.n + 8)] *= 1e-42f;   // a column of few bits
  }
  const std::vector<float> got = product("amx", c, kSmallBlocks, a, b);
  for (std::int64_t i = 0; i < c.m; ++i)
    for (std::int64_t j = 0; j < c.n; ++j) {
      double size = 0;
      for (std::int64_t p = 0; p < c.k; ++p)
        size += std::fabs(static_cast<double>(a[static_cast<std::size_t>(i * c.k + p)]) *
                          static_cast<double>(b[static_cast<std::size_t>(p * c.n + j)]));
      const double difference =
          std::fabs(static_cast<double>(got[static_cast<std::size_t>(i * c.n + j)]) - exact(c, a, b, i, j));
      CHECK(difference <= 2e-6 * size + 1.5e-45);  // one step between denormals beside
    }
}

TEST_CASE("infinities and NaN reach exactly the results that they reach in float32") {
  if (!testing::has_feature("amx_bf16")) return;
  const Product c{40, 70, 50};
  std::vector<float> a = values(c.m * c.k, 7), b = values(c.k * c.n, 8);
  a[static_cast<std::size_t>(2 * c.k + 3)] = std::numeric_limits<float>::infinity();
  a[static_cast<std::size_t>(39 * c.k)] = std::numeric_limits<float>::quiet_NaN();
  b[static_cast<std::size_t>(3 * c.n + 5)] = 0.5f;  // has one part only: infinity times the others would be NaN
  b[static_cast<std::size_t>(4 * c.n + 66)] = -std::numeric_limits<float>::infinity();
  const std::vector<float> got = product("amx", c, kSmallBlocks, a, b),
                           want = product("packed", c, {1, {{"kc", 256}, {"mc", 32}, {"nc", 192}}}, a, b);
  int wrong = 0;
  for (std::size_t i = 0; i < static_cast<std::size_t>(c.m * c.n); ++i) {
    const bool same_kind = std::isnan(want[i])   ? std::isnan(got[i])
                           : std::isinf(want[i]) ? got[i] == want[i]
                                                 : std::fabs(got[i] - want[i]) < 1e-4f;
    wrong += !same_kind;
  }
  CHECK(wrong == 0);
}

TEST_CASE("the tile template takes weights only") {
  auto k = kernel_of({64, 64, 64});
  const auto spec = testing::template_of("matmul", "amx");
  CHECK(agents::accepts(spec, k));
  k.b_is_weight = false;
  CHECK_FALSE(agents::accepts(spec, k));
}
