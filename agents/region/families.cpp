#include "agents/region/families.h"

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

}  // namespace kiln::agents
