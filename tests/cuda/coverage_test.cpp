// Whatever graph comes: each region of its plans has a kernel that the GPU can hold.
#include <doctest/doctest.h>

#include <set>

#include "agents/planner/planner.h"
#include "agents/search/search.h"
#include "tests/cuda/device_kernel.h"
#include "tests/graphs/random_graph.h"

using namespace kiln;
using testing::device_buildable;

namespace {

bool has_variant(const agents::Region& region, const agents::NodeFacts& node) {
  const std::optional<agents::Kernel> kernel = agents::lower(region);
  if (!kernel) return false;
  const agents::Figures figures = agents::figures_of(*kernel, node, 1);
  for (const store::TemplateSpec& spec : testing::device_templates())
    if (agents::accepts(spec, *kernel) && !agents::enumerate(spec, region, *kernel, figures, node).rows.empty())
      return true;
  return false;
}

}  // namespace

TEST_CASE("each region of a random graph's plans has a variant on a GPU, op by op and fused") {
  const agents::NodeFacts node = testing::device_node("sm_90a");
  std::set<std::string> seen;
  std::size_t planned = 0;
  for (std::uint64_t seed = 0; seed < 600; ++seed) {
    const graph::Graph g = testing::random_graph(seed);
    if (!agents::uncomputed(g, device_buildable).empty()) continue;
    ++planned;
    for (const agents::Partition& partition :
         {agents::baseline(g, device_buildable).partition, agents::partition_fused(g, device_buildable)})
      for (const agents::Region& region : partition.regions) {
        if (!seen.insert(region.key).second) continue;
        INFO("graph " << seed << ": " << region.label);
        CHECK(has_variant(region, node));
      }
  }
  CHECK(planned > 300);
  CHECK(seen.size() > 1000);
}
