// Scans as PyTorch exports them: from the end as flip, scan, flip; exclusive as a scan of zeros followed by all but the
// last.
#include <algorithm>

#include "agents/graph/rewrite/rules.h"
#include "agents/graph/rewrite/sweep.h"

namespace kiln::graph::rewrite {
namespace {

// Whether a slice turns dimension `axis` around and leaves every other whole.
bool is_flip(const Slice& slice, const Shape& of, std::int32_t axis) {
  for (std::size_t d = 0; d < of.size(); ++d) {
    const bool turned = static_cast<std::int32_t>(d) == axis;
    if (slice.extents[d] != of[d] || (of[d] > 1 && slice.steps[d] != (turned ? -1 : 1))) return false;
  }
  return true;
}

std::optional<ValueId> reversed(Sweep& pass, const Node& node) {
  const auto* outer = std::get_if<Slice>(&node.op);
  if (outer == nullptr) return std::nullopt;
  const auto* scan = pass.made_by<Scan>(node.inputs[0]);
  if (scan == nullptr || pass.uses(node.inputs[0]) != 1) return std::nullopt;
  const ValueId flipped = pass.maker(node.inputs[0])->inputs[0];
  const auto* inner = pass.made_by<Slice>(flipped);
  const Shape& shape = pass.graph.type(flipped).shape;
  if (inner == nullptr || !is_flip(*outer, shape, scan->axis)) return std::nullopt;
  const ValueId x = pass.maker(flipped)->inputs[0];
  if (pass.graph.type(x).shape != shape || !is_flip(*inner, shape, scan->axis)) return std::nullopt;
  Scan turned = *scan;
  turned.reverse = !turned.reverse;
  return pass.add(turned, {x}, node.origin);
}

// Concat of zeros of extent 1 and x without its last element.
std::optional<ValueId> exclusive(Sweep& pass, const Node& node) {
  const auto* scan = std::get_if<Scan>(&node.op);
  if (scan == nullptr || scan->monoid != Monoid::sum || scan->exclusive || scan->reverse) return std::nullopt;
  const auto* joined = pass.made_by<Concat>(node.inputs[0]);
  if (joined == nullptr || joined->axis != scan->axis) return std::nullopt;
  const std::vector<ValueId> parts = pass.maker(node.inputs[0])->inputs;
  const auto axis = static_cast<std::size_t>(scan->axis);
  if (parts.size() != 2 || pass.graph.type(parts[0]).shape[axis] != 1) return std::nullopt;
  const Node* expanded = pass.maker(parts[0]);
  const bool zeros =
      pass.all_equal(parts[0], 0) ||
      (expanded != nullptr && std::holds_alternative<Expand>(expanded->op) && pass.all_equal(expanded->inputs[0], 0));
  const auto* cut = pass.made_by<Slice>(parts[1]);
  if (!zeros || cut == nullptr) return std::nullopt;
  const ValueId x = pass.maker(parts[1])->inputs[0];
  Shape rest = pass.graph.type(x).shape;
  --rest[axis];
  const bool first = std::all_of(cut->starts.begin(), cut->starts.end(), [](std::int64_t s) { return s == 0; }) &&
                     std::all_of(cut->steps.begin(), cut->steps.end(), [](std::int64_t s) { return s == 1; });
  if (!first || cut->extents != rest || pass.graph.type(x) != pass.graph.type(node.outputs[0])) return std::nullopt;
  Scan shifted = *scan;
  shifted.exclusive = true;
  return pass.add(shifted, {x}, node.origin);
}

}  // namespace

int recognise_scan(Graph& graph, Log& log) {
  return sweep(graph, [&](Sweep& pass, const Node& node) {
    auto out = reversed(pass, node);
    if (out) log.push_back("scan (reverse): " + node.origin);
    if (!out && (out = exclusive(pass, node))) log.push_back("scan (exclusive): " + node.origin);
    return out;
  });
}

}  // namespace kiln::graph::rewrite
