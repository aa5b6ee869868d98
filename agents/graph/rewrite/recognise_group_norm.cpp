// Group normalisation as PyTorch exports it: an instance norm of [N, G, ...] without parameters, reshaped back to
// [N, C, ...], then a scale and a bias per channel. The parameters move into the norm, over [N, G, C / G, ...].
#include "agents/graph/rewrite/rules.h"
#include "agents/graph/rewrite/sweep.h"

namespace kiln::graph::rewrite {
namespace {

// A reshape of a norm over dimensions 2.. of [N, G, ...], with nothing else reading either.
struct Grouped {
  LayerNorm norm;
  std::vector<ValueId> inputs;
};

std::optional<Grouped> grouped(const Sweep& pass, ValueId id, const Shape& shape) {
  if (pass.made_by<Reshape>(id) == nullptr || pass.uses(id) != 1) return std::nullopt;
  const ValueId inner = pass.maker(id)->inputs[0];
  const auto* norm = pass.made_by<LayerNorm>(inner);
  if (norm == nullptr || norm->axis != 2 || !norm->centred || pass.uses(inner) > 1) return std::nullopt;
  const Shape& x = pass.graph.type(inner).shape;
  if (shape.size() < 2 || x.size() < 3 || x[0] != shape[0] || x[1] < 1 || shape[1] % x[1] != 0) return std::nullopt;
  return Grouped{*norm, pass.maker(inner)->inputs};
}

// Whether a constant is one element per channel of `shape`, in the way it broadcasts.
bool is_per_channel(const Graph& graph, ValueId id, const Shape& shape) {
  const Shape& own = graph.type(id).shape;
  if (!graph.is_constant(id) || own.size() > shape.size() || element_count(own) != shape[1]) return false;
  const std::size_t from_end = shape.size() - 1;
  return own.size() >= from_end && own[own.size() - from_end] == shape[1];
}

std::optional<ValueId> match(Sweep& pass, const Node& node, bool& scales) {
  const auto* pointwise = std::get_if<Pointwise>(&node.op);
  if (pointwise == nullptr || node.inputs.size() != 2) return std::nullopt;
  const std::optional<ExprOp> op = single_of(*pointwise);
  if (op != ExprOp::mul && op != ExprOp::add) return std::nullopt;
  scales = op == ExprOp::mul;
  const TensorType out = pass.graph.type(node.outputs[0]);
  for (std::size_t i = 0; i < 2; ++i) {
    auto found = grouped(pass, node.inputs[i], out.shape);
    const ValueId parameter = node.inputs[1 - i];
    if (!found || pass.graph.type(node.inputs[i]) != out || !is_per_channel(pass.graph, parameter, out.shape)) continue;
    if (found->inputs.size() > 2 && !pass.all_equal(found->inputs[2], 0)) continue;
    if (scales && !pass.all_equal(found->inputs[1], 1)) continue;
    const std::int64_t groups = pass.graph.type(found->inputs[0]).shape[1];
    Shape apart = {out.shape[0], groups, out.shape[1] / groups}, along(out.shape.size(), 1);
    apart.insert(apart.end(), out.shape.begin() + 2, out.shape.end());
    along[0] = groups;
    along[1] = out.shape[1] / groups;
    const ValueId moved = pass.reshaped_constant(parameter, along);
    // Before its bias comes, a scale is that of this rule, or one of ones that fits every shape.
    ValueId scale = scales ? moved : found->inputs[1];
    if (!scales && pass.graph.type(scale).shape != along) {
      if (!pass.all_equal(scale, 1)) continue;
      scale = pass.add_scalar(1, out.dtype);
    }
    std::vector<ValueId> inputs = {pass.add(Reshape{apart}, {found->inputs[0]}, node.origin), scale};
    if (!scales) inputs.push_back(moved);
    return pass.add(Reshape{out.shape}, {pass.add(found->norm, inputs, node.origin)}, node.origin);
  }
  return std::nullopt;
}

}  // namespace

int recognise_group_norm(Graph& graph, Log& log) {
  return sweep(graph, [&](Sweep& pass, const Node& node) {
    bool scales = false;
    const auto out = match(pass, node, scales);
    if (out && scales) log.push_back("group_norm: " + node.origin);
    return out;
  });
}

}  // namespace kiln::graph::rewrite
