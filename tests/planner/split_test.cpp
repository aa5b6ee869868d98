#include <doctest/doctest.h>

#include <cmath>
#include <functional>
#include <set>

#include "agents/graph/interpreter.h"
#include "runtime/base/error.h"
#include "tests/graph/inputs.h"
#include "tests/planner/machine.h"
#include "tests/planner/models.h"

using namespace kiln;
using namespace kiln::agents;
using graph::ValueId;
using graph::test::inputs_for;

namespace {

// The plan in which the regions named by the bits of `which` run op by op, in shared memory with the interpreter as its
// kernels, against the workload itself. Returns the launches.
using PartsOf = std::function<std::optional<Baseline>(const Region&, const graph::Graph& alone)>;
std::optional<Baseline> op_by_op(const Region&, const graph::Graph& alone) { return baseline(alone); }

std::size_t check_split(const graph::Graph& g, const Partition& partition, std::uint64_t which,
                        const PartsOf& parts_of = op_by_op) {
  std::vector<Baseline> baselines;
  baselines.reserve(partition.regions.size());
  Splits splits;
  for (std::size_t r = 0; r < partition.regions.size(); ++r) {
    const bool chosen = (which >> (r % 64) & 1) != 0;
    std::optional<Baseline> parts;
    if (chosen) parts = parts_of(partition.regions[r], standalone(partition.regions[r], 3));
    if (parts) baselines.push_back(std::move(*parts));
    splits.push_back(parts ? &baselines.back() : nullptr);
  }
  const SplitPartition whole = split(g, partition, splits);
  const Plan plan = assemble(whole.values, whole.partition, machine::fake_kernels(whole.partition), "", 2);
  machine::Machine m(whole.values, whole.partition, plan);
  const std::vector<graph::Tensor> inputs = inputs_for(g, 5);
  const std::vector<graph::Tensor> wanted = graph::evaluate(g, inputs, graph::Arithmetic::model);
  for (int call = 0; call < 2; ++call) {
    const std::vector<graph::Tensor> got = m.run(inputs);
    REQUIRE(got.size() == wanted.size());
    for (std::size_t o = 0; o < got.size(); ++o) {
      for (std::int64_t i = 0; i < got[o].count(); ++i) {
        const double a = graph::load_double(got[o].type.dtype, got[o].bytes.data(), i);
        const double b = graph::load_double(wanted[o].type.dtype, wanted[o].bytes.data(), i);
        REQUIRE((a == b || (std::isnan(a) && std::isnan(b)) || std::fabs(a - b) <= 1e-5 * (1 + std::fabs(b))));
      }
    }
  }
  return static_cast<std::size_t>(machine::computed(plan));
}

}  // namespace

TEST_CASE("a plan computes the same whichever of its regions run op by op") {
  const graph::Graph g = models::encoder(2, 1);
  const Partition partition = partition_fused(g);
  const std::size_t fused = check_split(g, partition, 0);
  const std::size_t op_by_op = check_split(g, partition, ~std::uint64_t{0});
  CHECK(fused < op_by_op);
  for (std::size_t r = 0; r < partition.regions.size(); ++r) {
    CAPTURE(partition.regions[r].label);
    CHECK(check_split(g, partition, std::uint64_t{1} << r) >= fused);
  }
}

TEST_CASE("random graphs: any choice of split regions computes what the workload does") {
  for (std::uint64_t seed = 1; seed <= (KILN_SANITIZED ? 40 : 200); ++seed) {
    CAPTURE(seed);
    const graph::Graph g = models::random_graph(seed);
    (void)check_split(g, partition_fused(g), seed * 0x9e3779b97f4a7c15u);
  }
}

