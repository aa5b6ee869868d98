// 16-bit floats on a CPU: every bit pattern read and written, and each family that computes with them against the
// oracle, on all widths of vectors that this machine has.
#include <doctest/doctest.h>

#include <cmath>
#include <optional>

#include "agents/graph/interpreter.h"
#include "tests/writer/against_oracle.h"

using namespace kiln;
using graph::DType;
using graph::ExprOp;
using graph::ValueId;

namespace {

// A number of bits, and the float32 values that decide how it is rounded to: itself, the middle between it and the
// next one, and what lies beside the middle.
std::vector<float> rounding_cases(DType type) {
  std::vector<float> out;
  for (std::uint32_t bits = 0; bits < 0x10000; ++bits) {
    const auto value = [&](std::uint32_t pattern) {
      const std::uint16_t half = static_cast<std::uint16_t>(pattern);
      return graph::load_double(type, reinterpret_cast<const std::byte*>(&half), 0);
    };
    const double here = value(bits), next = value(bits + 1);
    out.push_back(static_cast<float>(here));
    if ((bits & 0x7fff) == 0x7fff || !std::isfinite(here) || !std::isfinite(next)) continue;
    const auto middle = static_cast<float>((here + next) / 2);  // has one bit more: exact
    for (const float x : {middle, std::nextafter(middle, HUGE_VALF), std::nextafter(middle, -HUGE_VALF)})
      out.push_back(x);
  }
  for (const float x : {65519.99f, 65520.0f, -65520.0f, 3.3961e38f, -3.3961e38f, 3e-8f, 2.98e-8f, 1e-40f})
    out.push_back(x);
  return out;
}

// float32 to `type`, and beside it `type` to float32.
agents::PointwiseKernel cast_kernel(std::int64_t count, DType type) {
  agents::PointwiseKernel k;
  k.space = {count};
  k.reads = {{0, DType::f32, 0, {1}}, {1, type, 0, {1}}};
  k.expr.results = {k.expr.cast(k.expr.operand(0, DType::f32), type), k.expr.cast(k.expr.operand(1, type), DType::f32)};
  k.writes = {{0, type, 0, {1}}, {1, DType::f32, 0, {1}}};
  return k;
}

graph::Graph matmul_graph(const graph::Shape& a, const graph::Shape& b, DType type, bool weight, bool transposed) {
  graph::Graph g;
  const ValueId x = g.add_input("x", {type, a});
  const ValueId w = weight ? g.add_constant("w", testing::small_integers({type, b}, 7)) : g.add_input("w", {type, b});
  const ValueId bias = g.add_input("bias", {type, {g.type(w).shape[b.size() - (transposed ? 2 : 1)]}});
  const ValueId sum = g.add_node(graph::MatMul{false, transposed}, {x, w}, "matmul")[0];
  graph::Expr e;
  const auto in_f32 = [&](std::int32_t operand) { return e.cast(e.operand(operand, type), DType::f32); };
  e.results = {e.apply(ExprOp::max, e.apply(ExprOp::add, in_f32(0), in_f32(1)), e.constant(0, DType::f32))};
  g.outputs = g.add_node(graph::Pointwise{e}, {sum, bias}, "bias and relu");
  return g;
}

testing::Setting with(std::map<std::string, std::int64_t> tunables, std::int32_t threads = 2) {
  return {threads, std::move(tunables)};
}

constexpr double kOneRounding = 0x1.02p-8;  // of bf16, and a little of float32

}  // namespace

TEST_CASE("every 16-bit float is read exactly and every float32 near a tie is rounded to nearest even") {
  for (const DType type : {DType::bf16, DType::f16}) {
    const std::vector<float> values = rounding_cases(type);
    const auto count = static_cast<std::int64_t>(values.size());
    std::vector<std::uint16_t> want(values.size());
    for (std::int64_t i = 0; i < count; ++i)
      graph::store_double(type, reinterpret_cast<std::byte*>(want.data()), i,
                          static_cast<double>(values[static_cast<std::size_t>(i)]));
    for (const std::int64_t isa : testing::vector_widths()) {
      std::vector<std::uint16_t> got(values.size());
      std::vector<float> wide(values.size());
      testing::BuiltKernel built(
          testing::rendered(testing::template_of("pointwise", "fused"), cast_kernel(count, type), with({{"isa", isa}})),
          1);
      built.run({values.data(), want.data()}, {got.data(), wide.data()});
      int wrong = 0;
      for (std::int64_t i = 0; i < count; ++i) {
        const auto at = static_cast<std::size_t>(i);
        const double exact = graph::load_double(type, reinterpret_cast<const std::byte*>(want.data()), i);
        const double stored = graph::load_double(type, reinterpret_cast<const std::byte*>(got.data()), i);
        wrong += std::isnan(exact) ? !std::isnan(stored) : got[at] != want[at];
        wrong += std::isnan(exact) ? !std::isnan(wide[at]) : static_cast<double>(wide[at]) != exact;
      }
      INFO(graph::name(type) << " on vectors of " << isa << " bits");
      CHECK(wrong == 0);
    }
  }
}

