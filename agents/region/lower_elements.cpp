// Kernels that compute elements, alone or along rows: pointwise and row.
#include <algorithm>

#include "agents/region/families.h"

namespace kiln::agents {
namespace {

graph::ValueId dense_root(const graph::Graph& body, graph::ValueId value) {
  for (bool again = true; again;) {
    again = false;
    for (const graph::Node& node : body.nodes) {
      if (!std::holds_alternative<graph::Reshape>(node.op) || node.outputs[0] != value) continue;
      value = node.inputs[0];
      again = true;
    }
  }
  return value;
}

}  // namespace

// Every output over the shape of the first. One that Concat joins of equal parts is as many results, side by side in
// its memory: all of them over the shape of a part.
Family pointwise_family(const Region& region) {
  const graph::ValueId root = dense_root(region.body, region.body.outputs[0]);
  const graph::ValueId first = Walk(region, IterationSpace(), -1).parts_of(root)[0].value;
  const graph::Shape& shape = region.body.type(first).shape;
  return {[&shape](IterationSpace& space) {
            for (const std::int64_t extent : shape) space.add(extent, kBatch);
          },
          [&region, &shape](const IterationSpace& space) -> Kernel {
            Walk walk(region, space, -1);
            const IndexMap identity = walk.identity(0, shape.size());
            for (const graph::ValueId output : region.body.outputs) {
              for (const Walk::Part& part : walk.parts_of(dense_root(region.body, output))) {
                const graph::Shape& own = region.body.type(part.value).shape;
                if (graph::element_count(own) != graph::element_count(shape)) throw Unfoldable{};
                walk.place(part.value,
                           own == shape ? identity : delinearize(space, linear(space, identity, shape), own), false);
              }
            }
            walk.write_outputs();
            const Picker picked = pick(space, pointers(walk));
            std::vector<std::size_t> dims = picked.group(kBatch);
            if (dims.empty()) dims.push_back(Picker::kAbsent);  // one element
            PointwiseKernel k;
            for (const std::size_t d : dims) k.space.push_back(picked.extent(d));
            k.reads = picked.accesses(walk.reads, dims);
            k.writes = picked.accesses(walk.writes, dims);
            k.expr = std::move(walk.expr);
            return k;
          }};
}

namespace {

// What the elements of a row kernel are those of: what is reduced, or, where windows across the rows read what the rows
// give, such as a pool after a softmax over channels, the last of those windows or what is computed of it. Each of its
// rows then takes in the rows under the window.
graph::ValueId placed_by(const graph::Graph& body, const graph::Node& anchor, const std::vector<std::size_t>& axes) {
  const graph::ValueId source = anchor.inputs[0];
  graph::ValueId at = anchor.outputs[0];
  if (body.type(at).shape != body.type(source).shape) return source;
  bool windows = false;
  for (const graph::Node& node : body.nodes) {
    if (std::find(node.inputs.begin(), node.inputs.end(), at) == node.inputs.end()) continue;
    const graph::Shape& result = body.type(node.outputs[0]).shape;
    if (const auto* window = std::get_if<graph::Window>(&node.op)) {
      const std::size_t first = result.size() - window->kernel.size();
      for (const std::size_t axis : axes)
        if (axis >= first && (window->kernel[axis - first] > 1 || result[axis] != body.type(at).shape[axis]))
          return source;
      windows = true;
    } else if (!std::holds_alternative<graph::Pointwise>(node.op) || result != body.type(at).shape) {
      return source;
    }
    at = node.outputs[0];
  }
  return windows ? at : source;
}

}  // namespace

// The rows are those of the first reduction; every other one must be over the same rows.
Family row_family(const Region& region, const graph::Node& anchor) {
  constexpr int kRow = 1;
  const std::size_t rank = region.body.type(anchor.inputs[0]).shape.size();
  std::vector<std::size_t> axes;
  if (const auto* reduce = std::get_if<graph::Reduce>(&anchor.op)) axes = normalized_axes(reduce->axes, rank);
  if (const auto* softmax = std::get_if<graph::Softmax>(&anchor.op)) axes = normalized_axes({softmax->axis}, rank);
  if (const auto* norm = std::get_if<graph::LayerNorm>(&anchor.op))
    for (std::size_t d = normalized_axes({norm->axis}, rank)[0]; d < rank; ++d) axes.push_back(d);
  const graph::ValueId source = placed_by(region.body, anchor, axes);
  const graph::Shape& shape = region.body.type(source).shape;
  std::vector<std::size_t> order;  // of the source's dimensions in the space: rows first, then along the row
  for (std::size_t d = 0; d < shape.size(); ++d)
    if (std::find(axes.begin(), axes.end(), d) == axes.end()) order.push_back(d);
  const std::size_t outer_rank = order.size();
  order.insert(order.end(), axes.begin(), axes.end());
  return {[&shape, order, outer_rank](IterationSpace& space) {
            for (std::size_t i = 0; i < order.size(); ++i) space.add(shape[order[i]], i < outer_rank ? kBatch : kRow);
          },
          [&region, source, order](const IterationSpace& space) -> Kernel {
            Walk walk(region, space, kRow);
            IndexMap map(order.size());
            for (std::size_t i = 0; i < order.size(); ++i) map[order[i]] = space.index(i);
            walk.place(source, std::move(map), false);
            walk.write_outputs();
            const Picker picked = pick(space, pointers(walk));
            const std::vector<std::size_t> outer = picked.group(kBatch);
            std::vector<std::size_t> along = picked.group(kRow);
            if (along.empty()) along.push_back(Picker::kAbsent);  // rows of one element
            std::vector<std::size_t> dims = outer;
            dims.insert(dims.end(), along.begin(), along.end());
            RowKernel k;
            k.outer = picked.extents(outer);
            if (along.size() > 1) k.along = picked.extents(along);
            k.length = along.size() > 1 ? graph::element_count(k.along) : picked.extent(along[0]);
            k.reads = picked.accesses(walk.reads, dims);
            k.writes = picked.accesses(walk.writes, dims);
            k.write_per_row = walk.write_per_row;
            k.expr = std::move(walk.expr);
            return k;
          }};
}

}  // namespace kiln::agents
