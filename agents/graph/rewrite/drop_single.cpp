// Reductions, softmax, scans and windows of single elements, as a model has them that reduces a dimension it has
// reduced before: the sum, the mean, an extremum, the product and the log-sum-exp of one element are that element.
#include <algorithm>

#include "agents/graph/rewrite/rules.h"
#include "agents/graph/rewrite/sweep.h"

namespace kiln::graph::rewrite {
namespace {

std::int64_t extent(const Shape& shape, std::int32_t axis) { return shape[static_cast<std::size_t>(axis)]; }

bool all_ones(const Shape& shape) {
  return std::all_of(shape.begin(), shape.end(), [](std::int64_t extent) { return extent == 1; });
}

bool reduces_nothing(const Op& op, const Shape& x) {
  if (const auto* reduce = std::get_if<Reduce>(&op))
    return std::all_of(reduce->axes.begin(), reduce->axes.end(), [&](std::int32_t a) { return extent(x, a) == 1; });
  if (const auto* scan = std::get_if<Scan>(&op)) return !scan->exclusive && extent(x, scan->axis) == 1;
  const auto* window = std::get_if<Window>(&op);
  return window != nullptr && !window->positions && all_ones(window->kernel) && all_ones(window->steps.strides) &&
         std::equal(window->extents.rbegin(), window->extents.rend(), x.rbegin()) &&
         std::all_of(window->steps.before.begin(), window->steps.before.end(), [](std::int64_t n) { return n == 0; });
}

// e^(x - x), and for its logarithm x - x: one and zero, but NaN for what is not finite.
std::optional<ValueId> softmax_of_one(Sweep& pass, const Softmax& softmax, ValueId x, const std::string& origin) {
  const TensorType type = pass.graph.type(x);
  if (extent(type.shape, softmax.axis) != 1) return std::nullopt;
  return elementwise(pass, {x}, type.dtype, type.dtype, origin, [&](Expr& e, const auto& in) {
    const std::int32_t nothing = e.apply(ExprOp::sub, in[0], in[0]);
    return softmax.log ? nothing : e.apply(ExprOp::exp, nothing);
  });
}

}  // namespace

int drop_single(Graph& graph, Log& log) {
  return sweep(graph, [&](Sweep& pass, const Node& node) -> std::optional<ValueId> {
    const std::string origin = node.origin;
    if (node.inputs.empty()) return std::nullopt;
    const ValueId x = node.inputs[0];
    std::optional<ValueId> out;
    if (const auto* softmax = std::get_if<Softmax>(&node.op))
      out = softmax_of_one(pass, *softmax, x, origin);
    else if (reduces_nothing(node.op, pass.graph.type(x).shape))
      out = pass.add(Reshape{pass.graph.type(node.outputs[0]).shape}, {x}, origin);
    if (out) log.push_back("single_elements: " + origin);
    return out;
  });
}

}  // namespace kiln::graph::rewrite
