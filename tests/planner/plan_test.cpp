#include <doctest/doctest.h>

#include <cmath>
#include <numeric>
#include <set>

#include "runtime/base/error.h"
#include "runtime/base/json.h"
#include "tests/planner/machine.h"
#include "tests/planner/models.h"

using namespace kiln;
using namespace kiln::agents;
using graph::ValueId;

namespace {

store::TemplateSpec template_for(const std::string& family, const std::string& name, const std::string& anchor,
                                 bool vendor) {
  store::TemplateSpec spec;
  spec.family = family;
  spec.name = name;
  spec.anchor = anchor;
  spec.target = "cpu";
  spec.vendor = vendor;
  return spec;
}

NodeFacts machine_facts() {
  NodeFacts n;
  n.flops = {{"f32", 1e9}};
  n.bandwidth = {{"memory_read", 1e9}};
  n.launch_ns = 10;
  return n;
}

const RegionPlan& plan_of(const TuningPlan& p, const std::string& region) {
  const auto at =
      std::find_if(p.regions.begin(), p.regions.end(), [&](const RegionPlan& r) { return r.region == region; });
  REQUIRE(at != p.regions.end());
  return *at;
}

}  // namespace

TEST_CASE("standalone regions keep their key, are valid, and hold their weights as constants") {
  const graph::Graph g = models::encoder(1, 1);
  for (const Region& region : partition_fused(g).regions) {
    CAPTURE(region.label);
    const graph::Graph alone = standalone(region, 42);
    graph::validate(alone);
    CHECK(alone.inputs.size() +
              static_cast<std::size_t>(std::count(region.weight.begin(), region.weight.end(), true)) ==
          region.body.inputs.size());
    std::vector<std::int32_t> nodes(alone.nodes.size());
    std::iota(nodes.begin(), nodes.end(), 0);
    const RegionCut cut = cut_region(alone, nodes);
    CHECK(cut.region.key == region.key);
    CHECK(cut.region.weight == region.weight);
    CHECK(cut.instance.inputs == region.body.inputs);
    // Its own fused partition is the region again.
    const Partition p = partition_fused(alone);
    REQUIRE(p.regions.size() == 1);
    CHECK(p.regions[0].key == region.key);
  }
}

TEST_CASE("generated weights are the same for the same seed and keep the scale of a product") {
  bodies::Builder b(1);
  const ValueId x = b.input({4, 400});
  b.g.outputs = {b.add(graph::MatMul{false, false}, {x, models::weight(b, {400, 50})})};
  const Region region = partition_fused(b.g).regions.at(0);
  const graph::Graph one = standalone(region, 1), same = standalone(region, 1), other = standalone(region, 2);
  const auto blob = [](const graph::Graph& g) { return graph::constant_blob(g, graph::layout_constants(g)); };
  CHECK(blob(one) == blob(same));
  CHECK(blob(one) != blob(other));
  const std::string bytes = blob(one);
  double sum = 0, squares = 0;
  const auto* values = reinterpret_cast<const float*>(bytes.data());
  for (int i = 0; i < 20000; ++i) {
    sum += static_cast<double>(values[i]);
    squares += static_cast<double>(values[i]) * static_cast<double>(values[i]);
  }
  CHECK(std::fabs(sum / 20000) < 0.002);  // standard error 0.05 / sqrt(20000) = 0.00035
  CHECK(std::sqrt(squares / 20000) == doctest::Approx(0.05).epsilon(0.03));  // 1 / sqrt(400)
}

TEST_CASE("a region's key is that of its computation: names and place do not count, types, constants and weights do") {
  const auto scaled = [](double factor, bool constant, const char* name) {
    bodies::Builder b(1);
    const ValueId x = b.g.add_input(name, {graph::DType::f32, {4, 4}});
    const ValueId w = constant ? models::weight(b, {4, 4}) : b.input({4, 4});
    const ValueId product = b.add(graph::MatMul{false, false}, {x, w});
    b.g.outputs = {models::binary(b, graph::ExprOp::mul, product, b.scalar(factor))};
    return partition_fused(b.g).regions.at(0).key;
  };
  CHECK(scaled(2, true, "x") == scaled(2, true, "another"));
  CHECK(scaled(2, true, "x") != scaled(3, true, "x"));
  CHECK(scaled(2, true, "x") != scaled(2, false, "x"));
  CHECK(scaled(2, true, "x").size() == 16);
}

