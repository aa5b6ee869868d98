// The oracle's kernels for a GPU against agents/graph/interpreter: random graphs, and every kind of node, operation and
// type. Executed on this CPU by tests/simt, with its mathematics; or on a GPU where one is found (walk oracle).
#include <doctest/doctest.h>

#include <cmath>

#include "agents/graph/interpreter.h"
#include "daemon/worker/device_oracle/device_oracle.h"
#include "daemon/worker/inputs.h"
#include "tests/cuda/oracle_on_gpu.h"
#include "tests/graphs/random_graph.h"

using namespace kiln;
using namespace kiln::graph;
using testing::device_oracle;
using testing::has_own_mathematics;
using testing::of_node;

namespace {

double value(const Tensor& t, std::int64_t i) { return load_double(t.type.dtype, t.bytes.data(), i); }

// Of the root mean square of `want`; infinite where one is no number and the other is.
double difference(const Tensor& want, const Tensor& got) {
  REQUIRE(want.type == got.type);
  double squares = 0, worst = 0;
  for (std::int64_t i = 0; i < want.count(); ++i) {
    const double a = value(want, i), b = value(got, i);
    if (std::isfinite(a)) squares += a * a;
    if (a == b || (std::isnan(a) && std::isnan(b))) continue;
    worst = std::max(worst, std::isfinite(a) && std::isfinite(b) ? std::abs(a - b) : INFINITY);
  }
  const double scale = std::sqrt(squares / static_cast<double>(std::max<std::int64_t>(want.count(), 1)));
  return worst == 0 ? 0 : scale > 0 ? worst / scale : INFINITY;
}

std::vector<Tensor> inputs_of(const Graph& g, const std::string& family, std::uint64_t seed) {
  std::vector<Tensor> out;
  const auto domains = input_domains(g);
  for (std::size_t i = 0; i < g.inputs.size(); ++i)
    out.push_back(worker::make_input(g.type(g.inputs[i]), domains[i], family, seed, i));
  return out;
}

void check_equal(const Graph& g, const std::vector<Tensor>& inputs, double tolerance64, double tolerance_model) {
  REQUIRE(worker::uncovered_by_device(g).empty());
  for (const Arithmetic arithmetic : {Arithmetic::fp64, Arithmetic::model}) {
    const std::vector<Tensor> want = evaluate(g, inputs, arithmetic);
    const std::vector<Tensor> got = device_oracle().evaluate(g, inputs, arithmetic);
    REQUIRE(want.size() == got.size());
    for (std::size_t i = 0; i < want.size(); ++i) {
      INFO(g.name << ", output " << i << (arithmetic == Arithmetic::fp64 ? " in fp64" : " in the model's types"));
      CHECK(difference(want[i], got[i]) <= (arithmetic == Arithmetic::fp64 ? tolerance64 : tolerance_model));
    }
  }
}

Graph of_operation(ExprOp op, DType type, std::size_t operands) {
  Pointwise p;
  std::int32_t args[3] = {-1, -1, -1};
  for (std::size_t i = 0; i < operands; ++i)
    args[i] = p.expr.operand(static_cast<std::int32_t>(i), op == ExprOp::select && i == 0 ? DType::boolean : type);
  p.expr.results = {p.expr.apply(op, args[0], args[1], args[2])};
  std::vector<TensorType> types(operands, {type, {4, 50}});
  if (op == ExprOp::select) types[0].dtype = DType::boolean;
  Graph g = of_node(p, types);
  g.name = std::string(name(op)) + " of " + std::string(name(type));
  return g;
}

constexpr double kSame = 0;
// Products are added up by fused operations in one and not in the other: some roundings of each type.
constexpr double kRounding64 = 1e-12, kRounding32 = 2e-5;

}  // namespace

TEST_CASE("random graphs have the interpreter's values") {
  int checked = 0;
  for (std::uint64_t seed = 0; seed < 120; ++seed) {
    const Graph g = testing::random_graph(seed);
    if (!worker::uncovered_by_device(g).empty()) continue;
    INFO("seed " << seed);
    check_equal(g, inputs_of(g, "normal", seed), 1e-11, 1e-3);
    ++checked;
  }
  CHECK(checked >= 100);
}

