// Row kernels and attention against plain loops in double precision.
#include <doctest/doctest.h>

#include <cmath>

#include "tests/writer/built_kernel.h"

using namespace kiln;
using graph::DType;
using graph::ExprOp;

namespace {

std::vector<float> noise(std::int64_t count, std::uint32_t seed) {
  std::vector<float> x(static_cast<std::size_t>(count));
  std::uint32_t state = seed;
  for (float& v : x) {
    state = state * 1664525u + 1013904223u;
    v = static_cast<float>(static_cast<double>(state) / 4294967296.0 * 6 - 3);
  }
  return x;
}

double at(const std::vector<float>& x, std::int64_t i) { return static_cast<double>(x[static_cast<std::size_t>(i)]); }

agents::RowKernel softmax_kernel(std::int64_t rows, std::int64_t length, bool log) {
  agents::RowKernel k;
  k.outer = {rows};
  k.length = length;
  k.reads = {{0, DType::f32, 0, {length, 1}}};
  auto& e = k.expr;
  const auto x = e.operand(0, DType::f32), centred = e.apply(ExprOp::sub, x, e.apply(ExprOp::row_max, x));
  const auto weight = e.apply(ExprOp::exp, centred), total = e.apply(ExprOp::row_sum, weight);
  e.results = {log ? e.apply(ExprOp::sub, centred, e.apply(ExprOp::log, total)) : e.apply(ExprOp::div, weight, total)};
  k.writes = {{0, DType::f32, 0, {length, 1}}};
  k.write_per_row = {false};
  return k;
}

void check_softmax(const std::string& name, const testing::Setting& setting, bool log, std::int64_t rows,
                   std::int64_t length) {
  const auto x = noise(rows * length, 7);
  std::vector<float> y(x.size() + 1, -9.0f);
  testing::BuiltKernel built(
      testing::rendered(testing::template_of("row", name), softmax_kernel(rows, length, log), setting),
      setting.threads);
  built.run({x.data()}, {y.data()});
  double worst = 0;
  for (std::int64_t r = 0; r < rows; ++r) {
    double total = 0;
    for (std::int64_t j = 0; j < length; ++j) total += std::exp(at(x, r * length + j));
    for (std::int64_t j = 0; j < length; ++j) {
      const double want = log ? at(x, r * length + j) - std::log(total) : std::exp(at(x, r * length + j)) / total;
      worst = std::fmax(worst, std::fabs(at(y, r * length + j) - want) / std::fabs(want));
    }
  }
  INFO(name << " length " << length);
  // A logarithm near 0 is the difference of two numbers near 4: some of their last places.
  CHECK(worst < (log ? 4e-6 : 1e-6));
  CHECK(y.back() == -9.0f);
}

// y = (v - mean) / sqrt(variance + eps) * scale + shift with v = x + residual; also writes the mean per row.
agents::RowKernel layer_norm_kernel(std::int64_t rows, std::int64_t length, bool residual) {
  agents::RowKernel k;
  k.outer = {rows};
  k.length = length;
  k.reads = {{0, DType::f32, 0, {length, 1}}, {1, DType::f32, 0, {0, 1}}, {2, DType::f32, 0, {0, 1}}};
  auto& e = k.expr;
  auto v = e.operand(0, DType::f32);
  if (residual) {
    k.reads.push_back({3, DType::f32, 0, {length, 1}});
    v = e.apply(ExprOp::add, v, e.operand(3, DType::f32));
  }
  const auto n = e.constant(1.0 / static_cast<double>(length), DType::f32);
  const auto mean = e.apply(ExprOp::mul, e.apply(ExprOp::row_sum, v), n);
  const auto centred = e.apply(ExprOp::sub, v, mean);
  const auto variance = e.apply(ExprOp::mul, e.apply(ExprOp::row_sum, e.apply(ExprOp::mul, centred, centred)), n);
  const auto inverse = e.apply(ExprOp::rsqrt, e.apply(ExprOp::add, variance, e.constant(1e-5, DType::f32)));
  const auto scaled = e.apply(ExprOp::mul, e.apply(ExprOp::mul, centred, inverse), e.operand(1, DType::f32));
  e.results = {e.apply(ExprOp::add, scaled, e.operand(2, DType::f32))};
  k.writes = {{0, DType::f32, 0, {length, 1}}};
  k.write_per_row = {false};
  if (residual) {
    e.results.push_back(mean);
    k.writes.push_back({1, DType::f32, 0, {1, 0}});
    k.write_per_row.push_back(true);
  }
  return k;
}

void check_layer_norm(const std::string& name, const testing::Setting& setting, bool residual) {
  const std::int64_t rows = 9, length = 83;
  auto x = noise(rows * length, 1);
  for (float& v : x) v += 100;  // a mean that a one-pass variance would lose its digits to
  const auto scale = noise(length, 2), shift = noise(length, 3), more = noise(rows * length, 4);
  std::vector<float> y(x.size()), means(static_cast<std::size_t>(rows));
  testing::BuiltKernel built(
      testing::rendered(testing::template_of("row", name), layer_norm_kernel(rows, length, residual), setting),
      setting.threads);
  built.run({x.data(), scale.data(), shift.data(), more.data()}, {y.data(), means.data()});
  double worst = 0, worst_mean = 0;
  for (std::int64_t r = 0; r < rows; ++r) {
    const auto value = [&](std::int64_t j) {
      return at(x, r * length + j) + (residual ? at(more, r * length + j) : 0);
    };
    double mean = 0, variance = 0;
    for (std::int64_t j = 0; j < length; ++j) mean += value(j) / static_cast<double>(length);
    for (std::int64_t j = 0; j < length; ++j)
      variance += (value(j) - mean) * (value(j) - mean) / static_cast<double>(length);
    for (std::int64_t j = 0; j < length; ++j)
      worst =
          std::fmax(worst, std::fabs(at(y, r * length + j) -
                                     ((value(j) - mean) / std::sqrt(variance + 1e-5) * at(scale, j) + at(shift, j))));
    worst_mean = std::fmax(worst_mean, std::fabs(at(means, r) - mean));
  }
  CHECK(worst < 6e-5);  // 100 * 2^-23 in x, over a deviation of 1.7, times a scale of at most 3
  if (residual) CHECK(worst_mean < 3e-5);
}

struct AttentionCase {
  std::int64_t heads, s, t, d, e;
  bool mask, causal;
  std::int64_t excluded = 2;  // the last keys, when there is a mask
  bool guarded = false;
};

// q, k, v as [token, head, column]: strided rows, as a model's projections leave them.
void check_attention(const AttentionCase& c, const testing::Setting& setting) {
  agents::AttentionKernel k;
  k.batch = {c.heads};
  k.s = c.s;
  k.t = c.t;
  k.d = c.d;
  k.e = c.e;
  k.scale = 0.25;
  k.causal = c.causal;
  k.guarded = c.guarded;
  k.q = {0, DType::f32, 0, {c.d, c.heads * c.d, 1}};
  k.k = {1, DType::f32, 0, {c.d, c.heads * c.d, 1}};
  k.v = {2, DType::f32, 0, {c.e, c.heads * c.e, 1}};
  if (c.mask) k.mask = agents::Access{3, DType::f32, 0, {0, 0, 1}};
  k.out = {0, DType::f32, 0, {c.e, c.heads * c.e, 1}};
  const auto q = noise(c.s * c.heads * c.d, 1), keys = noise(c.t * c.heads * c.d, 2), v = noise(c.t * c.heads * c.e, 3);
  std::vector<float> mask(static_cast<std::size_t>(c.t));
  for (std::int64_t j = 0; j < c.t; ++j)
    mask[static_cast<std::size_t>(j)] = j >= c.t - c.excluded ? -INFINITY : 0.1f * static_cast<float>(j % 4);
  std::vector<float> y(static_cast<std::size_t>(c.s * c.heads * c.e) + 1, -9.0f);
  testing::BuiltKernel built(testing::rendered(testing::template_of("attention", "fused"), k, setting),
                             setting.threads);
  built.run({q.data(), keys.data(), v.data(), mask.data()}, {y.data()});
  double worst = 0;
  for (std::int64_t h = 0; h < c.heads; ++h)
    for (std::int64_t i = 0; i < c.s; ++i) {
      std::vector<double> weight(static_cast<std::size_t>(c.t));
      double total = 0;
      for (std::int64_t j = 0; j < c.t; ++j) {
        double score = 0;
        for (std::int64_t p = 0; p < c.d; ++p)
          score += at(q, (i * c.heads + h) * c.d + p) * at(keys, (j * c.heads + h) * c.d + p);
        const bool seen = !c.causal || j <= i + c.t - c.s;
        weight[static_cast<std::size_t>(j)] = seen ? std::exp(score * 0.25 + (c.mask ? at(mask, j) : 0)) : 0;
        total += weight[static_cast<std::size_t>(j)];
      }
      for (std::int64_t p = 0; p < c.e; ++p) {
        double want = 0;
        for (std::int64_t j = 0; j < c.t; ++j)
          want += weight[static_cast<std::size_t>(j)] / total * at(v, (j * c.heads + h) * c.e + p);
        if (c.guarded && std::isnan(want)) want = 0;
        const float got = at(y, (i * c.heads + h) * c.e + p);
        if (std::isnan(want) && std::isnan(got)) continue;  // no key is left: 0 / 0
        const double error = std::fabs(got - want);
        worst = error <= worst ? worst : error;  // a NaN counts as the worst
      }
    }
  INFO("s " << c.s << " t " << c.t << " mask " << c.mask << " causal " << c.causal);
  CHECK(worst < 8e-6);
  CHECK(y.back() == -9.0f);
}

}  // namespace

