// Convolutions and windows against their definitions, written out as sums over every index.
#include <doctest/doctest.h>

#include <cmath>

#include "runtime/base/error.h"
#include "tests/graph/build.h"

using namespace kiln;
using namespace kiln::graph;
using namespace kiln::graph::test;

namespace {

// Small integers: sums of them are exact in every order.
Tensor integers(Shape shape, int seed) {
  Tensor out = Tensor::zeros({DType::f32, std::move(shape)});
  for (std::size_t i = 0; i < out.as<float>().size(); ++i)
    out.as<float>()[i] = static_cast<float>((static_cast<int>(i) * 7 + seed) % 11 - 5);
  return out;
}

Shape index_of(std::int64_t flat, const Shape& shape) {
  Shape index(shape.size());
  for (std::size_t d = shape.size(); d-- > 0; flat /= shape[d]) index[d] = flat % shape[d];
  return index;
}

double at(const Tensor& t, const Shape& index) {
  std::int64_t flat = 0;
  for (std::size_t d = 0; d < index.size(); ++d) flat = flat * t.type.shape[d] + index[d];
  return static_cast<double>(t.as<float>()[static_cast<std::size_t>(flat)]);
}

// out[n, m, o...] = sum over c, k of x[n, group c, o s + k d - before] w[m, c, k].
double convolved(const Convolution& op, const Tensor& x, const Tensor& w, const Shape& out) {
  const std::int64_t per_group = w.type.shape[1], group = out[1] / (w.type.shape[0] / op.groups);
  const Shape taps(w.type.shape.begin() + 2, w.type.shape.end());
  double sum = 0;
  for (std::int64_t c = 0; c < per_group; ++c)
    for (std::int64_t t = 0; t < element_count(taps); ++t) {
      const Shape tap = index_of(t, taps);
      Shape from = {out[0], group * per_group + c}, weight = {out[1], c};
      bool inside = true;
      for (std::size_t d = 0; d < tap.size(); ++d) {
        from.push_back(out[d + 2] * op.steps.strides[d] + tap[d] * op.steps.dilations[d] - op.steps.before[d]);
        weight.push_back(tap[d]);
        inside = inside && from.back() >= 0 && from.back() < x.type.shape[d + 2];
      }
      if (inside) sum += at(x, from) * at(w, weight);
    }
  return sum;
}

// Every x[n, c, i...] w[c, m, k...] that falls on out[n, m, i s + k d - before].
double transposed(const Convolution& op, const Tensor& x, const Tensor& w, const Shape& out) {
  const std::int64_t per_group = w.type.shape[1], group = out[1] / per_group, inputs = w.type.shape[0] / op.groups;
  const Shape extents(x.type.shape.begin() + 2, x.type.shape.end()), taps(w.type.shape.begin() + 2, w.type.shape.end());
  double sum = 0;
  for (std::int64_t c = group * inputs; c < (group + 1) * inputs; ++c)
    for (std::int64_t i = 0; i < element_count(extents); ++i)
      for (std::int64_t t = 0; t < element_count(taps); ++t) {
        const Shape from = index_of(i, extents), tap = index_of(t, taps);
        bool falls = true;
        for (std::size_t d = 0; d < tap.size(); ++d)
          falls = falls &&
                  from[d] * op.steps.strides[d] + tap[d] * op.steps.dilations[d] - op.steps.before[d] == out[d + 2];
        if (!falls) continue;
        Shape source = {out[0], c}, weight = {c, out[1] % per_group};
        source.insert(source.end(), from.begin(), from.end());
        weight.insert(weight.end(), tap.begin(), tap.end());
        sum += at(x, source) * at(w, weight);
      }
  return sum;
}

void check_convolution(const Convolution& op, const Shape& x_shape, const Shape& w_shape) {
  Graph g;
  const Tensor x = integers(x_shape, 1), w = integers(w_shape, 4);
  const ValueId a = g.add_input("x", x.type), b = g.add_input("w", w.type);
  g.outputs = g.add_node(op, {a, b}, "convolution");
  const Shape out = g.type(g.outputs[0]).shape;
  const auto oracle = run64(g, {x, w});
  const auto model = run32(g, {x, w});
  REQUIRE(element_count(out) > 0);
  for (std::int64_t i = 0; i < element_count(out); ++i) {
    const Shape index = index_of(i, out);
    const double want = op.transposed ? transposed(op, x, w, index) : convolved(op, x, w, index);
    REQUIRE(oracle[static_cast<std::size_t>(i)] == want);
    REQUIRE(static_cast<double>(model[static_cast<std::size_t>(i)]) == want);
  }
}

}  // namespace

TEST_CASE("a convolution is its definition: one to three dimensions, groups, strides, dilations, uneven padding") {
  check_convolution({{{1}, {1}, {0}, {0}}, 1, false, {0}}, {2, 3, 9}, {5, 3, 3});
  check_convolution({{{2}, {3}, {4}, {1}}, 2, false, {0}}, {1, 4, 20}, {6, 2, 3});
  check_convolution({{{2, 1}, {1, 2}, {1, 0}, {2, 3}}, 1, false, {0, 0}}, {2, 3, 7, 8}, {17, 3, 3, 2});
  check_convolution({{{1, 1}, {1, 1}, {1, 1}, {1, 1}}, 4, false, {0, 0}}, {1, 4, 6, 5}, {8, 1, 3, 3});  // depthwise
  check_convolution({{{1, 2, 1}, {1, 1, 2}, {0, 1, 2}, {1, 1, 0}}, 1, false, {0, 0, 0}}, {1, 2, 4, 5, 6},
                    {3, 2, 2, 3, 2});
}

