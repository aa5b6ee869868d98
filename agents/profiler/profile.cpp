#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "agents/artifacts/fields.h"
#include "agents/profiler/profiler.h"
#include "runtime/base/json.h"

namespace kiln::agents {
namespace {

double figure(const std::map<std::string, double>& figures, const std::string& key) {
  const auto at = figures.find(key);
  return at == figures.end() ? 0 : at->second;
}

// No run can move `bytes` faster: what the fastest level holds comes from there, the next bytes from the next level.
// All cores work on it together, so private levels add up. Levels that were not measured are skipped.
double least_memory_ns(const NodeFacts& node, double bytes) {
  struct Level { const char* name; double capacity; };
  const auto cores = static_cast<double>(node.cores);
  if (node.gpu) {
    // A GPU's first-level caches and shared memory are empty when a launch begins.
    const double l2 = figure(node.bandwidth, "l2_read"), memory = figure(node.bandwidth, "memory_copy");
    const double held = l2 > 0 ? std::min(bytes, static_cast<double>(node.gpu->l2_bytes)) : 0;
    return (held > 0 ? held / l2 * 1e9 : 0) + (memory > 0 ? (bytes - held) / memory * 1e9 : 0);
  }
  const Level levels[] = {{"l1_read", static_cast<double>(node.l1d_bytes) * cores},
                          {"l2_read", static_cast<double>(node.l2_bytes) * cores},
                          {"l3_read", static_cast<double>(node.l3_bytes)},
                          {"memory_read", HUGE_VAL}};
  double ns = 0, held = 0;
  for (const Level& level : levels) {
    const double bandwidth = figure(node.bandwidth, level.name);
    if (!(bandwidth > 0) || level.capacity <= held) continue;
    const double here = std::min(bytes, level.capacity) - held;
    ns += here / bandwidth * 1e9;
    held += here;
    if (held >= bytes) break;
  }
  return ns;
}

// How many products of bfloat16, or of bytes, the tile unit computes while it computes one at float32 accuracy
// (store/corpus/templates/cpu/tiles.h): six of parts, and bytes lie twice as dense.
constexpr double kProductsOfBf16 = 6, kProductsOfBytes = 12;
// And how many an instruction without tiles has where one of float32 has one (VDPBF16PS).
constexpr double kPairOfBf16 = 2;

double products_by_tiles(const NodeFacts& node, graph::DType type) {
  const double bf16 = type == graph::DType::bf16 ? kProductsOfBf16 : 1;
  return figure(node.flops, "f32_by_tiles") * (graph::is_integer(type) ? kProductsOfBytes : bf16);
}

bool has_feature(const NodeFacts& node, std::string_view name) {
  return std::find(node.features.begin(), node.features.end(), name) != node.features.end();
}

// Half types are computed in f32 here. Products of matrices may run on the tile unit; without one those of integers
// have no measured ceiling and no floor from arithmetic.
double flops_for(const NodeFacts& node, const Region& region) {
  for (const graph::ValueId v : region.body.outputs)
    if (region.body.type(v).dtype == graph::DType::f64) return figure(node.flops, "f64");
  double most = figure(node.flops, "f32");
  for (const graph::Node& n : region.body.nodes) {
    if (!std::holds_alternative<graph::MatMul>(n.op)) continue;
    const graph::DType type = region.body.type(n.inputs[0]).dtype;
    const double tiles = products_by_tiles(node, type);
    if (graph::is_integer(type) && tiles == 0) return 0;
    const bool pairs = type == graph::DType::bf16 && has_feature(node, "avx512_bf16");
    most = std::max({most, tiles, pairs ? kPairOfBf16 * figure(node.flops, "f32") : 0});
  }
  return most;
}

json::object to_json(const RegionProfile& r) {
  return {{"region", r.region},
          {"label", r.label},
          {"occurrences", r.occurrences},
          {"flops", fields::number(r.flops)},
          {"bytes", fields::number(r.bytes)},
          {"intensity", fields::number(r.intensity)},
          {"compute_ns", fields::number(r.compute_ns)},
          {"memory_ns", fields::number(r.memory_ns)},
          {"floor_ns", fields::number(r.floor_ns)},
          {"limit", r.limit}};
}

}  // namespace

ProfileReport profile(const NodeFacts& node, const Partition& partition) {
  ProfileReport report;
  report.node = node;
  for (std::size_t i = 0; i < partition.regions.size(); ++i) {
    const Region& region = partition.regions[i];
    RegionProfile r;
    r.region = region.key;
    r.label = region.label;
    r.occurrences = static_cast<std::int32_t>(
        std::count_if(partition.instances.begin(), partition.instances.end(),
                      [&](const RegionInstance& instance) { return instance.region == static_cast<std::int32_t>(i); }));
    const Cost cost = cost_of(region);
    r.flops = cost.flops;
    r.bytes = cost.bytes;
    r.intensity = cost.bytes > 0 ? cost.flops / cost.bytes : 0;
    const double flops = flops_for(node, region);
    r.compute_ns = flops > 0 ? cost.flops / flops * 1e9 : 0;
    r.memory_ns = least_memory_ns(node, cost.bytes);
    r.floor_ns = std::max(r.compute_ns, r.memory_ns);
    r.limit = r.floor_ns < node.launch_ns ? "launch" : r.floor_ns == r.compute_ns ? "compute" : "bandwidth";
    report.floor_ns += r.floor_ns * r.occurrences;
    report.regions.push_back(std::move(r));
  }
  return report;
}

json::object to_json(const ProfileReport& r) {
  json::array regions;
  for (const RegionProfile& region : r.regions) regions.emplace_back(to_json(region));
  return {{"node", to_json(r.node)}, {"regions", std::move(regions)}, {"floor_ns", fields::number(r.floor_ns)}};
}

Bottleneck bottleneck(const RegionProfile& region, double measured_ns) {
  Bottleneck b;
  b.limit = region.limit;
  if (!(measured_ns > 0)) {
    b.text = "not measured";
    return b;
  }
  b.floor_fraction = region.floor_ns / measured_ns;
  const double percent = 100 * b.floor_fraction;
  const double rate = 1 / measured_ns;  // per ns: GFLOP/s and GB/s
  if (b.limit == "compute") {
    b.text = fmt::format("compute: {:.0f} % of the measured FLOP/s ({:.1f} GFLOP/s), {:.2f} FLOP per byte", percent,
                         region.flops * rate, region.intensity);
  } else if (b.limit == "bandwidth") {
    b.text = fmt::format("bandwidth: {:.0f} % of what the measured levels of memory allow ({:.1f} GB/s)", percent,
                         region.bytes * rate);
  } else {
    b.text = fmt::format("launch: too little work to share among threads; {:.0f} % of its floor", percent);
  }
  return b;
}

}  // namespace kiln::agents