TEST_CASE("softmax: tails, rows shorter than a vector, kept and recomputed exponentials, every vendor's answer alike") {
  check_softmax("fused", {2, {{"rows_per_task", 1}, {"cache", 1}}}, false, 13, 77);
  check_softmax("fused", {1, {{"rows_per_task", 1}, {"cache", 0}, {"accumulators", 4}, {"isa", 128}}}, true, 5, 3);
  check_softmax("onednn", {2, {}}, false, 13, 77);
  check_softmax("onednn", {2, {}}, true, 13, 77);
}

TEST_CASE("layer normalisation of rows far from zero, with a residual and a result per row") {
  check_layer_norm("fused", {2, {{"rows_per_task", 1}, {"cache", 1}}}, true);
  check_layer_norm("onednn", {1, {}}, false);
}

TEST_CASE("a strided reduction: minimum and product over the first dimension of a matrix") {
  agents::RowKernel k;  // x [6, 10], over dimension 0
  k.outer = {10};
  k.length = 6;
  k.reads = {{0, DType::f32, 0, {1, 10}}};
  const auto x = k.expr.operand(0, DType::f32);
  k.expr.results = {k.expr.apply(ExprOp::row_min, x), k.expr.apply(ExprOp::row_prod, x)};
  k.writes = {{0, DType::f32, 0, {1, 0}}, {1, DType::f32, 0, {1, 0}}};
  k.write_per_row = {true, true};
  std::vector<float> data(60);
  for (std::size_t i = 0; i < 60; ++i) data[i] = static_cast<float>(i * 7 % 11) - 4;
  std::vector<float> least(10), product(10);
  testing::BuiltKernel built(testing::rendered(testing::template_of("row", "fused"), k, {1, {{"rows_per_task", 1}}}),
                             1);
  built.run({data.data()}, {least.data(), product.data()});
  for (std::size_t j = 0; j < 10; ++j) {
    float want_least = 1e9f, want_product = 1;
    for (std::size_t i = 0; i < 6; ++i) {
      want_least = std::fmin(want_least, data[i * 10 + j]);
      want_product *= data[i * 10 + j];
    }
    CHECK(least[j] == want_least);
    CHECK(product[j] == want_product);
  }
}