TEST_CASE("a transposed convolution is its definition: groups, strides, dilations, padding that cuts, extra extents") {
  check_convolution({{{1}, {1}, {0}, {0}}, 1, true, {0}}, {2, 3, 9}, {3, 5, 3});
  check_convolution({{{3}, {2}, {1}, {2}}, 2, true, {1}}, {1, 4, 19}, {4, 3, 3});
  check_convolution({{{2, 1}, {1, 2}, {1, 0}, {0, 1}}, 1, true, {1, 0}}, {2, 3, 4, 5}, {3, 4, 3, 2});
  check_convolution({{{2, 1, 2}, {1, 1, 1}, {0, 1, 1}, {1, 1, 0}}, 2, true, {0, 0, 1}}, {1, 4, 3, 4, 3},
                    {4, 2, 2, 3, 2});
}

TEST_CASE("the divisor of a mean counts padding only when told, and never what lies past it") {
  const Tensor x = floats({1, 1, 6}, {1, 2, 3, 4, 5, 6});
  const auto mean = [&](bool counts) {
    Graph g;
    const ValueId a = g.add_input("x", x.type);
    // Windows of 3 by 2 with one of padding at each end begin at -1, 1, 3 and, since that is inside x, at 5
    // (ceil_mode).
    g.outputs = g.add_node(Window{Monoid::mean, {3}, {{2}, {1}, {1}, {1}}, {4}, counts, false}, {a}, "mean");
    return run64(g, {x});
  };
  CHECK(mean(false) == std::vector<double>{1.5, 3, 5, 6});
  CHECK(mean(true) == std::vector<double>{1, 3, 5, 3});  // the last: 6 and one of padding
}

TEST_CASE("the positions of maxima count over the whole tensor, the first of equals, and NaN is a maximum") {
  Graph g;
  const ValueId x = g.add_input("x", {DType::f32, {2, 2, 2}});
  g.outputs =
      g.add_node(Window{Monoid::max, {2, 2}, {{1, 1}, {1, 1}, {0, 0}, {0, 0}}, {1, 1}, false, true}, {x}, "max");
  const auto out = evaluate(g, {floats({2, 2, 2}, {1, 7, 7, 2, 3, NAN, 9, NAN})}, Arithmetic::fp64);
  CHECK(out[0].as<double>()[0] == 7);
  CHECK(std::isnan(out[0].as<double>()[1]));
  CHECK(out[1].as<std::int64_t>()[0] == 1);
  CHECK(out[1].as<std::int64_t>()[1] == 5);
}

TEST_CASE("windows and convolutions that do not fit are refused before anything is allocated") {
  const auto add = [](const Op& op, std::vector<TensorType> types) {
    Graph g;
    std::vector<ValueId> inputs;
    for (TensorType& type : types) inputs.push_back(g.add_value("v", std::move(type)));
    return g.type(g.add_node(op, inputs, "node")[0]);
  };
  const TensorType x{DType::f32, {1, 4, 8}}, w{DType::f32, {2, 4, 3}};
  const Steps one{{1}, {1}, {0}, {0}};
  CHECK(add(Convolution{one, 1, false, {0}}, {x, w}).shape == Shape{1, 2, 6});
  CHECK(add(Convolution{one, 1, false, {0}}, {x, {DType::f32, {2, 4, 9}}}).shape == Shape{1, 2, 0});
  CHECK_THROWS_AS((void)add(Convolution{one, 3, false, {0}}, {x, w}), Error);
  CHECK_THROWS_AS((void)add(Convolution{one, 2, false, {0}}, {x, w}), Error);
  CHECK_THROWS_AS((void)add(Convolution{one, 0, false, {0}}, {x, w}), Error);
  CHECK_THROWS_AS((void)add(Convolution{one, 1, false, {0}}, {x, {DType::f64, {2, 4, 3}}}), Error);
  CHECK_THROWS_AS((void)add(Convolution{{{0}, {1}, {0}, {0}}, 1, false, {0}}, {x, w}), Error);
  CHECK_THROWS_AS((void)add(Convolution{{{1}, {1}, {-1}, {0}}, 1, false, {0}}, {x, w}), Error);
  CHECK_THROWS_AS((void)add(Convolution{{{1}, {INT64_MAX}, {0}, {0}}, 1, false, {0}}, {x, w}), Error);
  CHECK_THROWS_AS((void)add(Convolution{{{1 << 30}, {1}, {0}, {0}}, 1, true, {0}},
                            {{DType::f32, {1, 4, 1 << 30}}, {DType::f32, {4, 2, 3}}}),
                  Error);
  CHECK_THROWS_AS((void)add(Window{Monoid::max, {3}, one, {9}, false, false}, {x}), Error);  // the last begins outside
  CHECK_THROWS_AS((void)add(Window{Monoid::mean, {3}, one, {6}, false, true}, {x}), Error);
  CHECK_THROWS_AS(
      (void)add(Window{Monoid::max, {1 << 30, 1 << 30}, {{1, 1}, {1, 1}, {0, 0}, {0, 0}}, {1, 1}, false, false}, {x}),
      Error);
  CHECK_THROWS_AS((void)add(Pad{{0, 0, 0}, {0, 0, -1}}, {x, {DType::f32, {}}}), Error);
}
