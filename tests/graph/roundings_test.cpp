// Chains of roundings, counted by hand.
#include <doctest/doctest.h>

#include "agents/graph/roundings.h"
#include "tests/graph/build.h"

using namespace kiln::graph;
using kiln::graph::test::apply;

TEST_CASE("roundings add up along the longest path, and a sum counts its depth") {
  Graph g;
  const ValueId x = g.add_input("x", {DType::f32, {4, 64}});
  const ValueId w = g.add_input("w", {DType::f32, {64, 64}});
  const ValueId product = g.add_node(MatMul{false, false}, {x, w}, "product")[0];  // 6 sums deep, and the products
  g.outputs = {product};
  CHECK(longest_chain_of_roundings(g) == doctest::Approx(7));
  const ValueId twice = apply(g, ExprOp::add, product, product);
  const ValueId sum = g.add_node(Reduce{Monoid::sum, {1}, false}, {twice}, "sum")[0];
  g.outputs = {sum};
  CHECK(longest_chain_of_roundings(g) == doctest::Approx(7 + 1 + 7));
  g.outputs = {product, sum};
  CHECK(longest_chain_of_roundings(g) == doctest::Approx(15));
}

TEST_CASE("a product keeps the error of each of its multiplications") {
  Graph g;
  const ValueId x = g.add_input("x", {DType::f32, {4, 100}});
  g.outputs = {g.add_node(Reduce{Monoid::prod, {1}, false}, {x}, "product")[0]};
  CHECK(longest_chain_of_roundings(g) == doctest::Approx(99 + 1));
  g.outputs = {g.add_node(Scan{Monoid::prod, 1, false, false}, {x}, "running product")[0]};
  CHECK(longest_chain_of_roundings(g) == doctest::Approx(99));
}

TEST_CASE("moving elements rounds nothing") {
  Graph g;
  const ValueId x = g.add_input("x", {DType::f32, {4, 64}});
  g.outputs = {g.add_node(Transpose{{1, 0}}, {g.add_node(Reshape{{8, 32}}, {x}, "r")[0]}, "t")[0]};
  CHECK(longest_chain_of_roundings(g) == 0);
}
