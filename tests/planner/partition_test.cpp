#include <doctest/doctest.h>

#include <map>

#include "agents/graph/onnx/import.h"
#include "agents/graph/rewrite/rewrite.h"
#include "agents/planner/arena.h"
#include "runtime/base/error.h"
#include "runtime/base/files.h"
#include "runtime/base/json.h"
#include "tests/graph/inputs.h"
#include "tests/planner/checked_plan.h"
#include "tests/planner/models.h"

using namespace kiln;
using namespace kiln::agents;
using graph::ValueId;
using graph::test::inputs_for;
using machine::check_plan;
using machine::same_bytes;

namespace {

// Over all instances; views may be there several times.
std::size_t computing_nodes(const Partition& p) {
  std::size_t count = 0;
  for (const RegionInstance& i : p.instances)
    for (const graph::Node& n : p.regions[static_cast<std::size_t>(i.region)].body.nodes)
      count += graph::is_view(n.op) ? 0 : 1;
  return count;
}

// Those that some output depends on; nobody computes the others.
std::size_t needed_nodes(const graph::Graph& g) {
  std::set<ValueId> needed(g.outputs.begin(), g.outputs.end());
  std::size_t count = 0;
  for (std::size_t n = g.nodes.size(); n-- > 0;) {
    const graph::Node& node = g.nodes[n];
    if (std::none_of(node.outputs.begin(), node.outputs.end(), [&](ValueId v) { return needed.contains(v); })) continue;
    needed.insert(node.inputs.begin(), node.inputs.end());
    count += graph::is_view(node.op) ? 0 : 1;
  }
  return count;
}

std::map<std::string, int> labels(const Partition& p) {
  std::map<std::string, int> out;
  for (const RegionInstance& i : p.instances) ++out[p.regions[static_cast<std::size_t>(i.region)].label];
  return out;
}

}  // namespace

TEST_CASE("an encoder layer becomes the kernels that an engineer would write by hand") {
  const Partition p = partition_fused(models::encoder(3, 2));
  const std::map<std::string, int> wanted = {{"matmul 12x8x8 + add", 9},
                                             {"attention 2x2 x 6x6x4 masked", 3},
                                             {"matmul 12x8x8 + bias + residual", 3},
                                             {"normalise 12 rows of 8", 6},
                                             {"matmul 12x16x8 + bias + gelu", 3},
                                             {"matmul 12x8x16 + bias + residual", 3}};
  CHECK(labels(p) == wanted);
  CHECK(p.regions.size() == wanted.size());  // equal layers are tuned once
}

TEST_CASE("the baseline runs op by op: bias in the product's call, nothing else fused, no copy of a view") {
  const graph::Graph g = models::encoder(1, 2);
  const Baseline b = baseline(g);
  const std::map<std::string, int> wanted = {{"matmul 12x8x8 + add", 4},  {"matmul 2x2 x 6x6x4", 1},
                                             {"pointwise 2x12x6, 2 ops", 1}, {"softmax 24 rows of 6", 1},
                                             {"matmul 2x2 x 6x4x6", 1},   {"pointwise 96, add", 2},
                                             {"normalise 12 rows of 8", 2},  {"matmul 12x16x8 + add", 1},
                                             {"pointwise 192, gelu", 1},  {"matmul 12x8x16 + add", 1}};
  CHECK(labels(b.partition) == wanted);
}

TEST_CASE("composites expand to what they mean, causal or not, guarded or not") {
  for (const bool causal : {false, true}) for (const bool guarded : {false, true}) {
    bodies::Builder b(3);
    const ValueId q = b.input({2, 3, 4}), k = b.input({2, 5, 4}), v = b.input({2, 5, 6}), mask = b.input({5});
    b.g.outputs = {b.add(graph::Attention{0.25, causal, guarded}, {q, k, v, mask})};
    const graph::Graph expanded = expand_composites(b.g);
    graph::validate(expanded);
    CHECK(expanded.nodes.size() == (guarded ? 5 : 4));
    auto inputs = inputs_for(b.g, 1);
    if (guarded)  // no key counts
      for (float& value : inputs[3].as<float>()) value = -INFINITY;
    const auto want = graph::evaluate(b.g, inputs, graph::Arithmetic::fp64),
               got = graph::evaluate(expanded, inputs, graph::Arithmetic::fp64);
    for (std::size_t i = 0; i < want[0].as<double>().size(); ++i)
      CHECK(got[0].as<double>()[i] == doctest::Approx(want[0].as<double>()[i]).epsilon(1e-12));
  }
}