TEST_CASE("pointwise and rows of 16-bit floats on every width of vectors, and a gather") {
  for (const std::int64_t isa : testing::vector_widths()) {
    INFO("vectors of " << isa << " bits");
    graph::Graph pointwise;
    const ValueId x = pointwise.add_input("x", {DType::f16, {7, 37}}), y = pointwise.add_input("y", {DType::f16, {37}});
    graph::Expr e;
    const auto sum = e.apply(ExprOp::add, e.operand(1, DType::f16), e.constant(0.5, DType::f16));
    e.results = {e.apply(ExprOp::mul, e.operand(0, DType::f16), sum)};
    pointwise.outputs = pointwise.add_node(graph::Pointwise{e}, {x, y}, "x (y + 0.5)");
    CHECK(testing::differences(pointwise, "pointwise", "fused", with({{"isa", isa}})) == 0);

    graph::Graph rows;
    const ValueId in = rows.add_input("x", {DType::bf16, {5, 83}});
    const ValueId scale = rows.add_input("scale", {DType::bf16, {83}}),
                  shift = rows.add_input("shift", {DType::bf16, {83}});
    rows.outputs = rows.add_node(graph::LayerNorm{1, 1e-5}, {in, scale, shift}, "norm");
    CHECK(testing::differences(rows, "row", "fused", with({{"isa", isa}}), kOneRounding) == 0);
  }
  graph::Graph gather;
  const ValueId table = gather.add_input("table", {DType::bf16, {11, 29}});
  const ValueId index = gather.add_input("index", {DType::i64, {6}});
  gather.outputs = gather.add_node(graph::Gather{0}, {table, index}, "gather");
  CHECK(testing::differences(gather, "gather", "rows", with({})) == 0);
}

TEST_CASE("a 16-bit float among integers is computed one by one") {
  graph::Graph g;
  const ValueId x = g.add_input("x", {DType::bf16, {45}}), n = g.add_input("n", {DType::i64, {45}});
  graph::Expr e;
  const auto wide = e.cast(e.operand(1, DType::i64), DType::bf16);
  e.results = {e.apply(ExprOp::add, e.operand(0, DType::bf16), wide)};
  g.outputs = g.add_node(graph::Pointwise{e}, {x, n}, "x + n");
  CHECK(testing::differences(g, "pointwise", "fused") == 0);
}

TEST_CASE("products of 16-bit floats are exact on integers with every vector, tails in every dimension") {
  for (const std::int64_t isa : testing::vector_widths()) {
    INFO("vectors of " << isa << " bits");
    const auto small = with({{"isa", isa}, {"kc", 256}, {"mc", 32}, {"nc", 192}});
    CHECK(testing::differences(matmul_graph({45, 515}, {515, 67}, DType::bf16, true, false), "matmul", "packed",
                               small) == 0);
  }
  CHECK(testing::differences(matmul_graph({45, 70}, {67, 70}, DType::f16, false, true), "matmul", "packed",
                             with({{"kc", 256}, {"mc", 32}, {"nc", 192}})) == 0);
  CHECK(testing::differences(matmul_graph({3, 13, 70}, {3, 70, 67}, DType::bf16, false, false), "matmul", "direct",
                             with({{"mc", 32}})) == 0);
}

TEST_CASE("attention over bf16") {
  graph::Graph g;
  const ValueId q = g.add_input("q", {DType::bf16, {2, 19, 32}}), k = g.add_input("k", {DType::bf16, {2, 23, 32}}),
                v = g.add_input("v", {DType::bf16, {2, 23, 48}});
  g.outputs = g.add_node(graph::Attention{0.05, false}, {q, k, v}, "attention");
  CHECK(testing::differences(g, "attention", "fused", with({}), 2 * kOneRounding) == 0);
}

