// A region: the part of a workload that one kernel computes. Its body is an op graph, so the oracle executes it as it
// is; its key is the digest of the body without names, so equal regions of a model (six equal layers) are tuned once.
#pragma once

#include <string>
#include <vector>

#include "agents/graph/graph.h"

namespace kiln::agents {

struct Region {
  std::string key;     // first 16 hex digits of SHA-256 over the canonical body; equal for equal computations
  std::string label;   // for people: "matmul 128x1536x384 + gelu"
  graph::Graph body;   // inputs and outputs are dense row-major; constants inside are scalars and small tables only
  std::vector<bool> weight;  // per body input: constant in the workload, so that `prepare` may repack it
};

// One occurrence of a region in the workload.
struct RegionInstance {
  std::int32_t region = 0;  // index into Partition::regions
  std::vector<graph::ValueId> inputs;   // values of the workload graph, parallel to body.inputs
  std::vector<graph::ValueId> outputs;
};

// Every node that computes something that an output depends on is in exactly one instance. A view is in each instance
// that folds it into its indexing, or in one that only copies. Instances are in an order that can run.
struct Partition {
  std::vector<Region> regions;
  std::vector<RegionInstance> instances;
};

// Builds the region over `nodes` (indices into workload.nodes, ascending) and its instance. Values that leave the set
// or are workload outputs become body outputs; values that enter it become body inputs. Scalar constants are copied
// into the body. Throws Error(internal) when the set is not convex.
struct RegionCut {
  Region region;
  RegionInstance instance;
};
[[nodiscard]] RegionCut cut_region(const graph::Graph& workload, const std::vector<std::int32_t>& nodes);
// The same with the outputs named, for nodes of which other instances have copies of their own (views). Whatever order
// they are named in, a region has its outputs in that of the nodes that make them.
[[nodiscard]] RegionCut cut_region(const graph::Graph& workload, const std::vector<std::int32_t>& nodes,
                                   const std::vector<graph::ValueId>& outputs);

[[nodiscard]] std::string region_key(const graph::Graph& body, const std::vector<bool>& weight);

}  // namespace kiln::agents
