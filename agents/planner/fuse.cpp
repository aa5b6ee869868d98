// Which groups merge, in which order: the epilogues of heavy kernels first, since they save the most; then what a scan
// reads; then what follows the last pass of a norm, before a reduction that cannot take that pass in takes it away;
// then chains of row reductions, what carries most first; then what is left of pointwise; then reductions that read
// what a product or a convolution writes, where its template sums them up; then what Concat joins, written where it
// belongs.
#include <algorithm>

#include "agents/planner/grouping.h"
#include "agents/planner/planner.h"

namespace kiln::agents {
namespace {

using graph::ValueId;

struct Kinds { bool heavy = false, rows = false, windows = false, scan = false, concat = false; };

Kinds kinds_of(const graph::Graph& g, const Grouping::Nodes& nodes) {
  Kinds kinds;
  for (const std::int32_t n : nodes) {
    const graph::Op& op = g.nodes[static_cast<std::size_t>(n)].op;
    const bool rows = std::holds_alternative<graph::Reduce>(op) || std::holds_alternative<graph::Softmax>(op) ||
                      std::holds_alternative<graph::LayerNorm>(op);
    kinds.rows = kinds.rows || rows;
    kinds.windows = kinds.windows || std::holds_alternative<graph::Window>(op);
    kinds.scan = kinds.scan || std::holds_alternative<graph::Scan>(op);
    kinds.concat = kinds.concat || std::holds_alternative<graph::Concat>(op);
    const bool light = rows || std::holds_alternative<graph::Pointwise>(op) ||
                       has_fixed_taps(g, g.nodes[static_cast<std::size_t>(n)]);
    kinds.heavy = kinds.heavy || !light;
  }
  return kinds;
}

std::int64_t largest(const graph::Graph& g, const Grouping::Nodes& nodes) {
  std::int64_t most = 0;
  for (const std::int32_t n : nodes)
    for (const ValueId v : g.nodes[static_cast<std::size_t>(n)].outputs)
      most = std::max(most, graph::element_count(g.type(v).shape));
  return most;
}

// A small result that a larger kernel broadcasts would be computed again for each of its elements: 4 is where two
// transfers of a float (8 bytes) are cheaper than a handful of operations more per element.
bool recomputes(const graph::Graph& g, const Grouping::Nodes& from, const Grouping::Nodes& to) {
  return largest(g, from) * 4 < largest(g, to);
}

// Whether the group broadcasts a reduction's result, as the last pass of a norm does its mean.
bool broadcasts_reduced(const graph::Graph& g, const Grouping::Nodes& nodes, const std::set<ValueId>& reduced) {
  return std::any_of(nodes.begin(), nodes.end(), [&](std::int32_t n) {
    const graph::Node& node = g.nodes[static_cast<std::size_t>(n)];
    const graph::Shape& result = g.type(node.outputs[0]).shape;
    return std::any_of(node.inputs.begin(), node.inputs.end(),
                       [&](ValueId v) { return reduced.contains(v) && g.type(v).shape != result; });
  });
}

// In the order of the workload, or what carries most first: of two merges that exclude each other, as of a norm's last
// pass with its statistics and with a reduction that reads it, that keeps more from being written.
enum class Order { workload, most_first };

template <class Allowed>
void merge_all(Grouping& groups, Allowed allowed, Order order = Order::workload) {
  for (bool again = true; again;) {
    again = false;
    std::vector<Grouping::Edge> edges = groups.edges();
    if (order == Order::most_first)
      std::stable_sort(edges.begin(), edges.end(), [](const auto& a, const auto& b) { return a.bytes > b.bytes; });
    for (const Grouping::Edge edge : edges) {
      if (groups.compute(edge.from).empty() || groups.compute(edge.to).empty()) continue;  // merged in this round
      if (allowed(groups.compute(edge.from), groups.compute(edge.to)) && groups.merge(edge)) again = true;
    }
  }
}

// The bias that a framework hands to the same library call as the product: a one-dimensional constant added to nothing
// but the product with a constant, or a constant per channel added to a convolution by one.
bool is_bias(const graph::Graph& g, const Grouping::Nodes& from, const Grouping::Nodes& to) {
  if (from.size() != 1 || to.size() != 1) return false;
  const graph::Node& product = g.nodes[static_cast<std::size_t>(*from.begin())];
  const graph::Node& sum = g.nodes[static_cast<std::size_t>(*to.begin())];
  const auto* expr = std::get_if<graph::Pointwise>(&sum.op);
  const bool convolves = std::holds_alternative<graph::Convolution>(product.op);
  if (!convolves && !std::holds_alternative<graph::MatMul>(product.op)) return false;
  if (!g.is_constant(product.inputs[1]) || !expr) return false;
  if (sum.inputs.size() != 2 || expr->expr.results.size() != 1 || expr->expr.nodes.size() != 3) return false;
  if (expr->expr.nodes[static_cast<std::size_t>(expr->expr.results[0])].op != graph::ExprOp::add) return false;
  const ValueId other = sum.inputs[sum.inputs[0] == product.outputs[0] ? 1 : 0];
  const bool direct = std::find(sum.inputs.begin(), sum.inputs.end(), product.outputs[0]) != sum.inputs.end();
  std::size_t users = 0;
  for (const graph::Node& node : g.nodes)
    users += static_cast<std::size_t>(std::count(node.inputs.begin(), node.inputs.end(), product.outputs[0]));
  if (!direct || users != 1 || !g.is_constant(other)) return false;
  const graph::Shape& shape = g.type(other).shape;  // of a product's columns, or of a convolution's channels
  const graph::Shape& result = g.type(product.outputs[0]).shape;
  if (!convolves) return shape.size() == 1;
  return shape.size() + 1 >= result.size() && graph::element_count(shape) == result[1] &&
         shape[shape.size() + 1 - result.size()] == result[1];
}

}  // namespace

bool any_kernel(const Kernel&) { return true; }

Partition partition_op_by_op(const graph::Graph& workload, const Buildable& buildable) {
  Grouping groups(workload, buildable);
  merge_all(groups, [&](const auto& from, const auto& to) { return is_bias(workload, from, to); });
  return groups.partition();
}

Partition partition_fused(const graph::Graph& workload, const Buildable& buildable, Fusing how) {
  Grouping groups(workload, buildable);
  const auto computes_more = [](const Kinds& a, const Kinds& b) {
    return (a.rows || b.rows) && (a.windows || b.windows);
  };
  merge_all(groups, [&](const auto& from, const auto& to) {
    const Kinds a = kinds_of(workload, from), b = kinds_of(workload, to);
    return a.heavy && !b.heavy && !b.rows;
  });
  merge_all(groups, [&](const auto& from, const auto& to) {
    const Kinds a = kinds_of(workload, from), b = kinds_of(workload, to);
    return !a.heavy && !a.rows && b.scan && !recomputes(workload, from, to);
  });
  std::set<ValueId> reduced;
  for (const graph::Node& node : workload.nodes)
    if (std::holds_alternative<graph::Reduce>(node.op)) reduced.insert(node.outputs[0]);
  merge_all(groups, [&](const auto& from, const auto& to) {
    const Kinds a = kinds_of(workload, from), b = kinds_of(workload, to);
    return !a.heavy && !b.heavy && !a.rows && !b.rows && broadcasts_reduced(workload, from, reduced) &&
           !recomputes(workload, from, to);
  });
  merge_all(groups, [&](const auto& from, const auto& to) {
    const Kinds a = kinds_of(workload, from), b = kinds_of(workload, to);
    return !a.heavy && !b.heavy && (a.rows || b.rows) && (a.rows || !recomputes(workload, from, to)) &&
           (how == Fusing::most || !computes_more(a, b));
  }, Order::most_first);
  merge_all(groups, [&](const auto& from, const auto& to) {
    const Kinds a = kinds_of(workload, from), b = kinds_of(workload, to);
    return !a.heavy && !b.heavy && !a.rows && !b.rows && !recomputes(workload, from, to);
  });
  merge_all(groups, [&](const auto& from, const auto& to) {
    const Kinds a = kinds_of(workload, from), b = kinds_of(workload, to);
    return how == Fusing::most && a.heavy && !b.heavy && b.rows;
  });
  merge_all(groups, [&](const auto& from, const auto& to) {
    const Kinds a = kinds_of(workload, from), b = kinds_of(workload, to);
    return !a.heavy && !a.rows && b.concat;
  });
  return groups.partition();
}

std::optional<Baseline> in_parts(const Region& region, const graph::Graph& alone, const Buildable& buildable) {
  Grouping::Nodes all;
  for (std::size_t n = 0; n < alone.nodes.size(); ++n) all.insert(static_cast<std::int32_t>(n));
  const Kinds kinds = kinds_of(alone, all);
  if (!kinds.rows || (!kinds.heavy && !kinds.windows)) return std::nullopt;
  Partition parts = partition_fused(alone, buildable, Fusing::least_work);
  if (parts.instances.size() < 2) return std::nullopt;
  for (const Region& part : parts.regions)
    if (part.key == region.key) return std::nullopt;
  return Baseline{alone, std::move(parts)};
}

}  // namespace kiln::agents
