// MatMul and Gemm.
#include "agents/graph/onnx/lowering.h"

namespace kiln::graph::onnx {
namespace {

using Outputs = std::vector<ValueId>;

Outputs matmul(const Call& call) { return {matrix_product(call, call.in(0), call.in(1))}; }

ValueId scaled(const Call& call, ValueId x, double factor) {
  return factor == 1 ? x : call.apply(ExprOp::mul, x, call.scalar(factor, call.type(x).dtype));
}

Outputs gemm(const Call& call) {
  const MatMul op{call.get_int("transA", 0) != 0, call.get_int("transB", 0) != 0};
  for (std::size_t i = 0; i < 2; ++i)
    if (call.type(call.in(i)).shape.size() != 2) malformed("its input " + std::to_string(i) + " is no matrix");
  const ValueId product = scaled(call, call.add(op, {call.in(0), call.in(1)}), call.get_float("alpha", 1));
  if (!call.has(2)) return {product};
  const ValueId sum = call.apply(ExprOp::add, product, scaled(call, call.in(2), call.get_float("beta", 1)));
  if (call.type(sum) != call.type(product)) malformed("its third input does not broadcast to the product");
  return {sum};
}

}  // namespace

ValueId matrix_product(const Call& call, ValueId a, ValueId b) {
  const bool row = call.type(a).shape.size() == 1, column = call.type(b).shape.size() == 1;
  if (row) a = call.reshape(a, {1, call.type(a).shape[0]});
  if (column) b = call.reshape(b, {call.type(b).shape[0], 1});
  const ValueId product = call.add(MatMul{false, false}, {a, b});
  Shape shape = call.type(product).shape;
  if (column) shape.pop_back();
  if (row) shape.erase(shape.end() - (column ? 1 : 2));
  return call.reshape(product, shape);
}

std::vector<OperatorRow> product_operators() { return {{"MatMul", matmul}, {"Gemm", gemm}}; }

}  // namespace kiln::graph::onnx
