#include "agents/region/families.h"

#include <algorithm>

namespace kiln::agents {

std::vector<const RawAccess*> pointers(const Walk& walk, std::initializer_list<const RawAccess*> more) {
  std::vector<const RawAccess*> out(more);
  for (const RawAccess& r : walk.reads) out.push_back(&r);
  for (const RawAccess& w : walk.writes) out.push_back(&w);
  return out;
}

Picker pick(const IterationSpace& space, std::vector<const RawAccess*> accesses) {
  std::vector<std::pair<std::size_t, int>> order;
  for (std::size_t axis = 0; axis < space.extents().size(); ++axis) order.emplace_back(axis, space.group(axis));
  return {coalesce(space, order, accesses), accesses};
}

std::vector<std::size_t> joined(std::vector<std::size_t> a, std::initializer_list<std::size_t> b) {
  a.insert(a.end(), b);
  return a;
}

void require_no_epilogue(const Walk& walk) {
  const graph::ExprNode& only = walk.expr.nodes[static_cast<std::size_t>(walk.expr.results[0])];
  if (walk.writes.size() != 1 || only.op != graph::ExprOp::operand || only.operand != 0) throw Unfoldable{};
}

std::vector<std::optional<Access>> dense_writes(const Region& region, const graph::Node& anchor) {
  std::vector<std::optional<Access>> out(anchor.outputs.size());
  const graph::Graph& body = region.body;
  for (std::size_t r = 0; r < body.outputs.size(); ++r) {
    graph::ValueId value = body.outputs[r];
    for (std::size_t n = body.nodes.size(); n-- > 0;)
      if (std::holds_alternative<graph::Reshape>(body.nodes[n].op) && body.nodes[n].outputs[0] == value)
        value = body.nodes[n].inputs[0];
    const auto at = std::find(anchor.outputs.begin(), anchor.outputs.end(), value) - anchor.outputs.begin();
    if (static_cast<std::size_t>(at) == anchor.outputs.size() || out[static_cast<std::size_t>(at)]) throw Unfoldable{};
    out[static_cast<std::size_t>(at)] = Access{static_cast<std::int32_t>(r), body.type(value).dtype, 0, {1}};
  }
  return out;
}

Access dense_read(const Region& region, graph::ValueId value) {
  const graph::Shape& shape = region.body.type(value).shape;
  IterationSpace space;
  for (const std::int64_t extent : shape) space.add(extent, kBatch);
  const Walk walk(region, space, -1);
  try {
    const IndexMap map = walk.identity(0, shape.size());
    const RawAccess raw = walk.read(value, map);
    if (raw.address.strides != linear(space, map, shape).strides) throw Unfoldable{};
    return {raw.buffer, raw.type, raw.address.offset, {1}};
  } catch (const Split&) {
    throw Unfoldable{};  // a reshape between other views
  }
}

}  // namespace kiln::agents
