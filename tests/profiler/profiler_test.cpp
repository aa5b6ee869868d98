#include <doctest/doctest.h>

#include "agents/planner/planner.h"
#include "agents/profiler/profiler.h"
#include "runtime/base/json.h"

using namespace kiln;
using namespace kiln::agents;
using graph::DType;

namespace {

// A machine with round figures: 100 GFLOP/s, and 400, 200, 100 and 10 GB/s from L1, L2, L3 and memory.
NodeFacts round_machine() {
  NodeFacts n;
  n.cores = 2;
  n.l1d_bytes = 32 << 10;
  n.l2_bytes = 1 << 20;
  n.l3_bytes = 8 << 20;
  n.bandwidth = {{"l1_read", 4e11}, {"l2_read", 2e11}, {"l3_read", 1e11}, {"memory_read", 1e10}};
  n.flops = {{"f32", 1e11}, {"f64", 5e10}};
  n.launch_ns = 1000;
  return n;
}

Partition one_matmul(std::int64_t m, std::int64_t n, std::int64_t k, DType type = DType::f32) {
  graph::Graph g;
  const auto a = g.add_input("a", {type, {m, k}}), b = g.add_input("b", {type, {k, n}});
  g.outputs = g.add_node(graph::MatMul{false, false}, {a, b}, "product");
  return partition_fused(g);
}

Partition one_negation(std::int64_t elements) {
  graph::Graph g;
  graph::Pointwise p;
  p.expr.results = {p.expr.apply(graph::ExprOp::neg, p.expr.operand(0, DType::f32))};
  g.outputs = g.add_node(std::move(p), {g.add_input("x", {DType::f32, {elements}})}, "neg");
  return partition_fused(g);
}

RegionProfile only(const Partition& p) { return profile(round_machine(), p).regions.at(0); }

}  // namespace

TEST_CASE("a large product is bound by arithmetic: 2 m n k over the measured FLOP/s") {
  const RegionProfile r = only(one_matmul(512, 512, 512));
  CHECK(r.flops == 2.0 * 512 * 512 * 512);
  CHECK(r.bytes == 3.0 * 512 * 512 * 4);
  CHECK(r.compute_ns == doctest::Approx(2684354.56));  // 268435456 FLOP at 100 GFLOP/s
  // Of 3 MiB, 64 KiB lie in both L1, 1984 KiB in both L2, and 1 MiB in L3.
  CHECK(r.memory_ns == doctest::Approx(65536 / 400.0 + 2031616 / 200.0 + 1048576 / 100.0));
  CHECK(r.floor_ns == r.compute_ns);
  CHECK(r.limit == "compute");
  CHECK(r.intensity == doctest::Approx(512.0 / 6));
}

TEST_CASE("double precision has its own ceiling") {
  CHECK(only(one_matmul(512, 512, 512, DType::f64)).compute_ns == doctest::Approx(2 * 2684354.56));
}

TEST_CASE("the bandwidth is that of the fastest level that holds what is touched") {
  CHECK(only(one_negation(4096)).memory_ns == doctest::Approx(32768 / 400.0));           // 32 KiB: L1 of two cores
  const double l1 = 65536 / 400.0, l2 = 2031616 / 200.0, l3 = 6291456 / 100.0;           // each as full as it can be
  CHECK(only(one_negation(1 << 17)).memory_ns == doctest::Approx(l1 + 983040 / 200.0));  // 1 MiB: the rest in L2
  CHECK(only(one_negation(1 << 19)).memory_ns == doctest::Approx(l1 + l2 + 2097152 / 100.0));  // 4 MiB: the rest in L3
  const RegionProfile large = only(one_negation(1 << 24));
  CHECK(large.memory_ns == doctest::Approx(l1 + l2 + l3 + 125829120 / 10.0));            // 128 MiB: the rest in memory
  CHECK(large.limit == "bandwidth");
}