TEST_CASE("plans of an encoder compute it, fused and op by op, in less memory than its values need") {
  const graph::Graph g = models::encoder(3, 2);
  const Plan fused = check_plan(g, partition_fused(g), 5);
  const Baseline b = baseline(g);
  const Plan plain = check_plan(b.graph, b.partition, 5);
  CHECK(machine::computed(fused) == 27);
  CHECK(fused.objects.size() == 3);  // equal code is stored once
  CHECK(fused.cpu_features == std::vector<std::string>{"avx2", "fma"});
  CHECK(fused.prepare.size() == 24);  // every instance with weights packs its own
  CHECK(plain.run.size() > fused.run.size());
  std::int64_t sum = 0;
  for (const PlanBuffer& buffer : fused.buffers) sum += buffer.kind == PlanBuffer::Kind::temporary ? buffer.bytes : 0;
  CHECK(fused.temporary_bytes < sum / 3);
}

TEST_CASE("random graphs: every node that an output needs runs once, and both plans compute the workload bit for bit") {
  for (std::uint64_t seed = 0; seed < (KILN_SANITIZED ? 60 : 300); ++seed) {
    CAPTURE(seed);
    const graph::Graph g = models::random_graph(seed);
    graph::validate(g);
    std::set<ValueId> outputs(g.outputs.begin(), g.outputs.end());
    for (const Partition& p : {partition_fused(g), partition_op_by_op(g)}) {
      CHECK(computing_nodes(p) == needed_nodes(g));
      std::set<ValueId> written;
      for (const RegionInstance& i : p.instances)
        for (const ValueId v : i.outputs) CHECK(written.insert(v).second);
      (void)check_plan(g, p, seed);
    }
  }
}

TEST_CASE("every region that lowers alone still lowers in the fused partition, and fusing never moves more bytes") {
  for (std::uint64_t seed = 1000; seed < 1100; ++seed) {
    CAPTURE(seed);
    const graph::Graph g = models::random_graph(seed);
    const auto total = [](const Partition& p, bool& all) {
      double bytes = 0;
      for (const RegionInstance& i : p.instances) {
        const Region& r = p.regions[static_cast<std::size_t>(i.region)];
        all = all && lower(r).has_value();
        bytes += cost_of(r).bytes;
      }
      return bytes;
    };
    bool plain_lowers = true, fused_lowers = true;
    const double plain = total(partition_op_by_op(g), plain_lowers), fused = total(partition_fused(g), fused_lowers);
    if (plain_lowers) CHECK(fused_lowers);
    CHECK(fused <= plain * 1.0000001);
  }
}

TEST_CASE(
    "a sum of a product with something computed from it does not join the product: each would wait for the other") {
  bodies::Builder b(1);
  const ValueId product = b.add(graph::MatMul{false, false}, {b.input({4, 5}), models::weight(b, {5, 6})});
  b.g.outputs = {models::binary(b, graph::ExprOp::add, product, b.add(graph::Softmax{1, false}, {product}))};
  const Partition p = partition_fused(b.g);
  const std::map<std::string, int> wanted = {{"matmul 4x6x5", 1},
                                             {"softmax 4 rows of 6", 1}};  // the sum joins the softmax
  CHECK(labels(p) == wanted);
  (void)check_plan(b.g, p, 1);
}

TEST_CASE("a small result that a large one broadcasts is computed once, not once per element") {
  bodies::Builder b(1);
  const ValueId small = b.pointwise(b.input({1, 16}));
  b.g.outputs = {models::binary(b, graph::ExprOp::mul, b.input({64, 16}), small)};
  CHECK(partition_fused(b.g).instances.size() == 2);
}

