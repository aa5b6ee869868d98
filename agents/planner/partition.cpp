// From groups to regions in an order that runs: which values are written to memory, by whom, and what must be copied.
#include <algorithm>
#include <map>

#include "agents/planner/grouping.h"
#include "agents/region/kernel.h"
#include "runtime/base/error.h"

namespace kiln::agents {

using graph::ValueId;

// What a region over `nodes` reads from memory.
std::set<ValueId> Grouping::reads_of(const Nodes& nodes) const {
  std::set<ValueId> reads;
  for (const std::int32_t n : nodes)
    for (const ValueId v : g_.nodes[static_cast<std::size_t>(n)].inputs)
      if (!nodes.contains(producer(v))) reads.insert(v);
  return reads;
}

std::vector<Grouping::Draft> Grouping::drafts(const std::set<ValueId>& copied) const {
  std::vector<Draft> out;
  std::map<std::int32_t, std::size_t> draft_of;  // by node that computes
  std::set<ValueId> needed = outputs_;
  for (const Group& group : groups_) {
    if (group.compute.empty()) continue;
    for (const std::int32_t n : group.compute) draft_of[n] = out.size();
    out.push_back({group.folded, {}, {}, group.folded});
    const std::set<ValueId> reads = reads_of(group.folded);
    needed.insert(reads.begin(), reads.end());
  }
  // A view that is needed in memory is written by what computes its base, else by a copy.
  std::vector<ValueId> work(needed.begin(), needed.end());
  for (std::size_t at = 0; at < work.size(); ++at) {
    const ValueId v = work[at];
    if (!is_view(producer(v))) continue;
    const Nodes chain = chain_behind(v);
    const std::int32_t from = producer(base_of(v));
    if (from >= 0 && !copied.contains(v)) {
      Draft& draft = out[draft_of.at(from)];
      draft.nodes.insert(chain.begin(), chain.end());
      draft.adopted.insert(v);
      continue;
    }
    Nodes copy = chain;
    if (!lower(cut_region(g_, {copy.begin(), copy.end()}, {v}).region)) copy = {producer(v)};
    out.push_back({copy, {v}, {}});
    for (const ValueId read : reads_of(copy))
      if (needed.insert(read).second) work.push_back(read);
  }
  for (Draft& draft : out) {
    for (const std::int32_t n : draft.nodes)
      for (const ValueId v : g_.nodes[static_cast<std::size_t>(n)].outputs)
        if (!is_view(n) && needed.contains(v)) draft.outputs.insert(v);
    draft.outputs.insert(draft.adopted.begin(), draft.adopted.end());
  }
  return out;
}

bool Grouping::writes_in_place(const Draft& draft) const {
  const std::optional<double> in_place = cost_of_kernel(draft.nodes, {draft.outputs.begin(), draft.outputs.end()});
  if (!in_place) return false;
  double copies = 0;
  std::set<ValueId> outputs;
  for (const ValueId v : draft.outputs) {
    outputs.insert(draft.adopted.contains(v) ? base_of(v) : v);
    if (draft.adopted.contains(v)) copies += bytes_to_copy(v);
  }
  const std::optional<double> plain = cost_of_kernel(draft.own, {outputs.begin(), outputs.end()});
  return !plain || *in_place <= *plain + copies;
}

Partition Grouping::partition() const {
  // A producer that cannot write its views in place leaves them to copies. Each round copies more, so this ends.
  std::set<ValueId> copied;
  std::vector<Draft> all;
  for (bool again = true; again;) {
    again = false;
    all = drafts(copied);
    for (const Draft& draft : all) {
      if (draft.adopted.empty() || writes_in_place(draft)) continue;
      copied.insert(draft.adopted.begin(), draft.adopted.end());
      again = true;
    }
  }
  std::set<ValueId> written(g_.inputs.begin(), g_.inputs.end());
  const auto ready = [&](const Draft& draft) {
    for (const ValueId v : reads_of(draft.nodes))
      if (!g_.is_constant(v) && !written.contains(v)) return false;
    return true;
  };
  Partition partition;
  std::map<std::string, std::int32_t> by_key;
  std::vector<bool> done(all.size(), false);
  for (std::size_t left = all.size(); left > 0; --left) {
    std::size_t next = all.size();  // of those that can run, the one that ends first in the workload's order
    for (std::size_t i = 0; i < all.size(); ++i)
      if (!done[i] && ready(all[i]) && (next == all.size() || *all[i].nodes.rbegin() < *all[next].nodes.rbegin()))
        next = i;
    if (next == all.size())
      throw Error(ErrorCode::internal, "cannot order the regions of '" + g_.name + "': two need each other's results");
    done[next] = true;
    const Draft& draft = all[next];
    if (draft.outputs.empty()) continue;  // nobody reads it
    RegionCut cut =
        cut_region(g_, {draft.nodes.begin(), draft.nodes.end()}, {draft.outputs.begin(), draft.outputs.end()});
    written.insert(draft.outputs.begin(), draft.outputs.end());
    const auto [at, is_new] = by_key.emplace(cut.region.key, static_cast<std::int32_t>(partition.regions.size()));
    if (is_new) partition.regions.push_back(std::move(cut.region));
    cut.instance.region = at->second;
    partition.instances.push_back(std::move(cut.instance));
  }
  return partition;
}

}  // namespace kiln::agents
