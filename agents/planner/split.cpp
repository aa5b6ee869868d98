// Regions that are run op by op, or as fewer kernels, after all, since that was measured to be faster: their parts in
// their place.
#include <algorithm>

#include "agents/planner/planner.h"
#include "runtime/base/error.h"

namespace kiln::agents {
namespace {

using graph::ValueId;

std::vector<ValueId> made_by_no_node(const graph::Graph& g) {
  std::vector<bool> made(g.values.size(), false);
  for (const graph::Node& node : g.nodes)
    for (const ValueId v : node.outputs) made[static_cast<std::size_t>(v)] = true;
  std::vector<ValueId> out;
  for (std::size_t v = 0; v < g.values.size(); ++v)
    if (!made[v]) out.push_back(static_cast<ValueId>(v));
  return out;
}

ValueId add_constant(graph::Graph& to, const graph::Graph& from, ValueId v) {
  const auto i = static_cast<std::size_t>(v);
  const ValueId added = to.add_value(from.values[i].name + "_" + std::to_string(to.values.size()), from.values[i].type);
  to.constants[static_cast<std::size_t>(added)] = from.constants[i];
  return added;
}

// What is the same for all instances of one region.
class Parts {
 public:
  Parts(const Region& region, const Baseline& baseline, graph::Graph& values)
      : baseline_(baseline), values_(values), shared_(baseline.graph.values.size(), -1),
        input_(baseline.graph.values.size(), -1) {
    // In one order; what only the baseline has comes behind.
    const std::vector<ValueId> outside = made_by_no_node(region.body), own = made_by_no_node(baseline.graph);
    for (std::size_t i = 0; i < outside.size(); ++i) {
      const auto at = std::find(region.body.inputs.begin(), region.body.inputs.end(), outside[i]);
      if (at != region.body.inputs.end())
        input_[static_cast<std::size_t>(own.at(i))] = static_cast<std::int32_t>(at - region.body.inputs.begin());
    }
  }

  void add(const RegionInstance& instance, std::int32_t first_region, std::vector<RegionInstance>& out) {
    std::vector<ValueId> own(baseline_.graph.values.size(), -1);
    for (std::size_t i = 0; i < baseline_.graph.outputs.size(); ++i)
      own[static_cast<std::size_t>(baseline_.graph.outputs[i])] = instance.outputs.at(i);
    for (const RegionInstance& part : baseline_.partition.instances) {
      RegionInstance added;
      added.region = first_region + part.region;
      for (const ValueId v : part.inputs) added.inputs.push_back(value(v, instance, own));
      for (const ValueId v : part.outputs) added.outputs.push_back(value(v, instance, own));
      out.push_back(std::move(added));
    }
  }

 private:
  ValueId value(ValueId v, const RegionInstance& instance, std::vector<ValueId>& own) {
    const auto i = static_cast<std::size_t>(v);
    if (input_[i] >= 0) return instance.inputs.at(static_cast<std::size_t>(input_[i]));
    if (baseline_.graph.is_constant(v)) {
      if (shared_[i] < 0) shared_[i] = add_constant(values_, baseline_.graph, v);
      return shared_[i];
    }
    if (own[i] < 0)
      own[i] = values_.add_value("part_" + std::to_string(values_.values.size()), baseline_.graph.type(v));
    return own[i];
  }

  const Baseline& baseline_;
  graph::Graph& values_;
  std::vector<ValueId> shared_;      // constants of the baseline that the region does not get from outside
  std::vector<std::int32_t> input_;  // per value of the baseline: which input of the region it is, or -1
};

}  // namespace

SplitPartition split(const graph::Graph& workload, const Partition& partition, const Splits& splits) {
  if (splits.size() != partition.regions.size())
    throw Error(ErrorCode::internal, "cannot split the regions of '" + workload.name + "': one entry each is needed");
  SplitPartition out;
  out.values = workload;
  std::vector<std::int32_t> first;  // per region: where it, or the first of its parts, is in the new partition
  std::vector<Parts> parts;         // per region that is split
  std::vector<std::size_t> parts_of(splits.size(), 0);
  parts.reserve(splits.size());
  for (std::size_t r = 0; r < splits.size(); ++r) {
    std::vector<Region>& regions = out.partition.regions;
    first.push_back(static_cast<std::int32_t>(regions.size()));
    if (!splits[r]) {
      regions.push_back(partition.regions[r]);
      continue;
    }
    const std::vector<Region>& own = splits[r]->partition.regions;
    regions.insert(regions.end(), own.begin(), own.end());
    parts_of[r] = parts.size();
    parts.emplace_back(partition.regions[r], *splits[r], out.values);
  }
  for (const RegionInstance& instance : partition.instances) {
    const auto r = static_cast<std::size_t>(instance.region);
    if (splits[r]) {
      parts[parts_of[r]].add(instance, first[r], out.partition.instances);
    } else {
      out.partition.instances.push_back(instance);
      out.partition.instances.back().region = first[r];
    }
  }
  return out;
}

}  // namespace kiln::agents