TEST_CASE("a set of nodes that another node stands between is no region") {
  bodies::Builder b(1);
  const ValueId x = b.input({4});
  const ValueId first = b.pointwise(x), middle = b.add(graph::Softmax{0, false}, {first});
  b.g.outputs = {models::binary(b, graph::ExprOp::add, first, middle)};
  CHECK_THROWS_AS((void)cut_region(b.g, {0, 2}), Error);
  CHECK(cut_region(b.g, {0, 1, 2}).region.body.nodes.size() == 3);
}

TEST_CASE("the budget goes where the head-room is, nobody goes without, and families follow the policy") {
  const graph::Graph g = models::encoder(1, 1);
  const Partition partition = partition_fused(g);
  const ProfileReport report = profile(machine_facts(), partition);
  const std::vector<store::TemplateSpec> corpus = {
      template_for("matmul", "packed", "matmul", false), template_for("matmul", "onednn", "matmul", true),
      template_for("row", "fused", "row", false), template_for("attention", "flash", "attention", false)};
  std::map<std::string, double> incumbent;
  for (const RegionProfile& r : report.regions) incumbent[r.region] = r.floor_ns + 100;
  const std::string slow = partition.regions[0].key;
  incumbent[slow] += 1e6;
  const policies::Policy policy;
  const TuningPlan p = plan(partition, report, incumbent, corpus, policy);
  REQUIRE(p.regions.size() == partition.regions.size());
  CHECK(p.regions[0].region == slow);
  double shares = 0;
  for (const RegionPlan& r : p.regions) {
    shares += r.budget_share;
    CHECK(r.budget_share >= 0.02);
    CHECK_FALSE(r.hypotheses.empty());
  }
  CHECK(shares == doctest::Approx(1));
  CHECK(p.regions[0].budget_share > 0.8);
  // Three projections share the first region: (1e6 + 100) * 3.
  CHECK(p.regions[0].head_room_ns == doctest::Approx(3000300));
  CHECK(plan_of(p, slow).families == std::vector<std::string>{"matmul/packed", "matmul/onednn"});
  policies::Policy own = policy;
  own.vendor = false;
  CHECK(plan_of(plan(partition, report, incumbent, corpus, own), slow).families ==
        std::vector<std::string>{"matmul/packed"});
  own.families = {"row"};
  CHECK(plan_of(plan(partition, report, incumbent, corpus, own), slow).families.empty());
}

TEST_CASE("what fusing saves counts whole, the rest of a gap a quarter, and the best of each kind is tried first") {
  const graph::Graph g = models::encoder(1, 1);
  const Partition partition = partition_fused(g);
  const ProfileReport report = profile(machine_facts(), partition);  // a nanosecond a byte
  std::map<std::string, double> incumbent;
  std::map<std::string, std::string> kind;  // by region
  std::map<std::string, int> of_kind;
  for (std::size_t i = 0; i < partition.regions.size(); ++i) {
    const Region& region = partition.regions[i];
    kind[region.key] = std::string(anchor(*lower(region)));
    ++of_kind[kind[region.key]];
    // Products are furthest from their floors.
    const double gap = kind[region.key] == "matmul" ? 1e5 + static_cast<double>(i) : 5e4;
    incumbent[region.key] = report.regions[i].floor_ns + gap;
  }
  REQUIRE(of_kind.size() > 2);
  REQUIRE(of_kind["attention"] > 0);
  REQUIRE(of_kind["row"] > 0);
  const TuningPlan p = plan(partition, report, incumbent, {}, {});
  REQUIRE(p.regions.size() == partition.regions.size());
  for (const RegionPlan& r : p.regions) {
    const auto occurrences = std::find_if(report.regions.begin(), report.regions.end(), [&](const RegionProfile& f) {
                               return f.region == r.region;
                             })->occurrences;
    if (kind[r.region] == "attention") {
      // Written and read: queries of 2 heads of 6 x 4, scaled; scores of 6 x 6 as products, masked, and as weights.
      const double saved = 2 * 192 + 3 * (2 * 288);
      CHECK(r.gain_ns == doctest::Approx(occurrences * (saved + (5e4 - saved) / 4)));
    } else if (kind[r.region] == "row") {
      CHECK(r.gain_ns == doctest::Approx(occurrences * 5e4 / 4));  // one operator: nothing is saved
    }
  }
  std::set<std::string> first;
  for (std::size_t i = 0; i < of_kind.size(); ++i) {
    CHECK(first.insert(kind[p.regions[i].region]).second);
    CHECK(p.regions[i].worth_looking);
  }
  for (std::size_t i = of_kind.size() + 1; i < p.regions.size(); ++i)
    CHECK(p.regions[i - 1].gain_ns >= p.regions[i].gain_ns);
}

