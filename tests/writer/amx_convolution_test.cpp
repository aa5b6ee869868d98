// Convolutions on the tile unit: at most as wrong as those in float32, at every magnitude, and infinities where they
// belong. Their geometry is tested with the other templates' (windows_test.cpp).
#include <doctest/doctest.h>

#include <cmath>
#include <limits>
#include <random>

#include "tests/writer/built_kernel.h"

using namespace kiln;
using graph::DType;

namespace {

constexpr std::int64_t kC = 40, kM = 33, kHeight = 5, kWidth = 20, kSide = 3;
constexpr std::int64_t kPlane = kHeight * kWidth, kWindow = kSide * kSide;

agents::ConvolutionKernel kernel() {
  agents::ConvolutionKernel k;
  k.m = kM;
  k.c = kC;
  k.in = k.out = {kHeight, kWidth};
  k.window = {kSide, kSide};
  k.steps = {{1, 1}, {1, 1}, {1, 1}, {1, 1}};
  k.x = {0, DType::f32, 0, {kC * kPlane, kC * kPlane, kPlane, kWidth, 1}};
  k.w = {1, DType::f32, 0, {kM * kC * kWindow, kC * kWindow, kWindow, kSide, 1}};
  k.w_is_weight = true;
  k.epilogue.results = {k.epilogue.operand(0, DType::f32)};
  k.writes = {{0, DType::f32, 0, {kM * kPlane, kM * kPlane, kPlane, kWidth, 1}}};
  return k;
}

using Values = std::vector<float>;

Values computed(const std::string& name, const testing::Setting& setting, const Values& x, const Values& w) {
  Values out(static_cast<std::size_t>(kM * kPlane) + 16, -7777.0f);
  testing::BuiltKernel built(testing::rendered(testing::template_of("convolution", name), kernel(), setting),
                             setting.threads);
  built.prepare({x.data(), w.data()});
  for (int repeat = 0; repeat < 2; ++repeat) built.run({x.data(), w.data()}, {out.data()});
  for (std::size_t i = static_cast<std::size_t>(kM * kPlane); i < out.size(); ++i) CHECK(out[i] == -7777.0f);
  out.resize(static_cast<std::size_t>(kM * kPlane));
  return out;
}
Values by_tiles(const Values& x, const Values& w) {
  return computed("amx", {2, {{"pairs_per_task", 1}, {"panels_per_task", 1}}}, x, w);
}
Values in_float32(const Values& x, const Values& w) {
  return computed("direct", {1, {{"tiles_per_task", 1}}}, x, w);
}

// The sum of a result's products, or of their magnitudes.
double exact(const Values& x, const Values& w, std::int64_t m, std::int64_t row, std::int64_t column, bool magnitudes) {
  double sum = 0;
  for (std::int64_t c = 0; c < kC; ++c)
    for (std::int64_t i = 0; i < kSide; ++i)
      for (std::int64_t j = 0; j < kSide; ++j) {
        const std::int64_t r = row + i - 1, q = column + j - 1;
        if (r < 0 || r >= kHeight || q < 0 || q >= kWidth) continue;
        const double product = static_cast<double>(x[static_cast<std::size_t>(c * kPlane + r * kWidth + q)]) *
                               static_cast<double>(w[static_cast<std::size_t>((m * kC + c) * kWindow + i * kSide + j)]);
        sum += magnitudes ? std::fabs(product) : product;
      }
  return sum;
}

template <class Each>
void for_each_result(Each each) {
  for (std::int64_t m = 0; m < kM; ++m)
    for (std::int64_t row = 0; row < kHeight; ++row)
      for (std::int64_t column = 0; column < kWidth; ++column)
        each(static_cast<std::size_t>(m * kPlane + row * kWidth + column), m, row, column);
}

double error_of(const Values& x, const Values& w, const Values& got) {
  double error = 0, norm = 0;
  for_each_result([&](std::size_t at, std::int64_t m, std::int64_t row, std::int64_t column) {
    const double want = exact(x, w, m, row, column, false), difference = static_cast<double>(got[at]) - want;
    error += difference * difference;
    norm += want * want;
  });
  return std::sqrt(error / norm);
}

Values values(std::int64_t count, unsigned seed, float shift = 0) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal(shift);
  Values out(static_cast<std::size_t>(count));
  for (float& v : out) v = normal(random);
  return out;
}

}  // namespace