TEST_CASE("tile products of bf16 are exact on integers: weights or not, tails, k in blocks, either order of B") {
  if (!testing::has_feature("amx_bf16")) return;
  const auto small = with({{"kc", 256}, {"mc", 32}, {"nc", 192}});
  for (const bool weight : {true, false}) {
    CHECK(testing::differences(matmul_graph({45, 515}, {515, 67}, DType::bf16, weight, false), "matmul", "amx_bf16",
                               small) == 0);
    CHECK(testing::differences(matmul_graph({7, 600}, {230, 600}, DType::bf16, weight, true), "matmul", "amx_bf16",
                               small) == 0);
  }
  CHECK(testing::differences(matmul_graph({3, 33, 31}, {3, 31, 40}, DType::bf16, false, false), "matmul", "amx_bf16",
                             small) == 0);
  CHECK(testing::differences(matmul_graph({1, 1}, {1, 1}, DType::bf16, true, false), "matmul", "amx_bf16", small) == 0);
}

TEST_CASE("products of pairs of bf16 are exact on integers: weights or not, tails, either order of B") {
  if (!testing::has_feature("avx512_bf16")) return;
  for (const bool weight : {true, false}) {
    const auto differences = [&](std::int64_t rows, graph::Shape a, graph::Shape b, bool transposed) {
      return testing::differences(matmul_graph(std::move(a), std::move(b), DType::bf16, weight, transposed), "matmul",
                                  "avx512_bf16", with({{"mr", rows}, {"nv", 3}, {"mc", 32}, {"nc", 192}}));
    };
    CHECK(differences(4, {45, 515}, {515, 67}, false) == 0);
    CHECK(differences(8, {7, 600}, {230, 600}, true) == 0);
    CHECK(differences(6, {3, 33, 31}, {3, 31, 40}, false) == 0);
    CHECK(differences(1, {1, 601}, {601, 230}, false) == 0);
    CHECK(differences(1, {1, 1}, {1, 1}, false) == 0);
  }
}

TEST_CASE("products of bf16 keep rows and columns of any magnitude, denormals too") {
  constexpr std::int64_t m = 40, n = 40, k = 70;
  graph::Graph g;
  const ValueId x = g.add_input("x", {DType::bf16, {m, k}}), w = g.add_input("w", {DType::bf16, {k, n}});
  const ValueId sum = g.add_node(graph::MatMul{false, false}, {x, w}, "matmul")[0];
  graph::Expr e;
  e.results = {e.cast(e.operand(0, DType::bf16), DType::f32)};
  g.outputs = g.add_node(graph::Pointwise{e}, {sum}, "cast");
  graph::Tensor a = testing::small_integers(g.type(x), 1), b = testing::small_integers(g.type(w), 2);
  const auto scale = [](graph::Tensor& t, std::int64_t first, std::int64_t step, std::int64_t count, double by) {
    for (std::int64_t i = first; count > 0; i += step, --count)
      graph::store_double(DType::bf16, t.bytes.data(), i, graph::load_double(DType::bf16, t.bytes.data(), i) * by);
  };
  // Powers of two: products stay exact, so that each row and column is compared at its own magnitude.
  scale(a, 3 * k, 1, k, 0x1p-130);
  scale(a, 35 * k, 1, k, 0x1p100);
  scale(a, 36 * k, 1, k, 0x1p-60);
  scale(b, 7, n, k, 0x1p-70);
  scale(b, 8, n, k, 0x1p-133);
  const std::vector<graph::Tensor> want = graph::evaluate(g, {a, b}, graph::Arithmetic::fp64);
  const agents::RegionCut cut = agents::cut_region(g, {0, 1});
  const std::optional<agents::Kernel> kernel = agents::lower(cut.region);
  REQUIRE(kernel);
  const auto wrong = [&](const char* name, const testing::Setting& setting) {
    testing::BuiltKernel built(testing::rendered(testing::template_of("matmul", name), *kernel, setting), 1);
    std::vector<float> got(m * n);
    built.prepare({a.bytes.data(), b.bytes.data()});
    built.run({a.bytes.data(), b.bytes.data()}, {got.data()});
    int count = 0;
    for (std::int64_t i = 0; i < m * n; ++i)  // below the least denormal of float32 a result is rounded to one or none
      count += std::fabs(static_cast<double>(got[static_cast<std::size_t>(i)]) - want[0].as<double>()[i]) > 0x1p-150;
    return count;
  };
  if (testing::has_feature("amx_bf16")) CHECK(wrong("amx_bf16", {1, {{"kc", 256}, {"mc", 32}, {"nc", 192}}}) == 0);
  if (testing::has_feature("avx512_bf16")) CHECK(wrong("avx512_bf16", {1, {{"mr", 4}, {"mc", 32}, {"nc", 192}}}) == 0);
}
