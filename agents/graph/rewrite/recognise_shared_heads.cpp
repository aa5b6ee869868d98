// Grouped-query attention (Ainslie et al., "GQA", 2023): k and v of few heads, repeated for groups of query heads by an
// expand. Attention broadcasts its leading dimensions, so the groups become one of them and the copies are never made.
#include "agents/graph/rewrite/rules.h"
#include "agents/graph/rewrite/sweep.h"

namespace kiln::graph::rewrite {
namespace {

// [B, K, T, D] as [B, K, 1, T, D], when `id` is [B, K G, T, D] made of it by an expand and a reshape; -1 otherwise.
ValueId unrepeated(const Sweep& pass, ValueId id, std::int64_t& groups) {
  if (pass.made_by<Reshape>(id) == nullptr || pass.graph.type(id).shape.size() != 4) return -1;
  const ValueId wide = pass.maker(id)->inputs[0];
  if (pass.made_by<Expand>(wide) == nullptr) return -1;
  const ValueId narrow = pass.maker(wide)->inputs[0];
  const Shape &repeated = pass.graph.type(id).shape, &from = pass.graph.type(narrow).shape,
              &to = pass.graph.type(wide).shape;
  if (from.size() != 5 || to.size() != 5 || from[2] != 1) return -1;
  if (Shape{to[0], to[1] * to[2], to[3], to[4]} != repeated) return -1;
  for (const std::size_t d : {0u, 1u, 3u, 4u})
    if (from[d] != to[d]) return -1;
  groups = to[2];
  return narrow;
}

// The mask [.., H, S, T] with its heads apart; one that all heads share keeps a dimension of one.
ValueId apart(Sweep& pass, ValueId mask, std::int64_t heads, std::int64_t groups, const std::string& origin) {
  Shape shape = pass.graph.type(mask).shape;
  if (shape.size() < 3) return mask;
  const auto at = shape.end() - 3;
  const bool own = *at == heads && heads != 1;
  if (own) *at = heads / groups;
  shape.insert(at + 1, own ? groups : 1);
  return pass.add(Reshape{shape}, {mask}, origin);
}

std::optional<ValueId> match(Sweep& pass, const Node& node) {
  const auto* op = std::get_if<Attention>(&node.op);
  if (op == nullptr) return std::nullopt;
  const Attention attention = *op;
  std::int64_t k_groups = 0, v_groups = 0;
  const ValueId k = unrepeated(pass, node.inputs[1], k_groups), v = unrepeated(pass, node.inputs[2], v_groups);
  const Shape q = pass.graph.type(node.inputs[0]).shape;
  if (k < 0 || v < 0 || k_groups != v_groups || k_groups < 2 || q.size() != 4) return std::nullopt;
  const Shape few = pass.graph.type(k).shape;
  if (q[0] != few[0] || q[1] != few[1] * k_groups) return std::nullopt;
  std::vector<ValueId> inputs = {pass.add(Reshape{{q[0], few[1], k_groups, q[2], q[3]}}, {node.inputs[0]}, node.origin),
                                 k, v};
  if (node.inputs.size() > 3) inputs.push_back(apart(pass, node.inputs[3], q[1], k_groups, node.origin));
  const ValueId out = pass.add(attention, inputs, node.origin);
  return pass.add(Reshape{pass.graph.type(node.outputs[0]).shape}, {out}, node.origin);
}

}  // namespace

int recognise_shared_heads(Graph& graph, Log& log) {
  return sweep(graph, [&](Sweep& pass, const Node& node) {
    const auto out = match(pass, node);
    if (out) log.push_back("grouped_query: " + node.origin);
    return out;
  });
}

}  // namespace kiln::graph::rewrite
