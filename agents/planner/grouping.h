// Groups of compute nodes that become regions. Views belong to no group: a region folds into its indexing those that
// lie on its way, each region its own copy of them; what nobody can fold is written in place by its producer, or
// copied. Invariant: the groups can be put in an order that runs. Internal to the planner.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "agents/region/kernel.h"
#include "agents/region/region.h"

namespace kiln::agents {

class Grouping {
 public:
  using Nodes = std::set<std::int32_t>;

  // Each compute node that some output depends on is its own group. `buildable`: some template computes this kernel.
  Grouping(const graph::Graph& workload, std::function<bool(const Kernel&)> buildable);

  // Groups: a result of `from` is read by `to`, maybe through views. `bytes`: of all such results.
  struct Edge { std::int32_t from, to; double bytes = 0; };
  [[nodiscard]] std::vector<Edge> edges() const;
  [[nodiscard]] const Nodes& compute(std::int32_t group) const {
    return groups_[static_cast<std::size_t>(group)].compute;
  }

  // Merges when the result is one kernel, can still be ordered, folds every view that the parts fold, and costs less
  // than they do. `to` is empty afterwards.
  bool merge(Edge edge);

  [[nodiscard]] Partition partition() const;

 private:
  struct Group {
    Nodes compute;
    Nodes folded;  // compute and the views that it folds
  };
  [[nodiscard]] bool is_view(std::int32_t node) const;
  [[nodiscard]] std::int32_t producer(graph::ValueId v) const { return producers_[static_cast<std::size_t>(v)]; }
  [[nodiscard]] Nodes chain_behind(graph::ValueId v) const;        // the views between v and what computes it
  [[nodiscard]] graph::ValueId base_of(graph::ValueId v) const;    // that value
  [[nodiscard]] bool leaves(graph::ValueId v, const Nodes& compute) const;
  [[nodiscard]] std::optional<Nodes> fold(const Nodes& compute) const;
  // What the nodes cost as one kernel, in bytes moved: wasted operations count as the bytes that take as long. nullopt
  // when they are none, or no template computes it.
  [[nodiscard]] std::optional<double> cost(const Nodes& nodes, const Nodes& compute) const;
  [[nodiscard]] std::optional<double> cost_of_kernel(const Nodes& nodes,
                                                     const std::vector<graph::ValueId>& outputs) const;
  [[nodiscard]] double bytes(const Nodes& nodes, const Nodes& compute) const;
  [[nodiscard]] double bytes_to_copy(graph::ValueId v) const;  // read and written
  [[nodiscard]] std::vector<graph::ValueId> outputs_of(const Nodes& nodes, const Nodes& compute) const;
  [[nodiscard]] bool acyclic(const std::vector<std::int32_t>& group_of) const;

  // The groups with copies added and the values that each writes; see partition().
  struct Draft {
    Nodes nodes;
    std::set<graph::ValueId> outputs;
    std::set<graph::ValueId> adopted;  // views among the outputs, which it writes in place of what they view
    Nodes own{};                       // nodes without those views
  };
  [[nodiscard]] std::vector<Draft> drafts(const std::set<graph::ValueId>& copied) const;
  [[nodiscard]] bool writes_in_place(const Draft& draft) const;  // one kernel does, and copies would cost more
  [[nodiscard]] std::set<graph::ValueId> reads_of(const Nodes& nodes) const;

  const graph::Graph& g_;
  std::function<bool(const Kernel&)> buildable_;
  std::vector<std::int32_t> producers_;           // per value: node, -1
  std::vector<std::vector<std::int32_t>> users_;  // per value: nodes that some output depends on
  std::set<graph::ValueId> outputs_;
  std::vector<std::int32_t> group_of_;            // per node, -1 for views and for what no output needs
  std::vector<Group> groups_;
};

}  // namespace kiln::agents
