// Kernels that go along one dimension, or over time: scans, places of extrema, top-k, scatter and recurrent layers.
#include "agents/region/families.h"

namespace kiln::agents {
namespace {

// Everything is dense: there is one iteration space, of nothing.
Family dense_family(std::function<Kernel()> kernel) {
  return {[](IterationSpace&) {}, [kernel = std::move(kernel)](const IterationSpace&) { return kernel(); }};
}

std::int32_t axis_of(const graph::Op& op) {
  if (const auto* scan = std::get_if<graph::Scan>(&op)) return scan->axis;
  if (const auto* arg = std::get_if<graph::Arg>(&op)) return arg->axis;
  return std::get<graph::TopK>(op).axis;
}

// Whether the expression is an operand as it is.
bool is_read(const graph::Expr& expr) {
  return expr.nodes.size() == 1 && expr.nodes[0].op == graph::ExprOp::operand;
}

}  // namespace

graph::DType element_type(const LineKernel& k) {
  return k.prologue.nodes[static_cast<std::size_t>(k.prologue.results[0])].type;
}

// A scan reads each element once, so that what is computed from its operands on the way costs no pass of its own.
Family line_family(const Region& region, const graph::Node& anchor) {
  constexpr int kAlong = 1, kAfter = 2;
  const graph::Shape& shape = region.body.type(anchor.inputs[0]).shape;
  const std::size_t axis = normalized_axes({axis_of(anchor.op)}, shape.size())[0];
  return {[&, axis](IterationSpace& space) {
            for (std::size_t d = 0; d < shape.size(); ++d)
              space.add(shape[d], d < axis ? kBatch : d == axis ? kAlong : kAfter);
          },
          [&](const IterationSpace& space) -> Kernel {
            Walk walk(region, space, -1);
            walk.compute(anchor.inputs[0], walk.identity(0, shape.size()));
            const auto* scan = std::get_if<graph::Scan>(&anchor.op);
            if (walk.reads.empty() || (scan == nullptr && !is_read(walk.expr))) throw Unfoldable{};
            const Picker picked = pick(space, pointers(walk));
            const std::size_t before = picked.only(kBatch), along = picked.only(kAlong), after = picked.only(kAfter);
            const std::vector<std::optional<Access>> writes = dense_writes(region, anchor);
            LineKernel k;
            k.before = picked.extent(before);
            k.length = picked.extent(along);
            k.after = picked.extent(after);
            k.reads = picked.accesses(walk.reads, {before, along, after});
            k.prologue = std::move(walk.expr);
            if (scan != nullptr) {
              k.op = *scan;
              k.values = writes[0];
            } else if (const auto* arg = std::get_if<graph::Arg>(&anchor.op)) {
              k.op = *arg;
              k.places = writes[0];
            } else {
              k.op = std::get<graph::TopK>(anchor.op);
              k.values = writes[0];
              k.places = writes[1];
            }
            return k;
          }};
}

Family scatter_family(const Region& region, const graph::Node& anchor) {
  return dense_family([&]() -> Kernel {
    const graph::Shape& data = region.body.type(anchor.inputs[0]).shape;
    ScatterKernel k;
    k.combine = std::get<graph::Scatter>(anchor.op).combine;
    k.rows = data[0];
    k.inner = graph::element_count({data.begin() + 1, data.end()});
    k.count = graph::element_count(region.body.type(anchor.inputs[1]).shape);
    k.data = dense_read(region, anchor.inputs[0]);
    k.indices = dense_read(region, anchor.inputs[1]);
    k.updates = dense_read(region, anchor.inputs[2]);
    const std::optional<Access> write = dense_writes(region, anchor)[0];
    if (!write) throw Unfoldable{};
    k.write = *write;
    return k;
  });
}

Family recurrent_family(const Region& region, const graph::Node& anchor) {
  return dense_family([&]() -> Kernel {
    const graph::Shape& x = region.body.type(anchor.inputs[0]).shape;
    RecurrentKernel k;
    k.op = std::get<graph::Recurrent>(anchor.op);
    k.steps = x[0];
    k.batch = x[1];
    k.hidden = region.body.type(anchor.inputs[1]).shape[1];
    for (const graph::ValueId input : anchor.inputs) k.inputs.push_back(dense_read(region, input));
    k.outputs = dense_writes(region, anchor);
    return k;
  });
}

}  // namespace kiln::agents
