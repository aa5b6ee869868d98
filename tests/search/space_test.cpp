#include <doctest/doctest.h>

#include <algorithm>
#include <chrono>

#include "agents/search/search.h"
#include "runtime/base/error.h"

using namespace kiln;
using namespace kiln::agents;

namespace {

store::TemplateSpec matmul_template() {
  store::TemplateSpec spec;
  spec.family = "matmul";
  spec.name = "packed";
  spec.digest = "d";
  spec.target = "cpu";
  spec.anchor = "matmul";
  spec.dtypes = {"f32"};
  spec.cpu_features = {"avx2"};
  spec.tunables = {{"mr", {4, 6, 8, 12}, 8, ""}, {"nr", {16, 32, 64}, 64, ""}, {"kc", {128, 256}, 256, ""}};
  return spec;
}

Kernel matmul(std::int64_t m, std::int64_t n, std::int64_t k) {
  MatmulKernel kernel;
  kernel.m = m;
  kernel.n = n;
  kernel.k = k;
  kernel.a = {0, graph::DType::f32, 0, {k, 1}};
  kernel.b = {1, graph::DType::f32, 0, {n, 1}};
  const auto acc = kernel.epilogue.operand(0, graph::DType::f32);
  kernel.epilogue.results = {acc};
  kernel.writes = {{0, graph::DType::f32, 0, {n, 1}}};
  return kernel;
}

NodeFacts node() {
  NodeFacts facts;
  facts.features = {"avx2", "fma", "sse4.1"};
  facts.cores = 4;
  facts.l2_bytes = 1 << 20;
  return facts;
}

Space enumerated(const store::TemplateSpec& spec, const Kernel& kernel = matmul(128, 1536, 384)) {
  Region region;
  region.key = "r";
  return enumerate(spec, region, kernel, figures_of(kernel, node(), 2), node());
}

}  // namespace

TEST_CASE("figures of a matrix product and of the node") {
  const Figures f = figures_of(matmul(128, 1536, 384), node(), 2);
  CHECK(f.at("m") == 128);
  CHECK(f.at("elements") == 128 * 1536);
  CHECK(f.at("flops") == 2.0 * 128 * 1536 * 384);
  CHECK(f.at("bytes") == 4.0 * (128 * 384 + 384 * 1536 + 128 * 1536));
  CHECK(f.at("threads") == 2);
  CHECK(f.at("cores") == 4);
  CHECK(f.at("vector_bytes") == 32);
  CHECK(f.at("vector_lanes") == 8);
  CHECK(f.at("has_avx512f") == 0);
  CHECK(f.at("has_sse4_1") == 1);
}

TEST_CASE("figures of every other anchor") {
  RowKernel row;
  row.outer = {4, 6};
  row.length = 10;
  row.expr.results = {row.expr.apply(graph::ExprOp::row_sum, row.expr.operand(0, graph::DType::f32))};
  row.reads = {{0, graph::DType::f32, 0, {60, 10, 1}}};
  row.writes = {{0, graph::DType::f32, 0, {6, 1, 0}}};
  row.write_per_row = {true};
  Figures f = figures_of(row, node(), 1);
  CHECK(f.at("outer") == 24);
  CHECK(f.at("length") == 10);
  CHECK(f.at("reductions") == 1);
  CHECK(f.at("bytes") == 4 * (240 + 24));

  PointwiseKernel bias;  // a broadcast operand is read once
  bias.space = {32, 8};
  bias.expr.results = {bias.expr.apply(graph::ExprOp::add, bias.expr.operand(0, graph::DType::f32),
                                       bias.expr.operand(1, graph::DType::f32))};
  bias.reads = {{0, graph::DType::f32, 0, {8, 1}}, {1, graph::DType::f32, 0, {0, 1}}};
  bias.writes = {{0, graph::DType::f32, 0, {8, 1}}};
  f = figures_of(bias, node(), 1);
  CHECK(f.at("bytes") == 4 * (256 + 8 + 256));
  CHECK(f.at("flops") == 256);
  CHECK(f.at("inner") == 8);

  AttentionKernel attention;
  attention.batch = {2};
  attention.s = 3;
  attention.t = 5;
  attention.d = 7;
  attention.e = 11;
  f = figures_of(attention, node(), 1);
  CHECK(f.at("elements") == 2 * 3 * 11);
  CHECK(f.at("has_mask") == 0);

  GatherKernel gather;
  gather.outer = 1;
  gather.axis = 1000;
  gather.inner = 16;
  gather.index_count = 3;
  gather.indices = {1, graph::DType::i64, 0, {1}};
  gather.writes = {{0, graph::DType::f32, 0, {0, 16, 1}}};
  CHECK(figures_of(gather, node(), 1).at("bytes") == 4 * 48 + 8 * 3 + 4 * 48);  // three rows, not the table
}

