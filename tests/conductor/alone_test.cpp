#include "agents/conductor/alone.h"

#include <doctest/doctest.h>

#include <algorithm>

#include "agents/graph/rewrite/rewrite.h"
#include "agents/planner/planner.h"

using namespace kiln;
using namespace kiln::agents;
using graph::DType;
using graph::ExprOp;
using graph::Graph;
using graph::Monoid;
using graph::ValueId;

namespace {

ValueId binary(Graph& g, ExprOp op, ValueId a, ValueId b) {
  graph::Pointwise p;
  const std::int32_t x = p.expr.operand(0, DType::f32), y = p.expr.operand(1, DType::f32);
  p.expr.results = {p.expr.apply(op, x, y)};
  return g.add_node(p, {a, b}, "test")[0];
}

// x less the mean of its channels, over their deviation; and the statistics.
Graph batch_norm() {
  Graph g;
  const ValueId x = g.add_input("x", {DType::f32, {3, 2, 4, 5}});
  const auto mean_of = [&](ValueId v) {
    return g.add_node(graph::Reduce{Monoid::mean, {0, 2, 3}, true}, {v}, "test")[0];
  };
  const ValueId mean = mean_of(x), centred = binary(g, ExprOp::sub, x, mean);
  const ValueId variance = mean_of(binary(g, ExprOp::mul, centred, centred));
  g.outputs = {binary(g, ExprOp::div, centred, variance), variance, mean};
  graph::validate(g);
  return g;
}

}  // namespace

TEST_CASE("every region of a batch norm in training is itself when it stands alone") {
  Graph g = batch_norm();
  std::vector<std::string> log;
  graph::rewrite::separate(g, log);
  const Partition partition = partition_fused(g);
  std::size_t reads_x = 0;
  for (const RegionInstance& instance : partition.instances) {
    const Region& region = partition.regions[static_cast<std::size_t>(instance.region)];
    INFO(region.label);
    CHECK(whole_region(standalone(region, 1), region).regions[0].key == region.key);
    reads_x += static_cast<std::size_t>(std::count(instance.inputs.begin(), instance.inputs.end(), g.inputs[0]));
  }
  CHECK(reads_x == 2);  // for the statistics, and for the result
}

TEST_CASE("the outputs of a region stand in its own order when it stands alone") {
  Graph g;
  const ValueId x = g.add_input("x", {DType::f32, {4, 6}});
  const ValueId sum = binary(g, ExprOp::add, x, x), product = binary(g, ExprOp::mul, sum, x);
  g.outputs = {sum, product};
  const Region region = cut_region(g, {0, 1}, {product, sum}).region;
  CHECK(whole_region(standalone(region, 1), region).regions[0].key == region.key);
}
