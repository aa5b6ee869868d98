// Windows, scans and places of extrema.
#include "tests/cuda/collection.h"

namespace kiln::testing {

namespace {

graph::Steps steps(Shape strides, Shape dilations, Shape before, Shape after) {
  return {std::move(strides), std::move(dilations), std::move(before), std::move(after)};
}

}  // namespace

void add_windows(Collection& c) {
  const auto add = [&](const std::string& name, Shape shape, const graph::Window& window, DType type = DType::f32) {
    c.add(name, [&](Graph& g) { return add_node(g, window, {input(g, shape, type)}); });
  };
  add("max window over a line", {3, 2, 50}, {Monoid::max, {8}, steps({1}, {3}, {4}, {4}), {37}, false, false});
  add("max window over planes in f16", {2, 3, 17, 18},
      {Monoid::max, {4, 4}, steps({1, 1}, {1, 1}, {1, 1}, {1, 1}), {16, 17}, false, false}, DType::f16);
  add("max window over volumes, dilated", {2, 11, 12, 13},
      {Monoid::max, {3, 3, 3}, steps({2, 2, 2}, {3, 3, 3}, {1, 1, 1}, {1, 1, 1}), {4, 4, 5}, false, false});
  add("mean window that counts padding", {3, 21}, {Monoid::mean, {5}, steps({2}, {1}, {2}, {3}), {11}, true, false});
  add("mean window without padding in its count, in bf16", {2, 2, 14, 15},
      {Monoid::mean, {3, 3}, steps({2, 2}, {1, 1}, {1, 1}, {1, 1}), {7, 8}, false, false}, DType::bf16);
  add("mean window of large steps", {2, 23, 22},
      {Monoid::mean, {11, 11}, steps({11, 11}, {1, 1}, {0, 0}, {0, 0}), {2, 2}, true, false});
  add("sum window of integers", {2, 9, 10},
      {Monoid::sum, {2, 3}, steps({1, 2}, {2, 1}, {0, 1}, {0, 1}), {7, 5}, false, false}, DType::i32);
  add("min window of a transposed operand", {5, 40},
      {Monoid::min, {2, 2}, steps({2, 2}, {1, 1}, {0, 0}, {0, 0}), {2, 20}, false, false});
  c.add_outputs("places of maxima", [](Graph& g) {
    return g.add_node(graph::Window{Monoid::max, {3, 2}, steps({2, 1}, {1, 2}, {1, 1}, {0, 0}), {5, 11}, false, true},
                      {input(g, {2, 2, 10, 12})}, "test");
  });
}

void add_lines(Collection& c) {
  const auto scan = [&](const std::string& name, Shape shape, const graph::Scan& op, DType type = DType::f32) {
    c.add(name, [&](Graph& g) { return add_node(g, op, {input(g, shape, type)}); });
  };
  scan("running sum of rows", {5, 1000}, {Monoid::sum, 1, false, false});
  scan("running sum of an odd count", {3, 1003}, {Monoid::sum, 1, true, false});
  scan("running sum from the end in bf16", {4, 520}, {Monoid::sum, 1, false, true}, DType::bf16);
  scan("running sum over the middle", {3, 70, 20}, {Monoid::sum, 1, false, false});
  scan("running product from the end, exclusive", {2, 33, 9}, {Monoid::prod, 1, true, true}, DType::f64);
  scan("running maximum of small integers", {3, 100}, {Monoid::max, 1, false, false}, DType::i8);
  scan("running sum of one short line, exclusive", {1, 9}, {Monoid::sum, 1, true, false}, DType::i64);
  scan("running product of two over eight columns", {1, 2, 8}, {Monoid::prod, 1, false, false});
  c.add("running sum of masked rows", [](Graph& g) {
    const ValueId masked = pointwise(g, {input(g, {5, 1000}), input(g, {5, 1000}, DType::boolean)},
                                     [](Expr& e, const auto& in) {
                                       return e.apply(ExprOp::mul, in[0], e.cast(in[1], DType::f32));
                                     });
    return add_node(g, graph::Scan{Monoid::sum, 1, false, false}, {masked});
  });
  c.add("running sum from the end of rows by a weight, in bf16", [](Graph& g) {
    const ValueId x = input(g, {3, 520}, DType::bf16), weight = input(g, {3, 1}, DType::bf16);
    return add_node(g, graph::Scan{Monoid::sum, 1, true, true}, {binary(g, x, weight, ExprOp::mul)});
  });
  c.add("running maximum of a difference over the middle", [](Graph& g) {
    const ValueId x = input(g, {3, 70, 20}), y = input(g, {70, 20});
    return add_node(g, graph::Scan{Monoid::max, 1, false, false}, {binary(g, x, y, ExprOp::sub)});
  });
  c.add("running sum of columns of a transpose", [](Graph& g) {
    return add_node(g, graph::Scan{Monoid::sum, 1, false, false}, {add_transpose(g, input(g, {40, 12}), {1, 0})});
  });

  const auto arg = [&](const std::string& name, Shape shape, const graph::Arg& op, DType type = DType::f32) {
    c.add(name, [&](Graph& g) { return add_node(g, op, {input(g, shape, type)}); });
  };
  arg("place of the largest of rows", {6, 1000}, {true, 1, false, false});
  arg("place of the least of the middle", {3, 70, 37}, {false, 1, true, false});
  arg("last place of the largest of small integers", {5, 300}, {true, 1, false, true}, DType::i8);
  arg("last place of the least of the middle in f16", {2, 50, 40}, {false, 1, false, true}, DType::f16);
  const auto top = [&](const std::string& name, Shape shape, const graph::TopK& op, DType type = DType::f32) {
    c.add_outputs(name, [&](Graph& g) { return g.add_node(op, {input(g, shape, type)}, "test"); });
  };
  top("the five largest of rows", {7, 100}, {1, 5, true});
  top("columns sorted", {2, 130, 3}, {1, 130, false});
  top("the largest of small integers, which are often equal", {4, 700}, {1, 300, true}, DType::i8);
  top("the least of short rows in bf16", {50, 6}, {1, 2, false}, DType::bf16);
  arg("place of the largest of everything", {4099}, {true, 0, true, false});
}

}  // namespace kiln::testing
