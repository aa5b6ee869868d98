#include "agents/planner/grouping.h"

#include <algorithm>
#include <map>

#include "agents/region/kernel.h"

namespace kiln::agents {

using graph::ValueId;

namespace {

std::vector<std::int32_t> listed(const Grouping::Nodes& nodes) { return {nodes.begin(), nodes.end()}; }

void add(Grouping::Nodes& to, const Grouping::Nodes& more) { to.insert(more.begin(), more.end()); }

bool includes(const Grouping::Nodes& all, const Grouping::Nodes& part) {
  return std::includes(all.begin(), all.end(), part.begin(), part.end());
}

}  // namespace

Grouping::Grouping(const graph::Graph& workload, std::function<bool(const Kernel&)> buildable)
    : g_(workload),
      buildable_(std::move(buildable)),
      producers_(workload.values.size(), -1),
      users_(workload.values.size()),
      outputs_(workload.outputs.begin(), workload.outputs.end()),
      group_of_(workload.nodes.size(), -1) {
  std::vector<bool> live(workload.nodes.size(), false);  // some output depends on it; the others belong to no group
  std::set<ValueId> needed = outputs_;
  for (std::size_t n = g_.nodes.size(); n-- > 0;) {
    const auto node = static_cast<std::int32_t>(n);
    for (const ValueId v : g_.nodes[n].outputs) {
      producers_[static_cast<std::size_t>(v)] = node;
      live[n] = live[n] || needed.contains(v);
    }
    if (!live[n]) continue;
    needed.insert(g_.nodes[n].inputs.begin(), g_.nodes[n].inputs.end());
    for (const ValueId v : g_.nodes[n].inputs) users_[static_cast<std::size_t>(v)].push_back(node);
  }
  for (std::size_t n = 0; n < g_.nodes.size(); ++n) {
    const auto node = static_cast<std::int32_t>(n);
    if (is_view(node) || !live[n]) continue;
    group_of_[n] = static_cast<std::int32_t>(groups_.size());
    groups_.push_back({{node}, {}});
    groups_.back().folded = fold({node}).value_or(Nodes{node});
  }
}

bool Grouping::is_view(std::int32_t node) const {
  return node >= 0 && graph::is_view(g_.nodes[static_cast<std::size_t>(node)].op);
}

Grouping::Nodes Grouping::chain_behind(ValueId v) const {
  Nodes chain;
  while (is_view(producer(v))) {
    chain.insert(producer(v));
    v = g_.nodes[static_cast<std::size_t>(producer(v))].inputs[0];
  }
  return chain;
}

ValueId Grouping::base_of(ValueId v) const {
  while (is_view(producer(v))) v = g_.nodes[static_cast<std::size_t>(producer(v))].inputs[0];
  return v;
}

// Whether anything outside the group reads v, itself or through views.
bool Grouping::leaves(ValueId v, const Nodes& compute) const {
  if (outputs_.contains(v)) return true;
  for (const std::int32_t user : users_[static_cast<std::size_t>(v)]) {
    if (is_view(user) ? leaves(g_.nodes[static_cast<std::size_t>(user)].outputs[0], compute) : !compute.contains(user))
      return true;
  }
  return false;
}

std::vector<ValueId> Grouping::outputs_of(const Nodes& nodes, const Nodes& compute) const {
  std::vector<ValueId> out;
  for (const std::int32_t n : nodes) {
    if (!compute.contains(n)) continue;
    for (const ValueId v : g_.nodes[static_cast<std::size_t>(n)].outputs)
      if (leaves(v, compute)) out.push_back(v);
  }
  return out;
}

double Grouping::bytes(const Nodes& nodes, const Nodes& compute) const {
  return cost_of(cut_region(g_, listed(nodes), outputs_of(nodes, compute)).region).bytes;
}

std::optional<double> Grouping::cost(const Nodes& nodes, const Nodes& compute) const {
  const std::vector<ValueId> outputs = outputs_of(nodes, compute);
  if (outputs.empty()) return std::nullopt;
  return cost_of_kernel(nodes, outputs);
}

std::optional<double> Grouping::cost_of_kernel(const Nodes& nodes, const std::vector<ValueId>& outputs) const {
  // Operations that a processor makes in the time of a byte: 280 GFLOP/s and 29 GB/s of two cores, 57 TFLOP/s and
  // 4.2 TB/s of an H200.
  constexpr double kOperationsPerByte = 10;
  const RegionCut cut = cut_region(g_, listed(nodes), outputs);
  const std::optional<Kernel> kernel = lower(cut.region);
  if (!kernel || !buildable_(*kernel)) return std::nullopt;
  return cost_of(cut.region).bytes + wasted_flops(*kernel) / kOperationsPerByte;
}

double Grouping::bytes_to_copy(ValueId v) const {
  const graph::TensorType& type = g_.type(v);
  return 2 * static_cast<double>(graph::element_count(type.shape)) * static_cast<double>(graph::size_of(type.dtype));
}

// The compute nodes with all views that are worth folding: a copy would cost more. nullopt when they are not one kernel
// even with none from outside.
std::optional<Grouping::Nodes> Grouping::fold(const Nodes& compute) const {
  struct Chain { Nodes nodes; double copy; };  // bytes that a copy of what it ends in moves
  Nodes inner = compute;
  std::vector<Chain> optional;
  for (const std::int32_t n : compute) {
    for (const ValueId v : g_.nodes[static_cast<std::size_t>(n)].inputs) {
      const Nodes chain = chain_behind(v);
      if (chain.empty()) continue;
      if (compute.contains(producer(base_of(v)))) add(inner, chain);
      else optional.push_back({chain, bytes_to_copy(v)});
    }
  }
  Nodes all = inner;
  double copies = 0;
  for (const Chain& chain : optional) {
    add(all, chain.nodes);
    copies += chain.copy;
  }
  const std::optional<double> none = cost(inner, compute), whole = cost(all, compute);
  if (whole && (!none || *whole <= *none + copies)) return all;
  if (!none) return std::nullopt;
  double now = *none;
  for (const Chain& chain : optional) {
    Nodes more = inner;
    add(more, chain.nodes);
    const std::optional<double> then = cost(more, compute);
    if (!then || *then > now + chain.copy) continue;
    inner = std::move(more);
    now = *then;
  }
  return inner;
}

std::vector<Grouping::Edge> Grouping::edges() const {
  std::map<std::pair<std::int32_t, std::int32_t>, std::size_t> found;
  std::set<std::pair<std::size_t, ValueId>> counted;
  std::vector<Edge> out;
  for (std::size_t n = 0; n < g_.nodes.size(); ++n) {
    if (group_of_[n] < 0) continue;
    for (const ValueId v : g_.nodes[n].inputs) {
      const ValueId base = base_of(v);
      const std::int32_t from = producer(base);
      if (from < 0) continue;
      const std::int32_t group = group_of_[static_cast<std::size_t>(from)];
      if (group == group_of_[n]) continue;
      const auto [at, is_new] = found.emplace(std::pair{group, group_of_[n]}, out.size());
      if (is_new) out.push_back({group, group_of_[n]});
      if (counted.emplace(at->second, base).second) out[at->second].bytes += bytes_to_copy(base) / 2;
    }
  }
  return out;
}

// Kahn's algorithm over the groups; views are followed through.
bool Grouping::acyclic(const std::vector<std::int32_t>& group_of) const {
  std::vector<std::set<std::int32_t>> after(groups_.size());
  std::vector<std::size_t> waiting(groups_.size(), 0);
  for (std::size_t n = 0; n < g_.nodes.size(); ++n) {
    if (group_of[n] < 0) continue;
    for (const ValueId v : g_.nodes[n].inputs) {
      const std::int32_t from = producer(base_of(v));
      if (from < 0 || group_of[static_cast<std::size_t>(from)] == group_of[n]) continue;
      if (after[static_cast<std::size_t>(group_of[static_cast<std::size_t>(from)])].insert(group_of[n]).second)
        ++waiting[static_cast<std::size_t>(group_of[n])];
    }
  }
  std::vector<std::size_t> ready;
  for (std::size_t i = 0; i < groups_.size(); ++i)
    if (waiting[i] == 0) ready.push_back(i);
  for (std::size_t at = 0; at < ready.size(); ++at)
    for (const std::int32_t next : after[ready[at]])
      if (--waiting[static_cast<std::size_t>(next)] == 0) ready.push_back(static_cast<std::size_t>(next));
  return ready.size() == groups_.size();
}

bool Grouping::merge(Edge edge) {
  Group& a = groups_[static_cast<std::size_t>(edge.from)];
  Group& b = groups_[static_cast<std::size_t>(edge.to)];
  std::vector<std::int32_t> moved = group_of_;
  for (const std::int32_t n : b.compute) moved[static_cast<std::size_t>(n)] = edge.from;
  if (!acyclic(moved)) return false;
  Nodes compute = a.compute;
  add(compute, b.compute);
  const std::optional<Nodes> folded = fold(compute);
  if (!folded || !includes(*folded, a.folded) || !includes(*folded, b.folded)) return false;
  const auto cost_alone = [&](const Group& group) {
    return cost(group.folded, group.compute).value_or(bytes(group.folded, group.compute));
  };
  if (*cost(*folded, compute) >= cost_alone(a) + cost_alone(b)) return false;
  a = {std::move(compute), *folded};
  b = {};
  group_of_ = std::move(moved);
  return true;
}

}  // namespace kiln::agents
