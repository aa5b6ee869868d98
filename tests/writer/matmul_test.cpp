// Matrix products against plain loops in double precision; small integers, so that every sum is exact.
#include <doctest/doctest.h>

#include <cmath>

#include "tests/writer/built_kernel.h"

using namespace kiln;
using graph::DType;
using graph::ExprOp;

namespace {

struct Case {
  std::int64_t batch, m, n, k;
  bool weight, transposed_b;
};

std::vector<float> integers(std::int64_t count, int seed) {
  std::vector<float> x(static_cast<std::size_t>(count));
  std::uint32_t state = static_cast<std::uint32_t>(seed) * 2654435761u + 1;
  for (float& v : x) {
    state = state * 1664525u + 1013904223u;
    v = static_cast<float>(static_cast<int>(state >> 28) - 8);
  }
  return x;
}

// relu(a b + bias[n]) + residual[m, n]; a weight is shared by the batch.
agents::MatmulKernel kernel_of(const Case& c) {
  agents::MatmulKernel k;
  k.batch = {c.batch};
  k.m = c.m;
  k.n = c.n;
  k.k = c.k;
  k.a = {0, DType::f32, 0, {c.m * c.k, c.k, 1}};
  const std::int64_t of_batch = c.weight ? 0 : c.k * c.n;
  k.b = c.transposed_b ? agents::Access{1, DType::f32, 0, {of_batch, 1, c.k}}
                       : agents::Access{1, DType::f32, 0, {of_batch, c.n, 1}};
  k.b_is_weight = c.weight;
  k.reads = {{2, DType::f32, 0, {0, 0, 1}}, {3, DType::f32, 0, {c.m * c.n, c.n, 1}}};
  auto& e = k.epilogue;
  const auto sum = e.apply(ExprOp::add, e.operand(0, DType::f32), e.operand(1, DType::f32));
  e.results = {e.apply(ExprOp::add, e.apply(ExprOp::max, sum, e.constant(0, DType::f32)), e.operand(2, DType::f32))};
  k.writes = {{0, DType::f32, 0, {c.m * c.n, c.n, 1}}};
  return k;
}

int differences(const std::string& name, const Case& c, const testing::Setting& setting) {
  const auto k = kernel_of(c);
  const auto a = integers(c.batch * c.m * c.k, 1), b = integers((c.weight ? 1 : c.batch) * c.k * c.n, 2),
             bias = integers(c.n, 3), residual = integers(c.batch * c.m * c.n, 4);
  std::vector<float> got(static_cast<std::size_t>(c.batch * c.m * c.n) + 16, -7777.0f);
  testing::BuiltKernel built(testing::rendered(testing::template_of("matmul", name), k, setting), setting.threads);
  const std::vector<const void*> inputs = {a.data(), b.data(), bias.data(), residual.data()};
  built.prepare(inputs);
  for (int repeat = 0; repeat < 2; ++repeat) built.run(inputs, {got.data()});
  int wrong = 0;
  for (std::int64_t g = 0; g < c.batch; ++g)
    for (std::int64_t i = 0; i < c.m; ++i)
      for (std::int64_t j = 0; j < c.n; ++j) {
        double sum = 0;
        for (std::int64_t p = 0; p < c.k; ++p)
          sum += double(a[static_cast<std::size_t>((g * c.m + i) * c.k + p)]) *
                 double(b[static_cast<std::size_t>((c.weight ? 0 : g * c.k * c.n) +
                                                   (c.transposed_b ? j * c.k + p : p * c.n + j))]);
        const auto at = static_cast<std::size_t>((g * c.m + i) * c.n + j);
        const double want = std::fmax(sum + bias[static_cast<std::size_t>(j)], 0) + residual[at];
        wrong += got[at] != static_cast<float>(want);
      }
  for (std::size_t i = static_cast<std::size_t>(c.batch * c.m * c.n); i < got.size(); ++i) wrong += got[i] != -7777.0f;
  return wrong;
}

}  // namespace

TEST_CASE("packed products are exact on integers, tails in every dimension, k in several blocks") {
  // n = 67: a panel and a tail with a partial vector; m = 45: two tile heights; k = 515: two blocks of 256 and one
  // less.
  CHECK(differences("packed", {1, 45, 67, 515, true, false}, {2, {{"kc", 256}, {"mc", 32}, {"nc", 192}}}) == 0);
  CHECK(differences("packed", {1, 130, 200, 1030, true, true},
                    {1, {{"kc", 256}, {"mc", 32}, {"nc", 192}, {"pack_a", 1}}}) == 0);
  CHECK(differences("packed", {3, 7, 33, 20, false, true}, {2, {{"kc", 256}, {"mc", 32}, {"nc", 192}}}) == 0);
  CHECK(differences("packed", {2, 1, 1, 1, true, false}, {2, {{"kc", 256}, {"mc", 32}, {"nc", 192}}}) == 0);
}

TEST_CASE("packed products on narrower vectors") {
  const std::map<std::string, std::int64_t> base = {{"kc", 256}, {"mc", 32}, {"nc", 192}, {"mr", 6}, {"nv", 2}};
  auto tunables = base;
  tunables["isa"] = 128;
  CHECK(differences("packed", {1, 45, 67, 515, true, false}, {2, tunables}) == 0);
  tunables["isa"] = 256;
  if (testing::this_node().features.size() >= 2)
    CHECK(differences("packed", {1, 45, 67, 515, true, false}, {2, tunables}) == 0);
}

TEST_CASE("direct products read B in place") {
  CHECK(differences("direct", {3, 45, 67, 129, false, false}, {2, {{"mc", 32}}}) == 0);
}

TEST_CASE("oneDNN products with bias, relu and residual as its own post-operations") {
  CHECK(differences("onednn", {1, 45, 67, 129, true, false}, {2, {}}) == 0);  // tasks of rows
  CHECK(differences("onednn", {1, 9, 67, 129, true, false}, {2, {}}) == 0);   // of columns: too few rows
}

TEST_CASE("a direct product refuses weights and a B whose columns are not contiguous") {
  CHECK_FALSE(agents::accepts(testing::template_of("matmul", "direct"), kernel_of({1, 4, 4, 4, true, false})));
  CHECK_FALSE(agents::accepts(testing::template_of("matmul", "direct"), kernel_of({1, 4, 4, 4, false, true})));
}