TEST_CASE("constants that only a baseline has are added once, behind those of the workload") {
  // Two causal attentions of equal shape: one region twice, and one mask when it runs op by op.
  bodies::Builder b(1);
  ValueId x = b.input({1, 2, 6, 4});
  for (int i = 0; i < 2; ++i) x = b.add(graph::Attention{0.5, true}, {x, x, x});
  b.g.outputs = {x};
  const Partition partition = partition_fused(b.g);
  REQUIRE(partition.regions.size() == 1);
  REQUIRE(partition.instances.size() == 2);
  const Baseline parts = baseline(standalone(partition.regions[0], 1));
  const SplitPartition whole = split(b.g, partition, {&parts});
  CHECK(whole.partition.instances.size() == 2 * parts.partition.instances.size());
  CHECK(whole.partition.regions.size() == parts.partition.regions.size());
  std::size_t constants = 0;
  for (std::size_t v = 0; v < whole.values.values.size(); ++v) {
    if (!whole.values.constants[v]) continue;
    ++constants;
    CHECK(v >= b.g.values.size());
  }
  CHECK(constants == 1);
  CHECK(check_split(b.g, partition, 1) == 2 * parts.partition.instances.size());
}

TEST_CASE("what is split is said for every region") {
  const graph::Graph g = models::encoder(1, 1);
  CHECK_THROWS_AS((void)split(g, partition_fused(g), {}), Error);
}

namespace {

std::optional<Baseline> parts_of(const Region& region, const graph::Graph& alone) {
  return in_parts(region, alone, any_kernel);
}

std::vector<std::string> anchors_in_parts(const Region& region) {
  std::vector<std::string> out;
  if (const auto parts = parts_of(region, standalone(region, 1)))
    for (const RegionInstance& instance : parts->partition.instances)
      out.emplace_back(anchor(*lower(parts->partition.regions[static_cast<std::size_t>(instance.region)])));
  return out;
}

}  // namespace

TEST_CASE("a convolution that sums its results up is, in parts, a convolution and rows, and computes the same") {
  bodies::Builder b(1);
  const ValueId x = b.input({3, 4, 9, 8});
  const graph::Shape no(2, 0), one(2, 1);
  const ValueId y = b.add(graph::Convolution{{one, one, no, no}, 1, false, no}, {x, models::weight(b, {6, 4, 3, 3})});
  const ValueId mean = b.add(graph::Reduce{graph::Monoid::mean, {2, 3}, true}, {models::gelu(b, y)});
  b.g.outputs = {models::gelu(b, mean), models::gelu(b, x)};
  const Partition p = partition_fused(b.g);
  REQUIRE(p.regions.size() == 2);
  std::size_t have_parts = 0;
  for (const Region& region : p.regions) {
    const std::vector<std::string> anchors = anchors_in_parts(region);
    if (anchors.empty()) continue;
    ++have_parts;
    CHECK(anchors == std::vector<std::string>{"convolution", "row"});
  }
  CHECK(have_parts == 1);
  CHECK(check_split(b.g, p, ~std::uint64_t{0}, parts_of) == check_split(b.g, p, 0) + 1);
}

TEST_CASE("what bytes alone decide has no parts: chains of pointwise, norms, products with their activation") {
  const graph::Graph g = models::encoder(2, 1);
  for (const Region& region : partition_fused(g).regions) CHECK(anchors_in_parts(region).empty());
}

TEST_CASE("a part that runs op by op after all is taken apart in its turn") {
  bodies::Builder b(1);
  const ValueId x = b.input({3, 4, 9, 8});
  const graph::Shape no(2, 0), one(2, 1);
  const ValueId y = b.add(graph::Convolution{{one, one, no, no}, 1, false, no}, {x, models::weight(b, {6, 4, 3, 3})});
  const ValueId mean = b.add(graph::Reduce{graph::Monoid::mean, {2, 3}, true}, {models::gelu(b, y)});
  b.g.outputs = {models::gelu(b, mean)};
  const Partition p = partition_fused(b.g);
  REQUIRE(p.regions.size() == 1);
  const auto nested = [](const Region& region, const graph::Graph& alone) {
    const Baseline parts = *in_parts(region, alone, any_kernel);
    std::vector<Baseline> of_parts;
    for (const Region& part : parts.partition.regions) of_parts.push_back(baseline(standalone(part, 4)));
    Splits splits;
    for (const Baseline& part : of_parts) splits.push_back(&part);
    SplitPartition whole = split(parts.graph, parts.partition, splits);
    return std::optional(Baseline{std::move(whole.values), std::move(whole.partition)});
  };
  CHECK(check_split(b.g, p, 1, nested) == check_split(b.g, p, 1));
}
