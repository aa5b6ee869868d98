// A window of a window of the same monoid is one window: the maximum of maxima, the sum of sums and the mean of means.
#include <algorithm>

#include "agents/graph/rewrite/rules.h"
#include "agents/graph/rewrite/sweep.h"

namespace kiln::graph::rewrite {
namespace {

bool idempotent(Monoid monoid) { return monoid == Monoid::max || monoid == Monoid::min; }

struct Dimension {
  std::int64_t kernel, stride, before, extent;
};

Dimension dimension(const Window& op, std::size_t d) {
  return {op.kernel[d], op.steps.strides[d], op.steps.before[d], op.extents[d]};
}

// The first place past the last window; places count from the input's first element.
std::int64_t end_of(const Dimension& d) { return (d.extent - 1) * d.stride - d.before + d.kernel; }

// `second` over the results of `first`, which go over `in` elements. An element that two results of `first` cover is
// taken twice, which only idempotent monoids forgive; a place in the second's padding stands for nothing, but one
// window would read what lies there. Before the first result that is what the first result covers too; behind the last
// one there may be elements that no result covers, and they must not be taken.
std::optional<Dimension> joined(const Dimension& first, const Dimension& second, std::int64_t in, Monoid monoid) {
  const bool apart = first.stride == first.kernel || second.kernel == 1;
  if (idempotent(monoid)) {
    const bool without_gaps = first.stride <= first.kernel || second.kernel == 1;
    const bool meets_results = second.before < second.kernel;
    const bool ends_inside = end_of(second) <= first.extent || end_of(first) >= in;
    if (!without_gaps || !meets_results || !ends_inside) return std::nullopt;
  } else {
    const bool whole = first.before == 0 && second.before == 0 && end_of(first) <= in &&
                       end_of(second) <= first.extent;
    if (!apart || !whole) return std::nullopt;
  }
  return Dimension{first.kernel + (second.kernel - 1) * first.stride, first.stride * second.stride,
                   first.before + second.before * first.stride, second.extent};
}

// Their dimensions of extent 1 in kernel and stride stand for those that one of the two does not move over.
Window widened(const Window& op, const Shape& shape, std::size_t dimensions) {
  Window out = op;
  while (out.kernel.size() < dimensions) {
    out.extents.insert(out.extents.begin(), shape[shape.size() - out.kernel.size() - 1]);
    out.kernel.insert(out.kernel.begin(), 1);
    for (Shape* ones : {&out.steps.strides, &out.steps.dilations}) ones->insert(ones->begin(), 1);
    for (Shape* zeros : {&out.steps.before, &out.steps.after}) zeros->insert(zeros->begin(), 0);
  }
  return out;
}

// A pool waits for memory: what lies between the two is neither written nor read again, which is worth twice the
// operations.
constexpr std::int64_t kWorth = 2;

std::int64_t operations(const Window& op, const Shape& results) {
  return element_count(op.kernel) * element_count(results);
}

bool joins(const Window& op) {
  for (std::size_t d = 0; d < op.kernel.size(); ++d)
    if (op.steps.dilations[d] != 1 || op.extents[d] == 0) return false;
  return !op.positions && op.monoid != Monoid::prod;
}

std::optional<ValueId> rule(Sweep& pass, const Node& node) {
  const auto* outer = std::get_if<Window>(&node.op);
  if (outer == nullptr) return std::nullopt;
  const ValueId between = node.inputs[0];
  const auto* inner = pass.made_by<Window>(between);
  if (inner == nullptr || pass.uses(between) > 1 || inner->monoid != outer->monoid || !joins(*inner) ||
      !joins(*outer) || !is_float(pass.graph.type(between).dtype))
    return std::nullopt;
  const ValueId x = pass.maker(between)->inputs[0];
  const Shape& shape = pass.graph.type(x).shape;
  const std::size_t dimensions = std::max(inner->kernel.size(), outer->kernel.size());
  const Window first = widened(*inner, shape, dimensions);
  const Window second = widened(*outer, pass.graph.type(between).shape, dimensions);
  Window both{outer->monoid, {}, {{}, Shape(dimensions, 1), {}, Shape(dimensions, 0)}, {}, false, false};
  for (std::size_t d = 0; d < dimensions; ++d) {
    const std::int64_t in = shape[shape.size() - dimensions + d];
    const auto one = joined(dimension(first, d), dimension(second, d), in, both.monoid);
    if (!one) return std::nullopt;
    both.kernel.push_back(one->kernel);
    both.steps.strides.push_back(one->stride);
    both.steps.before.push_back(one->before);
    both.extents.push_back(one->extent);
  }
  const Shape& results = pass.graph.type(node.outputs[0]).shape;
  const std::int64_t chain = operations(first, pass.graph.type(between).shape) + operations(second, results);
  if (operations(both, results) > kWorth * chain) return std::nullopt;
  return pass.add(std::move(both), {x}, node.origin);
}

}  // namespace

int merge_windows(Graph& graph, Log& log) {
  return sweep(graph, [&](Sweep& pass, const Node& node) {
    const auto out = rule(pass, node);
    if (out) log.push_back("pool_of_pool: " + node.origin);
    return out;
  });
}

}  // namespace kiln::graph::rewrite
