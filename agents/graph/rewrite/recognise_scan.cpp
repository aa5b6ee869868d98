// Scans as PyTorch exports them: from the end as flip, scan, flip; exclusive as a scan of zeros followed by all but the
// last, or as zeros followed by the scan of all but the last.
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

// A scan of sums or products from the first element on that includes each.
bool is_plain(const Scan& scan) {
  return (scan.monoid == Monoid::sum || scan.monoid == Monoid::prod) && !scan.exclusive && !scan.reverse;
}

// Whether a value has extent 1 along the scan and holds nothing but what the scan begins with.
bool is_beginning(const Sweep& pass, ValueId value, const Scan& scan) {
  const double start = scan.monoid == Monoid::prod ? 1 : 0;
  if (pass.graph.type(value).shape[static_cast<std::size_t>(scan.axis)] != 1) return false;
  const Node* expanded = pass.maker(value);
  return pass.all_equal(value, start) || (expanded != nullptr && std::holds_alternative<Expand>(expanded->op) &&
                                          pass.all_equal(expanded->inputs[0], start));
}

// x, of which `value` is all but the last along `axis`.
std::optional<ValueId> without_last(const Sweep& pass, ValueId value, std::int32_t axis) {
  const auto* cut = pass.made_by<Slice>(value);
  if (cut == nullptr) return std::nullopt;
  const ValueId x = pass.maker(value)->inputs[0];
  Shape rest = pass.graph.type(x).shape;
  --rest[static_cast<std::size_t>(axis)];
  const bool first = std::all_of(cut->starts.begin(), cut->starts.end(), [](std::int64_t s) { return s == 0; }) &&
                     std::all_of(cut->steps.begin(), cut->steps.end(), [](std::int64_t s) { return s == 1; });
  return first && cut->extents == rest ? std::optional(x) : std::nullopt;
}

// The parts of a Concat of two along `axis`.
std::vector<ValueId> two_parts(const Node* joined, std::int32_t axis) {
  const auto* concat = joined == nullptr ? nullptr : std::get_if<Concat>(&joined->op);
  return concat != nullptr && concat->axis == axis && joined->inputs.size() == 2 ? joined->inputs
                                                                                   : std::vector<ValueId>{};
}

std::optional<ValueId> exclusive(Sweep& pass, const Node& node) {
  const bool outside = std::holds_alternative<Concat>(node.op);  // of the beginning and the scan
  if (outside && node.inputs.size() != 2) return std::nullopt;
  if (outside && pass.uses(node.inputs[1]) != 1) return std::nullopt;
  const auto* scan = outside ? pass.made_by<Scan>(node.inputs[1]) : std::get_if<Scan>(&node.op);
  if (scan == nullptr || !is_plain(*scan)) return std::nullopt;
  const std::vector<ValueId> parts = two_parts(outside ? &node : pass.maker(node.inputs[0]), scan->axis);
  if (parts.empty() || !is_beginning(pass, parts[0], *scan)) return std::nullopt;
  const ValueId cut = outside ? pass.maker(parts[1])->inputs[0] : parts[1];
  const std::optional<ValueId> x = without_last(pass, cut, scan->axis);
  if (!x || pass.graph.type(*x) != pass.graph.type(node.outputs[0])) return std::nullopt;
  Scan shifted = *scan;
  shifted.exclusive = true;
  return pass.add(shifted, {*x}, node.origin);
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