TEST_CASE("without constraints the space is the whole product, in lexicographic order") {
  const Space space = enumerated(matmul_template());
  CHECK(space.rows.size() == 4 * 3 * 2);
  CHECK(std::is_sorted(space.rows.begin(), space.rows.end()));
  CHECK(std::adjacent_find(space.rows.begin(), space.rows.end()) == space.rows.end());
  const Variant v = variant_of(space, static_cast<std::size_t>(space.default_row));
  CHECK(v.tunables == std::map<std::string, std::int64_t>{{"mr", 8}, {"nr", 64}, {"kc", 256}});
}

TEST_CASE("constraints leave exactly the rows for which an independent loop finds them nonzero") {
  store::TemplateSpec spec = matmul_template();
  spec.constraints = {"mr * nr <= 256", "kc >= 16 * mr", "m % mr == 0"};
  const Space space = enumerated(spec);
  std::vector<std::vector<std::uint16_t>> expected;
  for (std::uint16_t i = 0; i < 4; ++i)
    for (std::uint16_t j = 0; j < 3; ++j)
      for (std::uint16_t k = 0; k < 2; ++k) {
        const std::int64_t mr = spec.tunables[0].values[i], nr = spec.tunables[1].values[j],
                           kc = spec.tunables[2].values[k];
        if (mr * nr <= 256 && kc >= 16 * mr && 128 % mr == 0) expected.push_back({i, j, k});
      }
  CHECK(space.rows == expected);
  // The default (8, 64, 256) is not valid; one step from it are (4, ...) no: mr one down is 6, and 6 does not divide
  // 128.
  CHECK(variant_of(space, static_cast<std::size_t>(space.default_row)).tunables.at("nr") == 32);
}

TEST_CASE("a template that does not fit has no rows") {
  store::TemplateSpec spec = matmul_template();
  spec.anchor = "row";
  CHECK(enumerated(spec).rows.empty());
  spec = matmul_template();
  spec.dtypes = {"f64"};
  CHECK(enumerated(spec).rows.empty());
  spec = matmul_template();
  spec.cpu_features = {"avx512f"};
  CHECK(enumerated(spec).rows.empty());
  spec = matmul_template();
  spec.constraints = {"k > 1000"};
  CHECK(enumerated(spec).rows.empty());
  CHECK(enumerated(spec).default_row == -1);
}

TEST_CASE("a misspelt constraint is an error even when no row would reach it") {
  store::TemplateSpec spec = matmul_template();
  spec.constraints = {"0", "mrr > 1"};
  CHECK_THROWS_AS(enumerated(spec), Error);
}

TEST_CASE("a hundred thousand rows are enumerated at once") {
  store::TemplateSpec spec = matmul_template();
  spec.tunables.clear();
  for (const char* name : {"a", "b", "c", "d", "f"})
    spec.tunables.push_back({name, {1, 2, 3, 4, 5, 6, 7, 8, 9, 10}, 1, ""});
  spec.constraints = {"a + b + c + d + f > 0", "a * b <= 100"};
  CHECK(enumerated(spec).rows.size() == 100'000);
}

TEST_CASE("a learned constraint excludes where all of it holds") {
  const Variant v{"r", "matmul", "packed", "d", {{"mr", 8}, {"nr", 64}}};
  CHECK(excludes({"matmul", "packed", {{"mr", 8}}, ""}, v));
  CHECK(excludes({"matmul", "packed", {{"mr", 8}, {"nr", 64}}, ""}, v));
  CHECK_FALSE(excludes({"matmul", "packed", {{"mr", 8}, {"nr", 32}}, ""}, v));
  CHECK_FALSE(excludes({"matmul", "tiled", {{"mr", 8}}, ""}, v));
  CHECK_FALSE(excludes({"matmul", "packed", {{"kc", 8}}, ""}, v));
}
