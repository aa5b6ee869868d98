#include "agents/planner/memory.h"

#include <doctest/doctest.h>

#include "tests/graph/build.h"

using namespace kiln;
using namespace kiln::agents;
using namespace kiln::graph::test;

TEST_CASE("op by op, a result lives from its node to its last reader, through views, and outputs are the caller's") {
  graph::Graph g;
  const graph::ValueId x = g.add_input("x", {graph::DType::f32, {10, 25}});  // 1000 bytes each
  const graph::ValueId a = apply(g, graph::ExprOp::exp, x);
  const graph::ValueId b = apply(g, graph::ExprOp::neg, a);  // a and b
  const graph::ValueId view = g.add_node(graph::Reshape{{250}}, {a}, "view")[0];
  const graph::ValueId c = apply(g, graph::ExprOp::exp, b);  // a, which the view keeps, b and c
  const graph::ValueId flat = g.add_node(graph::Reshape{{250}}, {c}, "flat")[0];
  const graph::ValueId d = apply(g, graph::ExprOp::add, view, flat);  // a, c and d
  const graph::ValueId e = apply(g, graph::ExprOp::exp, d);           // d alone: e is the output
  g.outputs = {e};
  CHECK(eager_working_bytes(g) == 3000);
  g.outputs = {e, c};
  CHECK(eager_working_bytes(g) == 2000);  // c is the caller's
}

TEST_CASE("what a library allocates by itself is the plan's memory, of as many threads as have a task of the launch") {
  Plan plan;
  plan.threads = 4;
  plan.temporary_bytes = 1000;
  plan.run.resize(2);
  plan.run[0].tasks = 2;
  plan.run[0].library_bytes = 70;
  plan.run[1].tasks = 16;
  plan.run[1].library_bytes = 30;
  CHECK(library_bytes(plan.run[0], plan.threads) == 140);
  CHECK(library_bytes(plan.run[1], plan.threads) == 120);
  CHECK(memory_of(plan).working == 1140);
}

TEST_CASE("a plan's working memory is its arena and the largest scratch of every thread that has no place in it") {
  Plan plan;
  plan.threads = 3;
  plan.constants_bytes = 7;
  plan.prepared_bytes = 5;
  plan.temporary_bytes = 1000;
  plan.run.resize(3);
  plan.run[0].scratch_bytes = 10;
  plan.run[1].scratch_bytes = 100;
  plan.run[2].scratch_bytes = 500;
  plan.run[2].scratch_offset = 0;
  plan.prepare.resize(1);
  plan.prepare[0].scratch_bytes = 50;
  const PlanMemory memory = memory_of(plan);
  CHECK(memory.weights == 7);
  CHECK(memory.prepared == 5);
  CHECK(memory.working == 1300);
}
