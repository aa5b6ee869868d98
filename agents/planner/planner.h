// The planner: partitions a workload into regions, says what is worth trying where, and assembles kernels into plans.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "agents/artifacts/plan.h"
#include "agents/artifacts/rendered.h"
#include "agents/profiler/profiler.h"
#include "agents/region/region.h"
#include "policies/policy.h"
#include "runtime/base/json_fwd.h"
#include "store/corpus/corpus.h"

namespace kiln::agents {

// Whether some template of the corpus computes a kernel: what none computes is not merged.
using Buildable = std::function<bool(const Kernel&)>;
[[nodiscard]] bool any_kernel(const Kernel& kernel);  // true

// Op by op, as a framework would run it: each node its own region, but for the bias of a product with a weight, which
// every vendor's call takes; views that need no copy fold into the reader or writer where strides express them, and are
// copies otherwise. What the baseline plan is made from.
[[nodiscard]] Partition partition_op_by_op(const graph::Graph& workload, const Buildable& buildable = any_kernel);

// The operators that some output depends on and that no template computes, for people: "convolution /conv1/Conv
// (Conv)". A workload that has any cannot be tuned; every other one has a partition whose regions all have a kernel.
[[nodiscard]] std::vector<std::string> uncomputed(const graph::Graph& workload, const Buildable& buildable);

// The workload with Attention as matmul, scale and mask, softmax, matmul: what a framework without a fused call runs.
// What no node makes comes first among its values, in the workload's order.
[[nodiscard]] graph::Graph expand_composites(const graph::Graph& workload);

// The baseline's own graph (composites such as Attention expanded into what a framework would call) and its partition.
struct Baseline {
  graph::Graph graph;
  Partition partition;
};
[[nodiscard]] Baseline baseline(const graph::Graph& workload, const Buildable& buildable = any_kernel);

// `least_work`: without what makes a kernel compute more, or hold more in registers, so that less is moved: statistics
// that a product or a convolution sums up beside its results, and windows over rows that are reduced in the same
// kernel.
enum class Fusing : std::uint8_t { most, least_work };

// Fused by cost: bytes saved against recomputation and parallelism; only regions that lower() and `buildable` accept.
[[nodiscard]] Partition partition_fused(const graph::Graph& workload, const Buildable& buildable = any_kernel,
                                        Fusing how = Fusing::most);

// The same region as several kernels, where bytes alone do not tell whether one is faster: `alone`, which is
// standalone(region), partitioned for the least work. nullopt where that is one kernel too.
[[nodiscard]] std::optional<Baseline> in_parts(const Region& region, const graph::Graph& alone,
                                               const Buildable& buildable);

struct RegionPlan {
  std::string region;
  std::vector<std::string> families;   // "matmul/packed", "matmul/onednn"
  double head_room_ns = 0;             // (incumbent - floor) * occurrences
  double gain_ns = 0;                  // what is likely of it: the traffic that fusing saves, and a part of the rest
  double budget_share = 0;             // of the search budget, sums to 1
  bool worth_looking = false;          // looked at in any case: much of the plan's gain, or the first of such a kind
  std::vector<std::string> hypotheses; // "compute-bound at 61 % of its floor: register blocking and packing"
};

// The most promising region of each kind of kernel whose regions together are worth looking at, then all the others;
// both by their likely gain. A kind that is at its best already is found out at the cost of one region.
struct TuningPlan {
  std::vector<RegionPlan> regions;
};
[[nodiscard]] json::object to_json(const TuningPlan& p);

// `incumbent_ns`: region key -> median time of the baseline for one occurrence.
[[nodiscard]] TuningPlan plan(const Partition& partition, const ProfileReport& profile,
                              const std::map<std::string, double>& incumbent_ns,
                              const std::vector<store::TemplateSpec>& corpus, const policies::Policy& policy);

// A built kernel: what the writer rendered and where its code object is.
struct BuiltKernel {
  RenderedKernel kernel;
  std::string object;  // SHA-256
};

// Null for a region that runs as one kernel; the baseline of standalone(), or its in_parts(), of one that does not.
using Splits = std::vector<const Baseline*>;

// The partition with every instance of a split region (parallel to partition.regions) in its parts: the regions of each
// in place of the region. `values` is the workload with a value for each result that passes
// between parts and for each constant that only a baseline has; its nodes are those of the workload.
struct SplitPartition {
  graph::Graph values;
  Partition partition;
};
[[nodiscard]] SplitPartition split(const graph::Graph& workload, const Partition& partition, const Splits& splits);

// The plan of `workload` with one kernel per region (parallel to partition.regions). Temporary buffers share memory by
// lifetime. `constants` is the digest of the workload's constants blob, whose layout is graph::layout_constants.
[[nodiscard]] Plan assemble(const graph::Graph& workload, const Partition& partition,
                            const std::vector<BuiltKernel>& kernels, const std::string& constants,
                            std::int32_t threads);

// The body of a region as a workload of its own, for checking and timing one candidate: weights become inputs that are
// packed per call only if the kernel has no `prepare`; with a `prepare`, they become constants with generated values,
// so that what is timed is what runs. Returns the graph whose constants blob the caller stores.
[[nodiscard]] graph::Graph standalone(const Region& region, std::uint64_t seed);

}  // namespace kiln::agents