TEST_CASE("buffers that live at the same time never overlap: brute force") {
  std::mt19937_64 random(11);
  for (int round = 0; round < 200; ++round) {
    std::vector<Lifetime> buffers;
    std::int64_t sum = 0;
    for (std::size_t i = 0, n = 1 + random() % 30; i < n; ++i) {
      const auto first = static_cast<std::int32_t>(random() % 20);
      buffers.push_back(
          {static_cast<std::int64_t>(random() % 1000), first, first + static_cast<std::int32_t>(random() % 6)});
      sum += aligned(buffers.back().bytes);
    }
    const Arena arena = place(buffers);
    CHECK(arena.bytes <= sum);
    for (std::size_t i = 0; i < buffers.size(); ++i) {
      CHECK(arena.offsets[i] % 64 == 0);
      CHECK(arena.offsets[i] + buffers[i].bytes <= arena.bytes);
      for (std::size_t j = 0; j < i; ++j) {
        const bool together = buffers[i].first <= buffers[j].last && buffers[j].first <= buffers[i].last;
        const bool apart = arena.offsets[i] + buffers[i].bytes <= arena.offsets[j] ||
                           arena.offsets[j] + buffers[j].bytes <= arena.offsets[i];
        CHECK((!together || apart || buffers[i].bytes == 0 || buffers[j].bytes == 0));
      }
    }
  }
}

TEST_CASE("a reshape of an input that is an output is copied; an output that is an input is refused") {
  bodies::Builder b(1);
  const ValueId x = b.input({2, 3});
  const ValueId flat = b.reshape(x, {6});
  b.g.outputs = {flat};
  const Plan plan = check_plan(b.g, partition_fused(b.g), 1);
  CHECK(machine::computed(plan) == 1);
  b.g.outputs = {x};
  CHECK_THROWS_AS((void)assemble(b.g, partition_fused(b.g), {}, "", 1), Error);
}

TEST_CASE("the mean over all of a product with a weight per row reads both once") {
  bodies::Builder b(1);
  const ValueId x = b.input({40, 64}), weight = b.input({40, 1});
  b.g.outputs = {b.add(graph::Reduce{graph::Monoid::mean, {0, 1}, false},
                       {models::gelu(b, models::binary(b, graph::ExprOp::mul, x, weight))})};
  std::vector<std::string> log;
  graph::rewrite::separate(b.g, log);
  const Partition p = partition_fused(b.g);
  REQUIRE(p.instances.size() == 2);
  CHECK(p.instances[0].inputs == std::vector<ValueId>{x, weight});
  CHECK(graph::element_count(b.g.type(p.instances[1].inputs.at(0)).shape) == 40);
  (void)check_plan(b.g, p, 1);
}

TEST_CASE("a masked scan is one kernel, unless the product that it reads is read elsewhere or it only orders") {
  const auto instances = [](const graph::Op& op, bool shared) {
    bodies::Builder b(1);
    const ValueId product = models::binary(b, graph::ExprOp::mul, b.input({4, 9}), b.input({4, 9}));
    b.g.outputs = {b.add(op, {product})};
    if (shared) b.g.outputs.push_back(product);
    const Partition p = partition_fused(b.g);
    (void)check_plan(b.g, p, 1);
    return p.instances.size();
  };
  CHECK(instances(graph::Scan{graph::Monoid::sum, 1, true, false}, false) == 1);
  CHECK(instances(graph::Scan{graph::Monoid::sum, 1, true, false}, true) == 2);
  CHECK(instances(graph::Arg{true, 1, true, false}, false) == 2);
}

TEST_CASE("equal parts that are computed to be joined are one kernel, which writes them where they belong") {
  const auto instances = [](const graph::Shape& first, const graph::Shape& second) {
    bodies::Builder b(1);
    b.g.outputs = {b.add(graph::Concat{1}, {b.pointwise(b.input(first)), b.pointwise(b.input(second))})};
    const Partition p = partition_fused(b.g);
    CHECK(partition_op_by_op(b.g).instances.size() == 3);
    (void)check_plan(b.g, p, 1);
    return p.instances.size();
  };
  CHECK(instances({4, 6, 2}, {4, 6, 2}) == 1);
  CHECK(instances({4, 6, 2}, {4, 5, 2}) == 3);
}

