#include "agents/conductor/alone.h"

#include <numeric>

#include "runtime/base/error.h"

namespace kiln::agents {

Partition whole_region(const graph::Graph& standalone, const Region& region) {
  std::vector<std::int32_t> nodes(standalone.nodes.size());
  std::iota(nodes.begin(), nodes.end(), 0);
  RegionCut cut = cut_region(standalone, nodes);
  if (cut.region.key != region.key)
    throw Error(ErrorCode::internal, "cannot tune region '" + region.label + "': alone it is another region");
  return {{std::move(cut.region)}, {std::move(cut.instance)}};
}

Kernel one_kernel(const Region& region) {
  std::optional<Kernel> kernel = lower(region);
  if (!kernel) throw Error(ErrorCode::internal, "cannot tune region '" + region.label + "': it is not one kernel");
  return std::move(*kernel);
}

}  // namespace kiln::agents
