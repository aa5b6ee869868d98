// Chains between products and convolutions: how few kernels compute them, and how little they move.
#include <doctest/doctest.h>

#include "agents/graph/rewrite/rewrite.h"
#include "tests/planner/checked_plan.h"
#include "tests/planner/models.h"

using namespace kiln;
using namespace kiln::agents;
using graph::Monoid;
using graph::ValueId;
using machine::check_plan;

namespace {

std::vector<std::string> anchors(const Partition& p) {
  std::vector<std::string> out;
  for (const RegionInstance& i : p.instances)
    out.emplace_back(anchor(*lower(p.regions[static_cast<std::size_t>(i.region)])));
  return out;
}

// As of a target whose rows have one dimension each.
bool plain_rows(const Kernel& kernel) {
  const auto* row = std::get_if<RowKernel>(&kernel);
  return row == nullptr || row->along.empty();
}

Partition separated(graph::Graph& g, const Buildable& buildable = any_kernel) {
  std::vector<std::string> log;
  graph::rewrite::separate(g, log);
  return partition_fused(g, buildable);
}

ValueId group_norm(bodies::Builder& b, ValueId x) {  // [2, 3, 4, 5, 6] to [2, 12, 5, 6]
  const ValueId norm = b.add(graph::LayerNorm{2, 1e-5}, {x, models::weight(b, {3, 4, 1, 1}),
                                                         models::weight(b, {3, 4, 1, 1})});
  return b.reshape(norm, {2, 12, 5, 6});
}

ValueId pooled(bodies::Builder& b, ValueId x, Monoid monoid, std::int64_t kernel, std::int64_t stride) {
  const graph::Shape shape = b.shape(x);
  const std::size_t rank = shape.size();
  const auto results = [&](std::size_t d) { return (shape[d] - kernel) / stride + 1; };
  return b.add(graph::Window{monoid, {kernel, kernel}, {{stride, stride}, {1, 1}, {0, 0}, {0, 0}},
                             {results(rank - 2), results(rank - 1)}, false, false},
               {x});
}

}  // namespace

TEST_CASE("a group norm scaled per channel is one kernel with what follows it, where rows may have two dimensions") {
  bodies::Builder b(1);
  b.g.outputs = {models::gelu(b, group_norm(b, b.input({2, 3, 4, 5, 6})))};
  const Partition p = separated(b.g);
  CHECK(anchors(p) == std::vector<std::string>{"row"});
  (void)check_plan(b.g, p, 1);
}

TEST_CASE("a group norm scaled per channel reads x once for its statistics, and its scale joins what follows") {
  bodies::Builder b(1);
  const ValueId x = b.input({2, 3, 4, 5, 6});
  b.g.outputs = {models::gelu(b, group_norm(b, x))};
  const Partition p = separated(b.g, plain_rows);
  REQUIRE(anchors(p) == std::vector<std::string>{"row", "pointwise"});
  CHECK(p.instances[0].inputs == std::vector<ValueId>{x});
  for (const ValueId v : p.instances[0].outputs) CHECK(graph::element_count(b.g.type(v).shape) == 6);
  (void)check_plan(b.g, p, 1);
}

TEST_CASE("what follows a group norm stays with its last pass, whatever reduces it across the groups") {
  const auto graph_of = [](bodies::Builder& b) {
    const ValueId x = b.input({2, 3, 4, 5, 6});
    const ValueId active = models::gelu(b, group_norm(b, x));
    const ValueId sum = models::binary(b, graph::ExprOp::add, b.reshape(x, {2, 12, 5, 6}), active);
    b.g.outputs = {b.add(graph::Reduce{Monoid::log_sum_exp, {1}, true}, {sum})};
  };
  bodies::Builder b(1);
  graph_of(b);
  const Partition p = separated(b.g);
  REQUIRE(anchors(p) == std::vector<std::string>{"row", "row"});  // x twice, and no other value of its size
  for (const ValueId v : p.instances[0].outputs) CHECK(graph::element_count(b.g.type(v).shape) == 6);
  (void)check_plan(b.g, p, 1);
  bodies::Builder plain(1);
  graph_of(plain);
  const Partition apart = separated(plain.g, plain_rows);
  REQUIRE(apart.instances.size() == 3);
  CHECK(apart.instances[2].inputs == apart.instances[1].outputs);  // nothing but the sum is written between
  (void)check_plan(plain.g, apart, 1);
}

namespace {

// The mean of x and of the squares about it over `axes`, and x less the mean over the root of the latter.
ValueId normalised(bodies::Builder& b, ValueId x, const std::vector<std::int32_t>& axes) {
  const ValueId mean = b.add(graph::Reduce{Monoid::mean, axes, true}, {x});
  const ValueId centred = models::binary(b, graph::ExprOp::sub, x, mean);
  const ValueId squares = models::binary(b, graph::ExprOp::mul, centred, centred);
  const ValueId variance = b.add(graph::Reduce{Monoid::mean, axes, true}, {squares});
  graph::Pointwise p;
  const auto var = p.expr.operand(1, graph::DType::f32);
  const auto moved = p.expr.apply(graph::ExprOp::add, var, p.expr.constant(1e-5, graph::DType::f32));
  p.expr.results = {p.expr.apply(graph::ExprOp::div, p.expr.operand(0, graph::DType::f32),
                                 p.expr.apply(graph::ExprOp::sqrt, moved))};
  return b.add(std::move(p), {centred, variance});
}

ValueId convolved(bodies::Builder& b, ValueId x, std::int64_t channels) {
  const graph::Shape no(2, 0), one(2, 1);
  return b.add(graph::Convolution{{one, one, no, no}, 1, false, no},
               {x, models::weight(b, {channels, b.shape(x)[1], 3, 3})});
}

// As of a target whose products and convolutions do not sum their results up.
bool without_statistics(const Kernel& kernel) { return statistics_of(kernel) == nullptr; }

}  // namespace

