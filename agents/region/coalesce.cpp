#include "agents/region/lowering.h"

namespace kiln::agents {

std::vector<std::size_t> Coalesced::of_group(int group) const {
  std::vector<std::size_t> out;
  for (std::size_t d = 0; d < groups.size(); ++d)
    if (groups[d] == group) out.push_back(d);
  return out;
}

Coalesced coalesce(const IterationSpace& space, const std::vector<std::pair<std::size_t, int>>& order,
                   const std::vector<const RawAccess*>& accesses) {
  Coalesced out;
  out.strides.resize(accesses.size());
  for (const auto& [axis, group] : order) {
    const std::int64_t extent = space.extents()[axis];
    if (extent == 1) continue;
    bool merges = !out.groups.empty() && out.groups.back() == group;
    for (std::size_t a = 0; merges && a < accesses.size(); ++a)
      merges = out.strides[a].back() == accesses[a]->address.strides[axis] * extent;
    if (merges) {
      out.extents.back() *= extent;
    } else {
      out.extents.push_back(extent);
      out.groups.push_back(group);
    }
    for (std::size_t a = 0; a < accesses.size(); ++a) {
      if (merges) out.strides[a].pop_back();
      out.strides[a].push_back(accesses[a]->address.strides[axis]);
    }
  }
  return out;
}

}  // namespace kiln::agents