TEST_CASE("every operation of an expression has the interpreter's values, in every type") {
  int checked = 0;
  for (int number = 0; number <= static_cast<int>(ExprOp::select); ++number) {
    const auto op = static_cast<ExprOp>(number);
    if (op == ExprOp::operand || op == ExprOp::constant || op == ExprOp::cast) continue;
    for (const DType type : {DType::f64, DType::f32, DType::f16, DType::bf16, DType::i64, DType::i32, DType::u64,
                             DType::u8, DType::boolean}) {
      Graph g;
      try {
        g = of_operation(op, type, static_cast<std::size_t>(arity(op)));
      } catch (const Error&) {
        continue;  // not an expression of that type
      }
      std::vector<Tensor> inputs = inputs_of(g, "normal", static_cast<std::uint64_t>(number));
      const bool divides = op == ExprOp::div || op == ExprOp::mod || op == ExprOp::fmod;
      for (Tensor& t : inputs)
        for (std::int64_t i = 0; !is_float(type) && type != DType::boolean && i < t.count(); ++i)
          store_double(t.type.dtype, t.bytes.data(), i, static_cast<double>((i * 7 + number) % 11 + (divides ? 1 : 0)));
      try {
        (void)evaluate(g, inputs, Arithmetic::model);
      } catch (const Error&) {
        continue;  // not defined for the type
      }
      const double tolerance = has_own_mathematics() ? (size_of(type) == 2 ? 0.1 : 1e-4) : kSame;
      check_equal(g, inputs, has_own_mathematics() ? 1e-12 : kSame, tolerance);
      ++checked;
    }
  }
  CHECK(checked > 200);
}

TEST_CASE("casts have the interpreter's values between all types, saturation and rounding among them") {
  const DType types[] = {DType::f64, DType::f32, DType::f16, DType::bf16, DType::i64, DType::i32, DType::i16,
                         DType::i8,  DType::u64, DType::u32, DType::u16,  DType::u8,  DType::boolean};
  const double values[] = {0,     -0.0,    1,    -1,   2.5,   -2.5,  127.5,    128,       255,          256,
                           65535, 32767.9, 1e9,  -1e9, 3e9,   -3e9,  1e18,     -1e18,     2e19,         -2e19,
                           65536, 1e30,    6e-8, 0.1,  1e-40, 1e-7,  -6e-5,    1.0 / 3,   3.14159,      2049,
                           2051,  65519,   65520, INFINITY, -INFINITY, std::nan("")};
  for (const DType from : types)
    for (const DType to : types) {
      Pointwise p;
      p.expr.results = {p.expr.cast(p.expr.operand(0, from), to)};
      Graph g = of_node(p, {{from, {static_cast<std::int64_t>(std::size(values))}}});
      g.name = std::string(name(from)) + " to " + std::string(name(to));
      Tensor input = Tensor::zeros(g.type(g.inputs[0]));
      for (std::size_t i = 0; i < std::size(values); ++i)
        if (is_float(from) || std::isfinite(values[i]))
          store_double(from, input.bytes.data(), static_cast<std::int64_t>(i), values[i]);
      check_equal(g, {input}, kSame, kSame);
    }
}

