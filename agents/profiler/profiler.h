// The profiler: from what was measured on the node and the regions of a workload to floors and bottlenecks.
#pragma once

#include <string>
#include <vector>

#include "agents/artifacts/facts.h"
#include "agents/region/kernel.h"
#include "agents/region/region.h"
#include "runtime/base/json_fwd.h"

namespace kiln::agents {

struct RegionProfile {
  std::string region;      // Region::key
  std::string label;
  std::int32_t occurrences = 1;
  double flops = 0, bytes = 0;   // of one occurrence (Cost)
  double intensity = 0;          // flops / bytes
  double compute_ns = 0;         // flops over the measured FLOP/s of its type
  double memory_ns = 0;          // bytes over the measured bandwidths, each level of memory as full as it can be
  double floor_ns = 0;           // the larger; nothing that computes the region is faster
  std::string limit;             // "compute", "bandwidth"; "launch" when waking all threads takes longer than the floor
};

struct ProfileReport {
  NodeFacts node;
  std::vector<RegionProfile> regions;
  double floor_ns = 0;  // of the workload: sum over occurrences
};
[[nodiscard]] json::object to_json(const ProfileReport& r);

[[nodiscard]] ProfileReport profile(const NodeFacts& node, const Partition& partition);

// "bandwidth: 81 % of measured l2_read" and how far from the floor; for the report and the planner's hypotheses.
struct Bottleneck { std::string limit; double floor_fraction = 0; std::string text; };
[[nodiscard]] Bottleneck bottleneck(const RegionProfile& region, double measured_ns);

}  // namespace kiln::agents
