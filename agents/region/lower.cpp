// From a region's body to the kernel that computes it: the family of its anchor, over an iteration space that is split
// until every reshape folds.
#include <algorithm>

#include "agents/region/families.h"

namespace kiln::agents {
namespace {

constexpr int kMaxSplits = 32;  // far more than any chain of reshapes needs; a bound, so that lowering always ends

bool computes(const graph::Graph& body) {
  return std::any_of(body.nodes.begin(), body.nodes.end(),
                     [](const graph::Node& n) { return std::holds_alternative<graph::Pointwise>(n.op); });
}

bool reduces_what_it_leads(const graph::Graph& body) {
  const auto any = [&](auto is) { return std::any_of(body.nodes.begin(), body.nodes.end(), is); };
  return any([](const graph::Node& n) { return std::holds_alternative<graph::Reduce>(n.op); }) &&
         any([](const graph::Node& n) {
           return std::holds_alternative<graph::MatMul>(n.op) || std::holds_alternative<graph::Convolution>(n.op);
         });
}

// nullopt: more than one anchor, or one beside row reductions. A window that stands alone is an anchor; beside anything
// that computes, one that can be read where it is needed is none.
std::optional<Family> family_of(const Region& region) {
  const graph::Node* anchor = nullptr;
  const graph::Node* first_row = nullptr;
  const auto nodes = std::count_if(region.body.nodes.begin(), region.body.nodes.end(),
                                   [](const graph::Node& n) { return !graph::is_view(n.op); });
  for (const graph::Node& node : region.body.nodes) {
    if (graph::is_view(node.op) || std::holds_alternative<graph::Pointwise>(node.op)) continue;
    const bool reduces = std::holds_alternative<graph::Reduce>(node.op) ||
                         std::holds_alternative<graph::Softmax>(node.op) ||
                         std::holds_alternative<graph::LayerNorm>(node.op);
    if (reduces && !first_row) first_row = &node;
    if (reduces || (nodes > 1 && has_fixed_taps(region.body, node))) continue;
    if (anchor) return std::nullopt;
    anchor = &node;
  }
  if (anchor && first_row) return std::nullopt;
  if (first_row) return row_family(region, *first_row);
  if (!anchor) return pointwise_family(region);
  if (std::holds_alternative<graph::MatMul>(anchor->op)) return matmul_family(region, *anchor);
  if (std::holds_alternative<graph::Attention>(anchor->op)) return attention_family(region, *anchor);
  if (std::holds_alternative<graph::Gather>(anchor->op)) return gather_family(region, *anchor);
  if (std::holds_alternative<graph::Concat>(anchor->op))
    return computes(region.body) ? pointwise_family(region) : concat_family(region, *anchor);
  if (std::holds_alternative<graph::Convolution>(anchor->op)) return convolution_family(region, *anchor);
  if (std::holds_alternative<graph::Window>(anchor->op)) return window_family(region, *anchor);
  if (std::holds_alternative<graph::Pad>(anchor->op)) return pad_family(region, *anchor);
  if (std::holds_alternative<graph::Scatter>(anchor->op)) return scatter_family(region, *anchor);
  if (std::holds_alternative<graph::Recurrent>(anchor->op)) return recurrent_family(region, *anchor);
  return line_family(region, *anchor);  // scans, places of extrema, top-k
}

}  // namespace

std::optional<Kernel> lower(const Region& region) {
  if (region.body.outputs.empty()) return std::nullopt;
  if (reduces_what_it_leads(region.body)) return lower_with_statistics(region);
  const std::optional<Family> family = family_of(region);
  if (!family || !family->kernel) return std::nullopt;
  IterationSpace space;
  family->dimensions(space);
  for (int attempt = 0; attempt < kMaxSplits; ++attempt) {
    try {
      return family->kernel(space);
    } catch (const Split& cut) {
      space.split(cut);
    } catch (const Unfoldable&) {
      return std::nullopt;
    }
  }
  return std::nullopt;
}

}  // namespace kiln::agents
