// Reductions of one element are that element: each against the graph as it was written.
#include <doctest/doctest.h>

#include <cmath>
#include <limits>

#include "tests/graph/proof.h"

using namespace kiln;
using namespace kiln::graph;
using namespace kiln::graph::test;

namespace {

std::vector<Tensor> with_infinities(const Shape& shape) {
  std::vector<Tensor> out = awkward(shape);
  out.push_back(random_floats(shape, 9));
  const float special[] = {INFINITY, -INFINITY, NAN, -0.0f, std::numeric_limits<float>::max()};
  for (std::size_t i = 0; i < std::size(special); ++i) out.back().as<float>()[i] = special[i];
  return out;
}

}  // namespace

TEST_CASE("single_elements: a reduction over dimensions of one element is its operand") {
  for (const Monoid monoid :
       {Monoid::sum, Monoid::mean, Monoid::max, Monoid::min, Monoid::prod, Monoid::log_sum_exp})
    for (const bool keep : {true, false}) {
      Graph g;
      const ValueId x = g.add_input("x", {DType::f32, {4, 1, 6, 1}});
      g.outputs = {apply(g, ExprOp::neg, g.add_node(Reduce{monoid, {1, 3}, keep}, {x}, "one")[0])};
      const Proof proof = simplified(g);
      CAPTURE(static_cast<int>(monoid));
      CHECK(count<Reduce>(proof.after) == 0);
      CHECK(logged(proof.log, "single_elements: one"));
      CHECK(proof.after.type(proof.after.outputs[0]) == g.type(g.outputs[0]));
      CHECK(disagreement(proof, with_infinities({4, 1, 6, 1})) == 0);
    }
}

TEST_CASE("single_elements: chains of reductions end with the first") {
  Graph g;
  ValueId v = g.add_input("x", {DType::f32, {8, 12}});
  for (const Monoid monoid : {Monoid::sum, Monoid::max, Monoid::mean, Monoid::log_sum_exp, Monoid::log_sum_exp})
    v = g.add_node(Reduce{monoid, {1}, true}, {v}, "reduce")[0];
  g.outputs = {v};
  const Proof proof = simplified(g);
  CHECK(proof.after.nodes.size() == 1);
  CHECK(disagreement(proof, with_infinities({8, 12})) == 0);
}

TEST_CASE("single_elements: softmax, scans and windows of one element") {
  for (const bool log : {false, true}) {
    Graph g;
    g.outputs = g.add_node(Softmax{1, log}, {g.add_input("x", {DType::f32, {6, 1, 2}})}, "one");
    const Proof proof = simplified(g);
    CHECK(count<Softmax>(proof.after) == 0);
    CHECK(disagreement(proof, with_infinities({6, 1, 2})) == 0);
  }
  Graph scan;
  scan.outputs = {apply(scan, ExprOp::neg,
                        scan.add_node(Scan{Monoid::sum, 1, false, true},
                                      {scan.add_input("x", {DType::f32, {6, 1}})}, "one")[0])};
  CHECK(count<Scan>(simplified(scan).after) == 0);
  CHECK(disagreement(simplified(scan), with_infinities({6, 1})) == 0);
  Graph window;
  const Window one{Monoid::mean, {1, 1}, {{1, 1}, {1, 1}, {0, 0}, {0, 0}}, {3, 4}, false, false};
  window.outputs = {apply(window, ExprOp::neg,
                          window.add_node(one, {window.add_input("x", {DType::f32, {2, 3, 4}})}, "one")[0])};
  CHECK(count<Window>(simplified(window).after) == 0);
  CHECK(disagreement(simplified(window), with_infinities({2, 3, 4})) == 0);
}

TEST_CASE("single_elements: what moves, leaves out or begins with nothing stays") {
  Graph g;
  const ValueId x = g.add_input("x", {DType::f32, {2, 1, 4}});
  const Window every_other{Monoid::max, {1}, {{2}, {1}, {0}, {0}}, {2}, false, false};
  g.outputs = {g.add_node(Scan{Monoid::sum, 1, true, false}, {x}, "exclusive")[0],
               g.add_node(every_other, {x}, "strided")[0],
               g.add_node(Reduce{Monoid::sum, {1, 2}, true}, {x}, "row")[0]};
  const Proof proof = simplified(g);
  CHECK(count<Scan>(proof.after) == 1);
  CHECK(count<Window>(proof.after) == 1);
  CHECK(count<Reduce>(proof.after) == 1);
}
