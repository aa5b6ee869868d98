// The vector functions against the C library's in double precision, over the whole range of float32.
#include <doctest/doctest.h>

#include <cfloat>
#include <cmath>
#include <functional>

#include "tests/writer/built_kernel.h"

using namespace kiln;
using graph::DType;
using graph::ExprOp;

namespace {

const std::vector<std::pair<ExprOp, std::function<double(double)>>>& functions() {
  static const std::vector<std::pair<ExprOp, std::function<double(double)>>> list = {
      {ExprOp::exp, [](double x) { return std::exp(x); }},
      {ExprOp::log, [](double x) { return std::log(x); }},
      {ExprOp::tanh, [](double x) { return std::tanh(x); }},
      {ExprOp::erf, [](double x) { return std::erf(x); }},
      {ExprOp::sigmoid, [](double x) { return 1 / (1 + std::exp(-x)); }},
      {ExprOp::sqrt, [](double x) { return std::sqrt(x); }},
      {ExprOp::sin, [](double x) { return std::sin(x); }},
      {ExprOp::floor, [](double x) { return std::floor(x); }},
      {ExprOp::round, [](double x) { return std::nearbyint(x); }},
      {ExprOp::tan, [](double x) { return std::tan(x); }},
      {ExprOp::asin, [](double x) { return std::asin(x); }},
      {ExprOp::acos, [](double x) { return std::acos(x); }},
      {ExprOp::atan, [](double x) { return std::atan(x); }},
      {ExprOp::sinh, [](double x) { return std::sinh(x); }},
      {ExprOp::cosh, [](double x) { return std::cosh(x); }},
      {ExprOp::asinh, [](double x) { return std::asinh(x); }},
      {ExprOp::acosh, [](double x) { return std::acosh(x); }},
      {ExprOp::atanh, [](double x) { return std::atanh(x); }},
      {ExprOp::expm1, [](double x) { return std::expm1(x); }},
      {ExprOp::log1p, [](double x) { return std::log1p(x); }},
      {ExprOp::sign, [](double x) { return x > 0 ? 1 : x < 0 ? -1 : x; }},
  };
  return list;
}

// Every function of one operand, each a result of one kernel.
agents::PointwiseKernel all_functions(std::int64_t count) {
  agents::PointwiseKernel k;
  k.space = {count};
  k.reads = {{0, DType::f32, 0, {1}}};
  const std::int32_t x = k.expr.operand(0, DType::f32);
  for (const auto& [op, unused] : functions()) {
    k.writes.push_back({static_cast<std::int32_t>(k.writes.size()), DType::f32, 0, {1}});
    k.expr.results.push_back(k.expr.apply(op, x));
  }
  return k;
}

std::vector<float> sample() {
  std::vector<float> x = {0.0f,    -0.0f,   INFINITY, -INFINITY, NAN,     FLT_MIN, -FLT_MIN, 1e-45f, -1e-45f,
                          3e-39f,  FLT_MAX, -FLT_MAX, 88.72f,    88.73f,  89.5f,   -87.3f,   -87.4f, -103.9f,
                          -104.1f, 1.0f,    -1.0f,    0.625f,    0.9257f, 4.0f,    1e30f};
  std::uint32_t state = 12345;
  for (int i = 0; i < 200000; ++i) {
    state = state * 1664525u + 1013904223u;
    const double u = state / 4294967296.0;
    const double magnitude = std::exp2(u * 40 - 32);  // 2^-32 .. 2^8
    x.push_back(static_cast<float>(state & 256 ? magnitude : -magnitude));
  }
  return x;
}

double units_in_last_place(float got, double want) {
  const float nearest = static_cast<float>(want);
  const double spacing =
      std::fmax(std::ldexp(1.0, std::ilogb(nearest == 0 ? FLT_MIN : nearest) - 23), std::ldexp(1.0, -149));
  return std::fabs(got - want) / spacing;
}

// Where these are 1 they must be, since 1 - f(x) is multiplied by x in GELU and the like.
bool saturates(ExprOp op) { return op == ExprOp::erf || op == ExprOp::tanh || op == ExprOp::sigmoid; }

void check_functions(std::int64_t isa) {
  const std::vector<float> x = sample();
  const auto k = all_functions(static_cast<std::int64_t>(x.size()));
  testing::BuiltKernel built(testing::rendered(testing::template_of("pointwise", "fused"), k, {2, {{"isa", isa}}}), 2);
  std::vector<std::vector<float>> y(functions().size(), std::vector<float>(x.size()));
  std::vector<void*> outputs;
  for (auto& row : y) outputs.push_back(row.data());
  built.run({x.data()}, outputs);
  for (std::size_t f = 0; f < functions().size(); ++f) {
    double worst = 0;
    float at = 0;
    int different = 0;
    for (std::size_t i = 0; i < x.size(); ++i) {
      const double exact = functions()[f].second(static_cast<double>(x[i]));
      const float want = static_cast<float>(exact);
      if (std::isnan(want) || std::isinf(want)) {
        different += std::isnan(want) ? !std::isnan(y[f][i]) : y[f][i] != want;
        continue;
      }
      if (saturates(functions()[f].first) && std::fabs(x[i]) > 20 && std::fabs(want) == 1) different += y[f][i] != want;
      const double error = units_in_last_place(y[f][i], exact);
      if (!(error <= worst)) {
        worst = error;
        at = x[i];
      }
    }
    INFO("isa " << isa << ", function " << graph::name(functions()[f].first) << ", worst at " << at);
    CHECK(different == 0);
    // Faithful functions have an error below 1; the sigmoid divides after its exponential, so it has one rounding more.
    CHECK(worst <= 2.5);
  }
}

}  // namespace

TEST_CASE("vector functions are within 2.5 units in the last place over all of float32") {
  const auto features = testing::this_node().features;
  check_functions(128);
  if (features.size() >= 2) check_functions(256);
  if (features.size() >= 3) check_functions(512);
}
