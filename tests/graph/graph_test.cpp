#include "agents/graph/graph.h"

#include <doctest/doctest.h>

#include "runtime/base/error.h"
#include "tests/graph/build.h"

using namespace kiln;
using namespace kiln::graph;

namespace {

Shape inferred(const Op& op, std::vector<Shape> shapes, DType type = DType::f32) {
  std::vector<TensorType> types;
  for (auto& shape : shapes) types.push_back({type, shape});
  return infer_types(op, types)[0].shape;
}

}  // namespace

TEST_CASE("shapes of products, attention and views") {
  CHECK(inferred(MatMul{false, false}, {{5, 1, 2, 3}, {4, 3, 7}}) == Shape{5, 4, 2, 7});
  CHECK(inferred(MatMul{true, true}, {{3, 2}, {7, 3}}) == Shape{2, 7});
  CHECK_THROWS_AS((void)inferred(MatMul{false, false}, {{2, 3}, {2, 3}}), Error);
  CHECK(inferred(Attention{1, false}, {{8, 12, 5, 64}, {8, 12, 9, 64}, {8, 12, 9, 32}, {8, 1, 1, 9}}) ==
        Shape{8, 12, 5, 32});
  CHECK_THROWS_AS((void)inferred(Attention{1, false}, {{5, 64}, {9, 64}, {8, 64}}), Error);
  CHECK_THROWS_AS((void)inferred(Attention{1, false}, {{5, 64}, {9, 64}, {9, 64}, {2, 5, 9}}), Error);
  CHECK(inferred(Transpose{{2, 0, 1}}, {{4, 5, 6}}) == Shape{6, 4, 5});
  CHECK_THROWS_AS((void)inferred(Transpose{{0, 0}}, {{4, 5}}), Error);
  CHECK(inferred(Reduce{Monoid::sum, {1}, false}, {{4, 5, 6}}) == Shape{4, 6});
  CHECK(inferred(Reduce{Monoid::sum, {0, 2}, true}, {{4, 5, 6}}) == Shape{1, 5, 1});
  CHECK_THROWS_AS((void)inferred(Reduce{Monoid::sum, {1, 1}, true}, {{4, 5}}), Error);
  CHECK(inferred(Concat{1}, {{2, 3}, {2, 4}}) == Shape{2, 7});
  CHECK_THROWS_AS((void)inferred(Reshape{{7}}, {{2, 3}}), Error);
  CHECK_THROWS_AS((void)inferred(Expand{{3}}, {{2}}), Error);
}

TEST_CASE("a slice stays inside its input, also where products would overflow") {
  CHECK(inferred(Slice{{9}, {5}, {-2}}, {{10}}) == Shape{5});
  CHECK_THROWS_AS((void)inferred(Slice{{9}, {6}, {-2}}, {{10}}), Error);
  CHECK_THROWS_AS((void)inferred(Slice{{0}, {3}, {INT64_MAX}}, {{10}}), Error);
  CHECK_THROWS_AS((void)inferred(Slice{{9}, {3}, {INT64_MIN}}, {{10}}), Error);
  CHECK_THROWS_AS((void)inferred(Slice{{0}, {3}, {0}}, {{10}}), Error);
}

TEST_CASE("validate finds each broken invariant") {
  Graph good;
  const ValueId x = good.add_input("x", {DType::f32, {2, 3}});
  const ValueId y = test::apply(good, ExprOp::exp, x);
  good.outputs = {test::apply(good, ExprOp::add, y, x)};
  CHECK_NOTHROW(validate(good));

  SUBCASE("order") { std::swap(good.nodes[0], good.nodes[1]); }
  SUBCASE("type") { good.values[static_cast<std::size_t>(y)].type.shape = {3, 2}; }
  SUBCASE("two sources") { good.nodes[1].outputs = {y}; }
  SUBCASE("an input that is made") { good.inputs.push_back(y); }
  SUBCASE("an unknown value") { good.nodes[0].inputs = {77}; }
  SUBCASE("a negative value") { good.outputs = {-1}; }
  SUBCASE("two outputs of one name") { good.outputs = {y, y}; }
  SUBCASE("constants that are not parallel") { good.constants.pop_back(); }
  SUBCASE("a row reduction") {
    std::get<Pointwise>(good.nodes[0].op).expr.nodes.back().op = ExprOp::row_sum;
  }
  CHECK_THROWS_AS(validate(good), Error);
}

TEST_CASE("an error of add_node names the origin") {
  Graph g;
  const ValueId x = g.add_input("x", {DType::f32, {2, 3}});
  CHECK_THROWS_WITH_AS((void)g.add_node(MatMul{false, false}, {x, x}, "/layer/MatMul"),
                       doctest::Contains("/layer/MatMul"), Error);
}

TEST_CASE("domains flow from a gather through casts and views to the inputs") {
  Graph g;
  const ValueId ids = g.add_input("ids", {DType::i32, {2, 4}});
  const ValueId mask = g.add_input("mask", {DType::i64, {2, 4}});
  (void)g.add_input("x", {DType::f32, {2, 4}});
  const ValueId table = g.add_constant("table", test::random_floats({30, 8}, 1));
  const ValueId small = g.add_constant("small", test::random_floats({7, 8}, 1));
  Expr e;
  e.results = {e.cast(e.operand(0, DType::i32), DType::i64)};
  const ValueId wide = g.add_node(Pointwise{e}, {ids}, "cast")[0];
  const ValueId flat = g.add_node(Reshape{{8}}, {wide}, "flat")[0];
  g.outputs = {g.add_node(Gather{0}, {table, flat}, "a")[0], g.add_node(Gather{0}, {small, flat}, "b")[0]};
  const auto domains = input_domains(g);
  REQUIRE(domains[0]);
  CHECK(domains[0]->low == 0);
  CHECK(domains[0]->high == 6);
  CHECK(domains[1]->high == 1);
  CHECK_FALSE(domains[2]);
  (void)mask;
}

TEST_CASE("equal nodes of an expression are shared, and inlining replaces operands") {
  Expr square;
  const auto x = square.operand(0, DType::f32);
  square.results = {square.apply(ExprOp::mul, x, x)};
  CHECK(square.apply(ExprOp::mul, x, x) == square.results[0]);
  Expr outer;
  const auto sum = outer.apply(ExprOp::add, outer.operand(0, DType::f32), outer.operand(1, DType::f32));
  outer.results = inline_expr(outer, square, {sum});
  CHECK(to_string(outer) == "(a + b) * (a + b)");
  CHECK(outer.nodes.size() == 4);
  for (int op = 0; op <= static_cast<int>(ExprOp::row_prod); ++op)
    CHECK(expr_op_from_name(name(static_cast<ExprOp>(op))) == static_cast<ExprOp>(op));
}
