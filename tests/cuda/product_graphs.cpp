// Graphs of products with few rows or columns, and with few results of long sums.
#include "tests/cuda/collection.h"

namespace kiln::testing {
namespace {

ValueId product(Graph& g, const graph::MatMul& op, Shape a, Shape b, DType type = DType::f32) {
  const ValueId of_a = input(g, std::move(a), type);
  return add_node(g, op, {of_a, input(g, std::move(b), type)});
}

}  // namespace

void add_streamed_products(Collection& c) {
  c.add("matrix by a column", [](Graph& g) { return product(g, {false, false}, {37, 2056}, {2056, 1}); });
  c.add("matrix by five columns, vectors of one", [](Graph& g) {
    return unary(g, product(g, {false, false}, {50, 515}, {515, 5}), ExprOp::tanh);
  });
  c.add("row by rows of weights in bf16, with bias and gelu", [](Graph& g) {
    const ValueId y = product(g, {false, true}, {1, 1032}, {45, 1032}, DType::bf16);
    return gelu(g, binary(g, y, input(g, {45}, DType::bf16), ExprOp::add));
  });
  c.add("sixteen rows by rows of weights in f16", [](Graph& g) {
    return product(g, {false, true}, {16, 264}, {70, 264}, DType::f16);
  });
  c.add("row by columns of weights in bf16", [](Graph& g) {
    return product(g, {false, false}, {1, 515}, {515, 264}, DType::bf16);
  });
  c.add("five rows by columns of weights, with silu", [](Graph& g) {
    return silu(g, product(g, {false, false}, {5, 130}, {130, 75}));
  });
  c.add("transposed matrix by three columns in f16", [](Graph& g) {
    return product(g, {true, true}, {2, 140, 72}, {2, 3, 140}, DType::f16);
  });
  c.add("few results of a long sum", [](Graph& g) {
    return unary(g, product(g, {false, false}, {40, 1100}, {1100, 36}), ExprOp::tanh);
  });
  c.add("few results of a long sum, transposed in bf16", [](Graph& g) {
    return product(g, {true, true}, {2, 1027, 33}, {2, 47, 1027}, DType::bf16);
  });
  c.add("rows of weights in bf16 by nine columns", [](Graph& g) {
    const ValueId y = product(g, {false, true}, {2, 75, 520}, {2, 9, 520}, DType::bf16);
    return binary(g, y, input(g, {75, 1}, DType::bf16), ExprOp::add);
  });
  c.add("queries by keys that heads share", [](Graph& g) {
    return product(g, {false, true}, {2, 3, 2, 72}, {2, 1, 39, 72});
  });
}

}  // namespace kiln::testing
