// Whatever graph comes: each region of its plans has a kernel that the GPU can hold.
#include <doctest/doctest.h>

#include <set>

#include "agents/planner/planner.h"
#include "agents/search/search.h"
#include "tests/cuda/collection.h"
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

TEST_CASE("each recurrent layer has a variant on a GPU, whatever its cell, type and extents") {
  using graph::Cell;
  agents::NodeFacts small = testing::device_node("sm_86", 4);
  small.gpu->shared_per_multiprocessor_bytes = 100 << 10;
  small.gpu->shared_per_block_bytes = 99 << 10;
  for (const agents::NodeFacts& node : {testing::device_node("sm_90a"), small})
    for (const Cell cell : {Cell::rnn, Cell::gru, Cell::lstm})
      for (const graph::DType type : {graph::DType::f32, graph::DType::f16, graph::DType::bf16})
        for (const std::int64_t hidden : {1, 3, 64, 250, 1000, 2048, 8189})
          for (const std::int64_t batch : {1, 5, 300}) {
            graph::Graph g;
            const bool either = (hidden + batch) % 2 == 0;
            g.outputs = testing::recurrent_layer(g, {.cell = cell,
                                                     .steps = 1 + hidden % 50,
                                                     .batch = batch,
                                                     .hidden = hidden,
                                                     .reverse = either,
                                                     .reset_after = batch == 5,
                                                     .input_forget = either,
                                                     .type = type});
            INFO(g.type(g.inputs[0]).shape.size() << " " << hidden << " of " << batch << " rows");
            REQUIRE(agents::uncomputed(g, device_buildable).empty());
            CHECK(has_variant(agents::cut_region(g, {0}).region, node));
          }
}

// A block that posts nothing is waited for by none, and may miss what it waits for itself.
TEST_CASE("blocks that share a recurrent layer have a unit of it each, for any extents") {
  const agents::NodeFacts node = testing::device_node("sm_90a");
  std::size_t shared = 0;
  for (const store::TemplateSpec& spec : testing::device_templates()) {
    if (spec.family != "recurrent" || spec.name != "persistent") continue;
    for (const std::int64_t hidden : {36, 100, 200, 250, 256, 300, 650, 1000}) {
      graph::Graph g;
      g.outputs = testing::recurrent_layer(g, {.cell = graph::Cell::lstm, .steps = 9, .batch = 4, .hidden = hidden});
      const agents::Region region = agents::cut_region(g, {0}).region;
      const std::optional<agents::Kernel> kernel = agents::lower(region);
      REQUIRE(kernel);
      const agents::Space space =
          agents::enumerate(spec, region, *kernel, agents::figures_of(*kernel, node, 1), node);
      for (std::size_t row = 0; row < space.rows.size(); ++row) {
        const std::int64_t blocks = agents::variant_of(space, row).tunables.at("group_blocks");
        CHECK((blocks - 1) * ((hidden + blocks - 1) / blocks) < hidden);
      }
      shared += space.rows.size();
    }
  }
  CHECK(shared > 0);
}

// As an importer leaves a bidirectional layer: X by W beside, one recurrence for each direction, joined.
TEST_CASE("both directions of a layer behind their products are planned for a GPU") {
  graph::Graph g;
  constexpr std::int64_t kSteps = 6, kBatch = 4, kInput = 10, kHidden = 24, kGates = 4;
  const graph::ValueId x = testing::input(g, {kSteps * kBatch, kInput});
  std::vector<graph::ValueId> joined;
  for (const bool reverse : {false, true}) {
    graph::Graph alone;
    (void)testing::recurrent_layer(alone, {.cell = graph::Cell::lstm, .steps = kSteps, .batch = kBatch,
                                           .hidden = kHidden, .reverse = reverse});  // for its operation alone
    const graph::ValueId product =
        testing::add_node(g, graph::MatMul{false, true}, {x, testing::input(g, {kGates * kHidden, kInput})});
    const graph::ValueId added =
        testing::binary(g, product, testing::input(g, {kGates * kHidden}), graph::ExprOp::add);
    std::vector<graph::ValueId> inputs = {
        testing::add_node(g, graph::Reshape{{kSteps, kBatch, kGates * kHidden}}, {added})};
    for (std::size_t i = 1; i < alone.inputs.size(); ++i)
      inputs.push_back(testing::input(g, alone.type(alone.inputs[i]).shape, alone.type(alone.inputs[i]).dtype));
    const graph::ValueId y = g.add_node(alone.nodes[0].op, inputs, "layer")[0];
    joined.push_back(testing::add_node(g, graph::Reshape{{kSteps, 1, kBatch, kHidden}}, {y}));
  }
  g.outputs = {testing::add_node(g, graph::Concat{1}, joined)};
  REQUIRE(agents::uncomputed(g, device_buildable).empty());
  const agents::NodeFacts node = testing::device_node("sm_90a");
  int recurrent = 0;
  for (const agents::Partition& partition :
       {agents::baseline(g, device_buildable).partition, agents::partition_fused(g, device_buildable)})
    for (const agents::Region& region : partition.regions) {
      INFO(region.label);
      CHECK(has_variant(region, node));
      for (const graph::Node& inside : region.body.nodes)
        recurrent += std::holds_alternative<graph::Recurrent>(inside.op);
    }
  CHECK(recurrent >= 4);
}