TEST_CASE("oneDNN means a mean where the expression says so") {
  agents::RowKernel k;
  k.outer = {4};
  k.length = 10;
  k.reads = {{0, DType::f32, 0, {10, 1}}};
  const auto total = k.expr.apply(ExprOp::row_sum, k.expr.operand(0, DType::f32));
  k.expr.results = {k.expr.apply(ExprOp::mul, total, k.expr.constant(0.1, DType::f32))};
  k.writes = {{0, DType::f32, 0, {1, 0}}};
  k.write_per_row = {true};
  const auto spec = testing::template_of("row", "onednn");
  CHECK(testing::rendered(spec, k, {1, {}}).source.find("reduction_mean") != std::string::npos);
  // The column of results is laid out as rows of one element, whatever part of it a task computes: what oneDNN has fast
  // code for. With elements of a row further apart it takes its reference loops, a hundred times slower.
  CHECK(testing::rendered(spec, k, {2, {}}).source.find("kY = {1, 0, 2, {4, 1}, {1, 1}}") != std::string::npos);
  k.expr.results = {k.expr.apply(ExprOp::mul, total, k.expr.constant(0.3, DType::f32))};
  CHECK_FALSE(agents::accepts(spec, k));
}

TEST_CASE("attention: tails in every dimension, several blocks of keys, mask and causal order") {
  check_attention({3, 29, 150, 20, 37, true, false}, {2, {{"q_block", 32}, {"kv_block", 64}, {"in_place", 0}}});
  check_attention({3, 29, 150, 35, 64, true, true}, {2, {{"q_block", 32}, {"kv_block", 64}}});
  check_attention({2, 70, 100, 16, 16, false, true}, {2, {{"q_block", 32}, {"kv_block", 64}, {"mr", 12}, {"nv", 1}}});
  check_attention({1, 1, 5, 3, 5, true, false},
                  {1, {{"q_block", 32}, {"kv_block", 64}, {"isa", 128}, {"mr", 4}, {"nv", 2}, {"in_place", 0}}});
}

TEST_CASE("attention: blocks of keys that are excluded weigh nothing, and a query without any key gives no number") {
  check_attention({2, 40, 150, 16, 32, true, false, 120}, {2, {{"q_block", 32}, {"kv_block", 64}, {"nv", 2}}});
  check_attention({2, 9, 70, 16, 32, true, false, 70}, {1, {{"q_block", 32}, {"kv_block", 64}, {"nv", 2}}});
  check_attention({2, 9, 70, 16, 37, true, false, 70, true},
                  {1, {{"q_block", 32}, {"kv_block", 64}, {"nv", 2}, {"in_place", 0}}});
  check_attention({1, 20, 12, 16, 32, false, true, 2, true}, {1, {{"q_block", 32}, {"kv_block", 64}, {"nv", 2}}});
  // The first queries see no key.
  check_attention({1, 20, 12, 16, 32, false, true}, {1, {{"q_block", 32}, {"kv_block", 64}, {"nv", 2}}});
  check_attention({1, 20, 13, 16, 32, false, true},
                  {1, {{"q_block", 32}, {"kv_block", 64}, {"nv", 2}, {"in_place", 0}}});
}