TEST_CASE("what random graphs leave out has the interpreter's values") {
  const DType f = DType::f32;
  const Steps plane{{2, 1}, {1, 2}, {1, 0}, {1, 1}};
  const std::vector<std::pair<Op, std::vector<TensorType>>> nodes = {
      {Reduce{Monoid::prod, {0, 2}, false}, {{f, {3, 4, 5}}}},
      {Reduce{Monoid::sum, {1}, true}, {{DType::i32, {3, 4, 5}}}},
      {Reduce{Monoid::mean, {1}, true}, {{DType::i64, {3, 4}}}},
      {Reduce{Monoid::log_sum_exp, {1}, true}, {{f, {3, 70, 2}}}},
      {Reduce{Monoid::max, {1}, false}, {{f, {2, 9000}}}},
      {Softmax{1, true}, {{f, {2, 9, 3}}}},
      {Softmax{2, false}, {{DType::bf16, {2, 3, 40}}}},
      {LayerNorm{1, 1e-5, true}, {{DType::f16, {4, 3, 20}}, {DType::f16, {3, 1}}, {DType::f16, {20}}}},
      {Attention{0.25, true}, {{f, {2, 3, 5, 8}}, {f, {2, 1, 7, 8}}, {f, {2, 1, 7, 4}}, {f, {5, 7}}}},
      {Attention{0.5, false}, {{DType::bf16, {3, 8}}, {DType::bf16, {6, 8}}, {DType::bf16, {6, 2}}}},
      {MatMul{true, true}, {{f, {3, 1, 7, 4}}, {f, {2, 5, 7}}}},
      {MatMul{false, false}, {{DType::i32, {17, 4}}, {DType::i32, {4, 18}}}},
      {MatMul{false, true}, {{f, {2, 70, 9}}, {f, {131, 9}}}},
      {Convolution{{{1, 2}, {1, 1}, {1, 0}, {0, 1}}, 1, false, {0, 0}}, {{f, {2, 3, 5, 6}}, {f, {11, 3, 2, 3}}}},
      {Convolution{{{2, 1}, {1, 1}, {0, 1}, {1, 0}}, 2, true, {1, 0}}, {{f, {2, 6, 4, 3}}, {f, {6, 9, 3, 2}}}},
      {Convolution{{{2, 1, 1}, {1, 1, 2}, {0, 1, 2}, {1, 1, 0}}, 2, false, {0, 0, 0}},
       {{f, {2, 4, 5, 4, 6}}, {f, {6, 2, 3, 2, 2}}}},
      {Convolution{{{2}, {2}, {1}, {0}}, 2, true, {1}}, {{f, {2, 4, 6}}, {f, {4, 3, 3}}}},
      {Window{Monoid::max, {3, 2}, plane, {3, 3}, false, true}, {{f, {2, 5, 4}}}},
      {Window{Monoid::mean, {3, 2}, plane, {3, 3}, true, false}, {{f, {2, 5, 4}}}},
      {Scan{Monoid::prod, 1, true, true}, {{f, {2, 9, 3}}}},
      {Scan{Monoid::min, 0, false, false}, {{DType::i64, {9, 3}}}},
      {Arg{true, 1, false, false}, {{f, {4, 30, 2}}}},
      {Arg{false, 0, true, true}, {{DType::i32, {30, 2}}}},
      {TopK{1, 5, true}, {{f, {3, 12, 2}}}},
      {TopK{0, 12, false}, {{DType::i64, {12, 2}}}},
      {Gather{1}, {{f, {3, 6, 2}}, {DType::i64, {2, 4}}}},
      {Scatter{Combine::replace}, {{f, {6, 3}}, {DType::i64, {9}}, {f, {9, 3}}}},
      {Scatter{Combine::add}, {{DType::f16, {6, 3}}, {DType::i64, {9}}, {DType::f16, {9, 3}}}},
      {Scatter{Combine::mul}, {{f, {6}}, {DType::i32, {9}}, {f, {9}}}},
      {Scatter{Combine::max}, {{f, {6}}, {DType::i64, {9}}, {f, {9}}}},
      {Scatter{Combine::min}, {{DType::i64, {6}}, {DType::i64, {9}}, {DType::i64, {9}}}},
      {Slice{{4, 1}, {3, 2}, {-2, 2}}, {{DType::u8, {5, 6}}}},
      {Concat{1}, {{DType::boolean, {2, 3}}, {DType::boolean, {2, 1}}}},
      {Pad{{1, 0}, {0, 2}}, {{DType::i16, {3, 4}}, {DType::i16, {}}}},
      {Expand{{4, 3, 2}}, {{f, {3, 1}}}},
  };
  std::uint64_t seed = 0;
  for (const auto& [op, types] : nodes) {
    const Graph g = of_node(op, types);
    const bool is_short = size_of(types[0].dtype) == 2 && has_own_mathematics();  // a rounding the other way is visible
    for (const char* family : {"normal", "integers"})
      check_equal(g, inputs_of(g, family, ++seed), kRounding64, is_short ? 0.02 : kRounding32);
  }
}

