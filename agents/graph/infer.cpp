// Output types of each kind of node; the one place that says what its inputs must be.
#include <algorithm>

#include "agents/graph/infer.h"
#include "runtime/base/error.h"

namespace kiln::graph {
namespace inference {

void fail(const std::string& cause) { throw Error(ErrorCode::invalid_input, cause); }

void need(bool condition, const char* cause) {
  if (!condition) fail(cause);
}

std::size_t checked_axis(std::int32_t axis, const TensorType& type) {
  if (axis < 0 || static_cast<std::size_t>(axis) >= type.shape.size())
    fail("axis " + std::to_string(axis) + " is outside the shape " + to_string(type.shape));
  return static_cast<std::size_t>(axis);
}

namespace {

std::size_t rank(const TensorType& type) { return type.shape.size(); }

Shape leading(const Shape& shape) { return {shape.begin(), shape.end() - 2}; }

}  // namespace

Types infer(const Pointwise& op, const Types& inputs) {
  validate(op.expr, false);
  need(!op.expr.results.empty(), "a pointwise node needs at least one result");
  Shape shape;
  for (const TensorType& input : inputs) shape = broadcast(shape, input.shape);
  for (const ExprNode& node : op.expr.nodes) {
    if (node.op != ExprOp::operand) continue;
    need(static_cast<std::size_t>(node.operand) < inputs.size(), "the expression names an operand that is no input");
    need(inputs[static_cast<std::size_t>(node.operand)].dtype == node.type,
         "an operand's type is not that of its input");
  }
  Types out;
  for (const std::int32_t result : op.expr.results)
    out.push_back({op.expr.nodes[static_cast<std::size_t>(result)].type, shape});
  return out;
}

Types infer(const Reduce& op, const Types& inputs) {
  need(inputs.size() == 1, "a reduction takes one input");
  need(inputs[0].dtype != DType::boolean, "a reduction of booleans is not defined");
  need(op.monoid != Monoid::log_sum_exp || is_float(inputs[0].dtype), "a log-sum-exp takes a floating-point input");
  std::vector<bool> reduced(rank(inputs[0]), false);
  for (const std::int32_t axis : op.axes) {
    const std::size_t a = checked_axis(axis, inputs[0]);
    need(!reduced[a], "an axis of a reduction stands twice");
    reduced[a] = true;
  }
  Shape shape;
  for (std::size_t i = 0; i < reduced.size(); ++i) {
    if (!reduced[i]) shape.push_back(inputs[0].shape[i]);
    if (reduced[i] && op.keep_dims) shape.push_back(1);
  }
  return {{inputs[0].dtype, shape}};
}

Types infer(const Softmax& op, const Types& inputs) {
  need(inputs.size() == 1 && is_float(inputs[0].dtype), "softmax takes one floating-point input");
  (void)checked_axis(op.axis, inputs[0]);
  return {inputs[0]};
}

Types infer(const LayerNorm& op, const Types& inputs) {
  need(inputs.size() == 2 || inputs.size() == 3, "layer normalisation takes x, scale and optionally bias");
  need(is_float(inputs[0].dtype), "layer normalisation takes floating-point inputs");
  (void)checked_axis(op.axis, inputs[0]);
  for (std::size_t i = 1; i < inputs.size(); ++i) {
    need(inputs[i].dtype == inputs[0].dtype, "scale and bias must have the type of x");
    need(broadcast(inputs[0].shape, inputs[i].shape) == inputs[0].shape, "scale and bias must broadcast to x");
  }
  return {inputs[0]};
}

Types infer(const MatMul& op, const Types& inputs) {
  need(inputs.size() == 2, "a matrix product takes two inputs");
  const TensorType& a = inputs[0];
  const TensorType& b = inputs[1];
  need(rank(a) >= 2 && rank(b) >= 2, "a matrix product needs two dimensions on both sides");
  const bool bytes = is_integer(a.dtype) && is_integer(b.dtype) && size_of(a.dtype) == 1 && size_of(b.dtype) == 1;
  need(bytes || (a.dtype == b.dtype && a.dtype != DType::boolean),
       "a matrix product needs one numeric type on both sides, or integers of 8 bits");
  const std::int64_t m = a.shape[rank(a) - (op.transpose_a ? 1 : 2)];
  const std::int64_t k = a.shape[rank(a) - (op.transpose_a ? 2 : 1)];
  const std::int64_t k2 = b.shape[rank(b) - (op.transpose_b ? 1 : 2)];
  const std::int64_t n = b.shape[rank(b) - (op.transpose_b ? 2 : 1)];
  if (k != k2)
    fail("inner extents " + std::to_string(k) + " and " + std::to_string(k2) + " of a matrix product differ");
  Shape shape = broadcast(leading(a.shape), leading(b.shape));
  shape.push_back(m);
  shape.push_back(n);
  return {{bytes ? DType::i32 : a.dtype, shape}};
}

Types infer(const Attention&, const Types& inputs) {
  need(inputs.size() == 3 || inputs.size() == 4, "attention takes q, k, v and optionally a mask");
  for (const TensorType& input : inputs)
    need(input.dtype == inputs[0].dtype && is_float(input.dtype), "attention needs one floating-point type");
  for (std::size_t i = 0; i < 3; ++i) need(rank(inputs[i]) >= 2, "attention needs at least two dimensions");
  const Shape& q = inputs[0].shape;
  const Shape& k = inputs[1].shape;
  const Shape& v = inputs[2].shape;
  need(q.back() == k.back(), "q and k of attention differ in their last extent");
  need(k[k.size() - 2] == v[v.size() - 2], "k and v of attention differ in length");
  Shape shape = broadcast(broadcast(leading(q), leading(k)), leading(v));
  shape.push_back(q[q.size() - 2]);
  Shape scores = shape;
  scores.push_back(k[k.size() - 2]);
  if (inputs.size() == 4)
    need(broadcast(scores, inputs[3].shape) == scores, "the mask does not broadcast to the scores");
  shape.push_back(v.back());
  return {{inputs[0].dtype, shape}};
}

Types infer(const Gather& op, const Types& inputs) {
  need(inputs.size() == 2 && is_integer(inputs[1].dtype), "a gather takes data and integer indices");
  const std::size_t axis = checked_axis(op.axis, inputs[0]);
  Shape shape(inputs[0].shape.begin(), inputs[0].shape.begin() + static_cast<std::ptrdiff_t>(axis));
  shape.insert(shape.end(), inputs[1].shape.begin(), inputs[1].shape.end());
  shape.insert(shape.end(), inputs[0].shape.begin() + static_cast<std::ptrdiff_t>(axis) + 1, inputs[0].shape.end());
  return {{inputs[0].dtype, shape}};
}

Types infer(const Reshape& op, const Types& inputs) {
  need(inputs.size() == 1, "a reshape takes one input");
  if (element_count(op.shape) != element_count(inputs[0].shape))
    fail("a reshape from " + to_string(inputs[0].shape) + " to " + to_string(op.shape) +
         " changes the number of elements");
  return {{inputs[0].dtype, op.shape}};
}

Types infer(const Transpose& op, const Types& inputs) {
  need(inputs.size() == 1 && op.permutation.size() == rank(inputs[0]), "a permutation needs one entry per dimension");
  std::vector<bool> seen(rank(inputs[0]), false);
  Shape shape;
  for (const std::int32_t axis : op.permutation) {
    const std::size_t a = checked_axis(axis, inputs[0]);
    need(!seen[a], "a permutation names a dimension twice");
    seen[a] = true;
    shape.push_back(inputs[0].shape[a]);
  }
  return {{inputs[0].dtype, shape}};
}

Types infer(const Slice& op, const Types& inputs) {
  need(inputs.size() == 1, "a slice takes one input");
  const Shape& in = inputs[0].shape;
  need(op.starts.size() == in.size() && op.extents.size() == in.size() && op.steps.size() == in.size(),
       "a slice needs one start, extent and step per dimension");
  for (std::size_t i = 0; i < in.size(); ++i) {
    need(op.steps[i] != 0 && op.extents[i] >= 0, "a slice needs nonzero steps and extents of zero or more");
    if (op.extents[i] == 0) continue;
    need(op.starts[i] >= 0 && op.starts[i] < in[i], "a slice starts outside its input");
    // By division: the product of an extent and a step from a hostile file does not fit in 64 bits.
    const std::int64_t room = op.steps[i] > 0 ? in[i] - 1 - op.starts[i] : op.starts[i];
    const std::int64_t stride = op.steps[i] > 0 ? op.steps[i] : -std::max(op.steps[i], -INT64_MAX);
    need(op.extents[i] - 1 <= room / stride, "a slice reaches outside its input");
  }
  return {{inputs[0].dtype, op.extents}};
}

Types infer(const Concat& op, const Types& inputs) {
  need(!inputs.empty(), "a concatenation needs an input");
  const std::size_t axis = checked_axis(op.axis, inputs[0]);
  Shape shape = inputs[0].shape;
  for (std::size_t i = 1; i < inputs.size(); ++i) {
    need(inputs[i].dtype == inputs[0].dtype && rank(inputs[i]) == shape.size(),
         "the inputs of a concatenation differ in type or rank");
    for (std::size_t d = 0; d < shape.size(); ++d)
      need(d == axis || inputs[i].shape[d] == shape[d], "the inputs of a concatenation differ beside its axis");
    shape[axis] += inputs[i].shape[axis];
  }
  return {{inputs[0].dtype, shape}};
}

Types infer(const Expand& op, const Types& inputs) {
  need(inputs.size() == 1, "an expand takes one input");
  if (broadcast(op.shape, inputs[0].shape) != op.shape)
    fail("the shape " + to_string(inputs[0].shape) + " does not expand to " + to_string(op.shape));
  return {{inputs[0].dtype, op.shape}};
}

namespace {

bool carries(const Op& op) {
  const auto* scatter = std::get_if<Scatter>(&op);
  return is_view(op) || std::holds_alternative<Pointwise>(op) || std::holds_alternative<Concat>(op) ||
         std::holds_alternative<Gather>(op) || std::holds_alternative<Pad>(op) ||
         (scatter != nullptr && scatter->combine == Combine::replace);
}

}  // namespace
}  // namespace inference

std::vector<TensorType> infer_types(const Op& op, const std::vector<TensorType>& inputs) {
  for (const TensorType& type : inputs)
    if (is_float8(type.dtype) && !inference::carries(op))
      inference::fail("an 8-bit float can only be carried and cast");
  std::vector<TensorType> out = std::visit([&](const auto& kind) { return inference::infer(kind, inputs); }, op);
  for (const TensorType& type : out) (void)element_count(type.shape);
  return out;
}

}  // namespace kiln::graph