TEST_CASE("convolutions on the tile unit err no more than those in float32") {
  if (!testing::has_feature("amx_bf16")) return;
  for (const float shift : {0.0f, 1.0f}) {  // sums that cancel, and sums that grow
    const Values x = values(kC * kPlane, 1, shift), w = values(kM * kC * kWindow, 2, shift);
    const double tiles = error_of(x, w, by_tiles(x, w)), plain = error_of(x, w, in_float32(x, w));
    INFO("shift " << shift << ": tiles " << tiles << ", plain " << plain);
    CHECK(tiles < 1.5 * plain);
    CHECK(tiles < 1e-6);
  }
}

TEST_CASE("convolutions on the tile unit keep the precision of every magnitude") {
  if (!testing::has_feature("amx_bf16")) return;
  for (const float scale : {1e-41f, 1e-30f, 1e14f, 1e30f}) {  // denormals; the largest goes through plain arithmetic
    Values x = values(kC * kPlane, 3), w = values(kM * kC * kWindow, 4);
    for (float& v : x) v *= scale;
    for (std::int64_t i = 0; i < kC * kWindow; ++i) w[static_cast<std::size_t>(5 * kC * kWindow + i)] *= 1e-20f;
    const Values got = by_tiles(x, w);
    int wrong = 0;
    for_each_result([&](std::size_t at, std::int64_t m, std::int64_t row, std::int64_t column) {
      const double difference = std::fabs(static_cast<double>(got[at]) - exact(x, w, m, row, column, false));
      wrong += !(difference <= 2e-6 * exact(x, w, m, row, column, true) + 1.5e-45);  // one step between denormals
    });
    INFO(scale);
    CHECK(wrong == 0);
  }
}

TEST_CASE("infinities and NaN reach exactly the results of a convolution that they reach in float32") {
  if (!testing::has_feature("amx_bf16")) return;
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  const Values x = values(kC * kPlane, 5), w = values(kM * kC * kWindow, 6);
  Values bad_x = x, bad_w = w;
  bad_x[static_cast<std::size_t>(7 * kPlane + 2 * kWidth + 9)] = kInfinity;
  bad_x[static_cast<std::size_t>(35 * kPlane)] = std::numeric_limits<float>::quiet_NaN();
  bad_w[static_cast<std::size_t>((3 * kC + 7) * kWindow + 4)] = 0.5f;  // its other parts are zero
  bad_w[static_cast<std::size_t>((32 * kC + 1) * kWindow)] = -kInfinity;
  for (const auto& [of_x, of_w] : {std::pair{bad_x, w}, std::pair{x, bad_w}, std::pair{bad_x, bad_w}}) {
    const Values got = by_tiles(of_x, of_w), want = in_float32(of_x, of_w);
    int wrong = 0;
    for (std::size_t i = 0; i < want.size(); ++i) {
      const bool same_kind = std::isnan(want[i])   ? std::isnan(got[i])
                             : std::isinf(want[i]) ? got[i] == want[i]
                                                   : std::fabs(got[i] - want[i]) < 1e-3f;
      wrong += !same_kind;
    }
    CHECK(wrong == 0);
  }
}

TEST_CASE("the tile template of convolutions takes weights only") {
  auto k = kernel();
  const auto spec = testing::template_of("convolution", "amx");
  CHECK(agents::accepts(spec, k));
  k.w_is_weight = false;
  CHECK_FALSE(agents::accepts(spec, k));
}