TEST_CASE("a long sum is one of shorter sums: no worse than the interpreter's") {
  for (const Op& op : std::vector<Op>{Reduce{Monoid::sum, {0, 1}, false}, Reduce{Monoid::mean, {0, 1}, false},
                                      Softmax{1, false}, LayerNorm{0, 1e-5, true}}) {
    std::vector<TensorType> types = {{DType::f32, {3, 20000}}};
    if (std::holds_alternative<LayerNorm>(op)) types.push_back({DType::f32, {20000}});
    const Graph g = of_node(op, types);
    const std::vector<Tensor> inputs = inputs_of(g, "uniform", 5);
    const std::vector<Tensor> right = evaluate(g, inputs, Arithmetic::fp64);
    CHECK(difference(right[0], device_oracle().evaluate(g, inputs, Arithmetic::fp64)[0]) < 1e-12);
    const auto error = [&](Tensor plain) {
      Tensor widened = right[0];
      for (std::int64_t i = 0; i < plain.count(); ++i)
        widened.as<double>()[static_cast<std::size_t>(i)] = value(plain, i);
      return difference(right[0], widened);
    };
    INFO(g.name);
    CHECK(error(device_oracle().evaluate(g, inputs, Arithmetic::model)[0]) <=
          std::max(1e-6, error(evaluate(g, inputs, Arithmetic::model)[0])));
  }
}

TEST_CASE("infinities and NaN stand where the interpreter has them") {
  const std::int64_t n = 24;
  for (const Op& op : std::vector<Op>{Reduce{Monoid::max, {1}, false}, Reduce{Monoid::log_sum_exp, {1}, false},
                                      Softmax{1, false}, Arg{true, 1, false, false}, TopK{1, 4, true},
                                      Scan{Monoid::max, 1, false, false}}) {
    const Graph g = of_node(op, {{DType::f32, {6, n}}});
    std::vector<Tensor> inputs = inputs_of(g, "normal", 3);
    const auto x = inputs[0].as<float>();
    x[5] = INFINITY;
    x[static_cast<std::size_t>(n + 3)] = -INFINITY;
    x[static_cast<std::size_t>(2 * n + 7)] = x[static_cast<std::size_t>(2 * n + 9)] = std::nanf("");
    for (std::int64_t i = 3 * n; i < 4 * n; ++i) x[static_cast<std::size_t>(i)] = -INFINITY;
    check_equal(g, inputs, kRounding64, kRounding32);
  }
}

TEST_CASE("a value without a result stops the evaluation, as in the interpreter") {
  const Graph gather = of_node(Gather{0}, {{DType::f32, {3}}, {DType::i64, {2}}});
  std::vector<Tensor> inputs = inputs_of(gather, "normal", 1);
  inputs[1].as<std::int64_t>()[1] = 3;
  CHECK_THROWS_AS((void)device_oracle().evaluate(gather, inputs, Arithmetic::fp64), Error);
  const Graph quotient = of_operation(ExprOp::div, DType::i32, 2);
  std::vector<Tensor> zeros = {Tensor::zeros(quotient.type(quotient.inputs[0])),
                               Tensor::zeros(quotient.type(quotient.inputs[1]))};
  CHECK_THROWS_AS((void)device_oracle().evaluate(quotient, zeros, Arithmetic::model), Error);
}

TEST_CASE("what has no kernel is named, and work grows with the graph") {
  CHECK(worker::uncovered_by_device(of_node(Reduce{Monoid::sum, {0}, false}, {{DType::f32, {0, 3}}})) ==
        "reduce the node");
  Pointwise p;
  p.expr.results = {p.expr.cast(p.expr.operand(0, DType::f8e5m2), DType::f32)};
  CHECK(worker::uncovered_by_device(of_node(p, {{DType::f8e5m2, {3}}})) == "pointwise the node");
  const Graph product = of_node(MatMul{false, false}, {{DType::f32, {10, 20}}, {DType::f32, {20, 30}}});
  CHECK(worker::evaluation_work(product) == 10 * 20 * 30);
}