TEST_CASE("a batch norm's statistics are the convolution's before it, and one kernel reads its result") {
  bodies::Builder b(1);
  const ValueId y = models::gelu(b, convolved(b, b.input({3, 4, 9, 8}), 6));
  b.g.outputs = {models::gelu(b, normalised(b, y, {0, 2, 3}))};
  const Partition p = separated(b.g);
  REQUIRE(anchors(p) == std::vector<std::string>{"convolution", "row", "pointwise"});
  const Kernel led = *lower(p.regions[static_cast<std::size_t>(p.instances[0].region)]);
  REQUIRE(statistics_of(led) != nullptr);
  CHECK(statistics_of(led)->rows.length == 7 * 6);
  for (const ValueId v : p.instances[1].inputs) CHECK(graph::element_count(b.g.type(v).shape) <= 18);
  (void)check_plan(b.g, p, 1);
  const Partition apart = separated(b.g, without_statistics);
  CHECK(anchors(apart) == std::vector<std::string>{"convolution", "row", "row", "pointwise"});
  (void)check_plan(b.g, apart, 1);
}

TEST_CASE("the mean of a convolution's channels is its own, and what it is of is never written") {
  bodies::Builder b(1);
  const ValueId y = models::gelu(b, convolved(b, b.input({3, 4, 9, 8}), 6));
  b.g.outputs = {models::gelu(b, b.add(graph::Reduce{Monoid::mean, {2, 3}, true}, {y}))};
  const Partition p = separated(b.g);
  REQUIRE(anchors(p) == std::vector<std::string>{"convolution"});
  CHECK(std::get<ConvolutionKernel>(*lower(p.regions[0])).writes.empty());
  (void)check_plan(b.g, p, 1);
}

TEST_CASE("the statistics of a product's columns are the product's, those of its rows are not") {
  bodies::Builder b(1);
  const ValueId normal = normalised(b, models::linear(b, b.input({10, 8}), 6), {0});
  b.g.outputs = {b.add(graph::Softmax{1, false}, {normal})};
  const Partition columns = separated(b.g);
  CHECK(anchors(columns) == std::vector<std::string>{"matmul", "row"});
  (void)check_plan(b.g, columns, 1);
  bodies::Builder of_rows(1);
  of_rows.g.outputs = {normalised(of_rows, models::linear(of_rows, of_rows.input({10, 8}), 6), {1})};
  const Partition rows = separated(of_rows.g);
  CHECK(anchors(rows) == std::vector<std::string>{"matmul", "row"});
  (void)check_plan(of_rows.g, rows, 1);
}

TEST_CASE("a window takes what it reads and what reads it into one kernel") {
  bodies::Builder b(1);
  const ValueId x = b.input({2, 6, 8, 10});
  b.g.outputs = {models::gelu(b, pooled(b, models::gelu(b, x), Monoid::max, 2, 2))};
  const Partition p = partition_fused(b.g);
  CHECK(anchors(p) == std::vector<std::string>{"pointwise"});
  (void)check_plan(b.g, p, 1);
}

TEST_CASE("a mean over windows reads what the windows read, and nothing lies between") {
  bodies::Builder b(1);
  const ValueId y = models::gelu(b, pooled(b, b.input({2, 6, 8, 12}), Monoid::max, 2, 2));
  b.g.outputs = {models::gelu(b, b.add(graph::Reduce{Monoid::mean, {2, 3}, true}, {y}))};
  const Partition p = partition_fused(b.g);
  CHECK(anchors(p) == std::vector<std::string>{"row"});
  (void)check_plan(b.g, p, 1);
}

TEST_CASE("windows across the rows of a softmax are read in its kernel, windows along them are not") {
  for (const std::int32_t axis : {1, 3}) {
    bodies::Builder b(1);
    const ValueId y = b.add(graph::Softmax{axis, false}, {models::gelu(b, b.input({2, 6, 8, 12}))});
    b.g.outputs = {models::gelu(b, pooled(b, y, Monoid::max, 2, 2))};
    const Partition p = partition_fused(b.g);
    CHECK(anchors(p) == (axis == 1 ? std::vector<std::string>{"row"} : std::vector<std::string>{"row", "pointwise"}));
    (void)check_plan(b.g, p, 1);
  }
}

TEST_CASE("windows across more rows of a softmax than registers hold stay a kernel of their own") {
  bodies::Builder b(1);
  b.g.outputs = {pooled(b, b.add(graph::Softmax{1, false}, {b.input({2, 6, 8, 12})}), Monoid::max, 4, 4)};
  const Partition p = partition_fused(b.g);
  CHECK(anchors(p) == std::vector<std::string>{"row", "window"});
  (void)check_plan(b.g, p, 1);
}

TEST_CASE("windows alone, or such as share much, stay kernels of their own") {
  bodies::Builder b(1);
  const ValueId product = b.add(graph::MatMul{false, false}, {b.input({2, 8, 8}), models::weight(b, {8, 9})});
  b.g.outputs = {pooled(b, product, Monoid::mean, 2, 2)};
  CHECK(anchors(partition_fused(b.g)) == std::vector<std::string>{"matmul", "window"});
  bodies::Builder shared(1);
  shared.g.outputs = {models::gelu(shared, pooled(shared, shared.input({2, 9, 9}), Monoid::max, 3, 1))};
  CHECK(anchors(partition_fused(shared.g)) == std::vector<std::string>{"window", "pointwise"});
}