TEST_CASE("the exported transformer block partitions as planned") {
  const auto bytes =
      std::make_shared<const std::string>(read_file(std::string(KILN_SOURCE_DIR) + "/tests/models/block.onnx"));
  graph::onnx::Options options;
  options.file_name = "block.onnx";
  options.dimensions = {{"batch", 2}};
  const graph::Graph g =
      graph::onnx::import_model(bytes, std::as_bytes(std::span(*bytes)), options, [](const std::string&) {
        return graph::onnx::ExternalData{};
      }).graph;
  const Partition p = partition_fused(g);
  std::map<std::string, int> anchors;
  for (const RegionInstance& i : p.instances) {
    const std::optional<Kernel> kernel = lower(p.regions[static_cast<std::size_t>(i.region)]);
    REQUIRE(kernel);
    ++anchors[std::string(anchor(*kernel))];
  }
  CHECK(anchors["matmul"] == 6);
  CHECK(anchors["attention"] == 1);
  CHECK(anchors["row"] == 2);
  CHECK(p.instances.size() <= 10);  // and one for the mask
  (void)check_plan(g, p, 3);
}

TEST_CASE("what no template computes is not merged") {
  const graph::Graph g = models::encoder(2, 2);
  const Buildable bare_products = [](const Kernel& kernel) {
    const auto* product = std::get_if<MatmulKernel>(&kernel);
    return !product || product->reads.empty();
  };
  const Partition merged = partition_fused(g), apart = partition_fused(g, bare_products);
  CHECK(apart.instances.size() > merged.instances.size());
  for (const Region& region : apart.regions) CHECK(bare_products(*lower(region)));
  (void)check_plan(g, apart, 3);
}

TEST_CASE("what a corpus has no template for is named as uncomputed, and never merged with what it has one for") {
  using namespace kiln::graph;
  const Steps steps{{1, 1}, {1, 1}, {0, 0}, {0, 0}};
  const TensorType image{DType::f32, {1, 2, 5, 5}};
  const auto zeros = [](Graph& g, TensorType type) { return g.add_constant("c", Tensor::zeros(std::move(type))); };
  struct Case { Op op; std::vector<TensorType> more; };
  const std::vector<Case> cases = {
      {Convolution{steps, 1, false, {0, 0}}, {{DType::f32, {2, 2, 3, 3}}}},
      {Window{Monoid::max, {2, 2}, steps, {4, 4}, false, true}, {}},
      {Pad{{0, 0, 1, 1}, {0, 0, 1, 1}}, {{DType::f32, {}}}},
      {Scan{Monoid::sum, 3, false, false}, {}},
      {Arg{true, 3, true, false}, {}},
      {TopK{3, 2, true}, {}},
      {Scatter{Combine::add}, {{DType::i64, {1}}, image}},
  };
  for (const Case& c : cases) {
    Graph g;
    const ValueId x = g.add_input("x", image);
    std::vector<ValueId> inputs = {x};
    for (const TensorType& type : c.more) inputs.push_back(zeros(g, type));
    const ValueId y = g.add_node(c.op, inputs, "odd")[0];
    Pointwise relu;
    const DType type = g.type(y).dtype;
    relu.expr.results = {relu.expr.apply(ExprOp::max, relu.expr.operand(0, type), relu.expr.constant(0, type))};
    g.outputs = g.add_node(relu, {y}, "relu");
    INFO(kind_name(c.op));
    const Buildable only_pointwise = [](const Kernel& kernel) { return anchor(kernel) == "pointwise"; };
    CHECK(uncomputed(g, only_pointwise) == std::vector<std::string>{std::string(kind_name(c.op)) + " odd"});
    CHECK(partition_fused(g, only_pointwise).instances.size() == 2);
    // With a template each is one kernel; of these only a convolution has an epilogue.
    CHECK(uncomputed(g, any_kernel).empty());
    CHECK(partition_fused(g).instances.size() == (std::holds_alternative<Convolution>(c.op) ? 1 : 2));
  }
}