TEST_CASE("a product's bias is the vendor's to add, what follows it is saved") {
  bodies::Builder b(3);
  const ValueId x = b.input({4, 8});
  b.g.outputs = {models::gelu(b, models::linear(b, x, 16))};
  const Partition partition = partition_fused(b.g);
  REQUIRE(partition.regions.size() == 1);
  const ProfileReport report = profile(machine_facts(), partition);
  const std::string& key = partition.regions[0].key;
  const TuningPlan p = plan(partition, report, {{key, report.regions[0].floor_ns + 1e6}}, {}, {});
  const double saved = 2 * 4 * 16 * 4;  // the sum with the bias, written and read; a nanosecond a byte
  CHECK(p.regions[0].gain_ns == doctest::Approx(saved + (1e6 - saved) / 4));
}

TEST_CASE("the families of a GPU's plan are the GPU's") {
  const graph::Graph g = models::encoder(1, 1);
  const Partition partition = partition_fused(g);
  std::vector<store::TemplateSpec> corpus = {template_for("matmul", "packed", "matmul", false),
                                             template_for("matmul", "device", "matmul", false)};
  corpus[1].target = "cuda";
  ProfileReport report = profile(machine_facts(), partition);
  const auto families = [&] {
    return plan_of(plan(partition, report, {}, corpus, {}), partition.regions[0].key).families;
  };
  CHECK(families() == std::vector<std::string>{"matmul/packed"});
  report.node.gpu.emplace();
  CHECK(families() == std::vector<std::string>{"matmul/device"});
}

TEST_CASE("a region faster than its floor has no head-room, and without any the budget is shared evenly") {
  const graph::Graph g = models::encoder(1, 1);
  const Partition partition = partition_fused(g);
  const TuningPlan p = plan(partition, profile(machine_facts(), partition), {}, {}, {});
  for (const RegionPlan& r : p.regions) {
    CHECK(r.head_room_ns == 0);
    CHECK(r.budget_share == doctest::Approx(1.0 / static_cast<double>(p.regions.size())));
  }
  CHECK(to_json(p).at("regions").as_array().size() == p.regions.size());
}

TEST_CASE("what a plan hopes for is said in the words of its target") {
  const Partition partition = partition_fused(models::encoder(1, 1));
  const auto said = [&](bool gpu) {
    ProfileReport report = profile(machine_facts(), partition);
    if (gpu) report.node.gpu.emplace();
    report.regions[0].limit = "compute";
    report.regions[1].limit = "bandwidth";
    report.regions[2].limit = "launch";
    std::string all;
    for (const RegionPlan& r : plan(partition, report, {}, {}, {}).regions)
      for (const std::string& hypothesis : r.hypotheses) all += hypothesis + "\n";
    return all;
  };
  for (const std::string word : {"compute-bound", "bandwidth-bound", "launch-bound"}) {
    CHECK(said(true).find(word) != std::string::npos);
    CHECK(said(false).find(word) != std::string::npos);
  }
  for (const std::string word : {"vector width", "tasks", "packed"}) {
    CHECK(said(true).find(word) == std::string::npos);
    CHECK(said(false).find(word) != std::string::npos);
  }
  for (const std::string word : {"shared memory", "launches", "in flight"}) {
    CHECK(said(true).find(word) != std::string::npos);
    CHECK(said(false).find(word) == std::string::npos);
  }
}