TEST_CASE(
    "what is less work than a launch of all threads says so, and the workload's floor is the sum over occurrences") {
  const RegionProfile r =
      only(one_negation(16));  // 128 bytes at 400 bytes per ns: one thread may do that without the others
  CHECK(r.floor_ns == doctest::Approx(0.32));
  CHECK(r.limit == "launch");
  Partition twice = one_negation(16);
  twice.instances.push_back(twice.instances[0]);
  const ProfileReport report = profile(round_machine(), twice);
  CHECK(report.regions.at(0).occurrences == 2);
  CHECK(report.floor_ns == doctest::Approx(0.64));
}

TEST_CASE("a level that was not measured is skipped, and no ceiling at all leaves no floor") {
  NodeFacts node = round_machine();
  node.bandwidth.erase("l1_read");
  CHECK(profile(node, one_negation(4096)).regions.at(0).memory_ns == doctest::Approx(32768 / 200.0));
  node.bandwidth.clear();
  node.flops.clear();
  CHECK(profile(node, one_matmul(64, 64, 64)).regions.at(0).floor_ns == 0);
}

TEST_CASE("products may run on the tile unit, other work not") {
  NodeFacts node = round_machine();
  node.flops["f32_by_tiles"] = 4e11;
  CHECK(profile(node, one_matmul(512, 512, 512)).regions.at(0).compute_ns == doctest::Approx(268435456 / 400.0));
  CHECK(profile(node, one_matmul(64, 64, 64, DType::f64)).regions.at(0).compute_ns == doctest::Approx(524288 / 50.0));
  // One at float32 accuracy is six of bfloat16; of bytes there are twice as many again.
  CHECK(profile(node, one_matmul(512, 512, 512, DType::bf16)).regions.at(0).compute_ns ==
        doctest::Approx(268435456 / 2400.0));
  CHECK(profile(node, one_matmul(512, 512, 512, DType::i32)).regions.at(0).compute_ns ==
        doctest::Approx(268435456 / 4800.0));
  CHECK(profile(node, one_negation(1 << 20)).regions.at(0).compute_ns == doctest::Approx(1048576 / 100.0));
}

TEST_CASE("without a tile unit products of bfloat16 may be two to a lane") {
  NodeFacts node = round_machine();
  CHECK(profile(node, one_matmul(512, 512, 512, DType::bf16)).regions.at(0).compute_ns ==
        doctest::Approx(268435456 / 100.0));
  node.features.emplace_back("avx512_bf16");
  CHECK(profile(node, one_matmul(512, 512, 512, DType::bf16)).regions.at(0).compute_ns ==
        doctest::Approx(268435456 / 200.0));
  CHECK(profile(node, one_matmul(512, 512, 512)).regions.at(0).compute_ns == doctest::Approx(268435456 / 100.0));
}

TEST_CASE("without a tile unit products of integers have no floor from arithmetic") {
  CHECK(profile(round_machine(), one_matmul(512, 512, 512, DType::i32)).regions.at(0).compute_ns == 0);
}

TEST_CASE("a bottleneck says how far from the floor, in the unit of what limits") {
  const RegionProfile compute = only(one_matmul(512, 512, 512));
  const Bottleneck half = bottleneck(compute, 2 * compute.floor_ns);
  CHECK(half.limit == "compute");
  CHECK(half.floor_fraction == doctest::Approx(0.5));
  CHECK(half.text.find("50 %") != std::string::npos);
  CHECK(half.text.find("50.0 GFLOP/s") != std::string::npos);
  const RegionProfile stream = only(one_negation(1 << 24));
  CHECK(bottleneck(stream, 4 * stream.floor_ns).text.find("2.7 GB/s") != std::string::npos);  // 134.2 MB in 50.6 ms
  CHECK(bottleneck(stream, 0).text == "not measured");
}

TEST_CASE("the profile report's JSON names every figure") {
  const json::object o = to_json(profile(round_machine(), one_matmul(8, 8, 8)));
  const json::object& r = o.at("regions").as_array().at(0).as_object();
  for (const char* member : {"region", "label", "occurrences", "flops", "bytes", "intensity", "compute_ns", "memory_ns",
                             "floor_ns", "limit"})
    CHECK(r.contains(member));
  CHECK(o.at("node").as_object().at("cores").as_int64() == 2);
}
