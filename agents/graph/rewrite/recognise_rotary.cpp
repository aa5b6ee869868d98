// Rotary position embedding by halves (Su et al., "RoFormer", 2021, as Hugging Face writes it):
// x cos + concat(-x2, x1) sin, where x1 and x2 are the halves of x along its last dimension. Written half by half, the
// rotated copy of x is never made: concat(x1 cos1 - x2 sin1, x2 cos2 + x1 sin2), in the same operations on the same
// values.
#include "agents/graph/rewrite/rules.h"
#include "agents/graph/rewrite/sweep.h"

namespace kiln::graph::rewrite {
namespace {

// Elements begin .. begin + extent of the last dimension, or -1 when the slice is not that of one value.
struct Part {
  ValueId of;
  std::int64_t begin, extent;
};

std::optional<Part> part_of(const Sweep& pass, ValueId id) {
  const auto* slice = pass.made_by<Slice>(id);
  if (slice == nullptr) return std::nullopt;
  const ValueId x = pass.maker(id)->inputs[0];
  const Shape& shape = pass.graph.type(x).shape;
  for (std::size_t d = 0; d < shape.size(); ++d) {
    if (slice->steps[d] != 1) return std::nullopt;
    if (d + 1 < shape.size() && slice->extents[d] != shape[d]) return std::nullopt;
  }
  return Part{x, slice->starts.back(), slice->extents.back()};
}

ValueId half(Sweep& pass, ValueId id, int which, std::int64_t width, const std::string& origin) {
  const Shape& shape = pass.graph.type(id).shape;
  if (shape.empty() || shape.back() == 1) return id;  // broadcasts
  Slice slice{Shape(shape.size(), 0), shape, std::vector<std::int64_t>(shape.size(), 1)};
  slice.starts.back() = which * width;
  slice.extents.back() = width;
  return pass.add(slice, {id}, origin);
}

// a c + s b d over broadcast operands, s being 1 or -1: as the parts of the original, (-b) d and not -(b d).
ValueId rotated(Sweep& pass, ValueId a, ValueId c, ValueId b, ValueId d, bool negate, const std::string& origin) {
  const DType type = pass.graph.type(a).dtype;
  Expr e;
  const auto straight = e.apply(ExprOp::mul, e.operand(0, type), e.operand(1, type));
  auto other = e.operand(2, type);
  if (negate) other = e.apply(ExprOp::neg, other);
  e.results = {e.apply(ExprOp::add, straight, e.apply(ExprOp::mul, other, e.operand(3, type)))};
  return pass.add(Pointwise{e}, {a, c, b, d}, origin);
}

std::optional<ValueId> match(Sweep& pass, const Node& node) {
  const auto* pointwise = std::get_if<Pointwise>(&node.op);
  if (pointwise == nullptr || node.inputs.size() != 2 || single_of(*pointwise) != ExprOp::add) return std::nullopt;
  const TensorType type = pass.graph.type(node.outputs[0]);
  for (std::size_t i = 0; i < 2; ++i) {
    const auto straight = pass.operands(node.inputs[i], ExprOp::mul),
               turned = pass.operands(node.inputs[1 - i], ExprOp::mul);
    for (std::size_t t = 0; t < turned.size(); ++t) {
      const auto* joined = pass.made_by<Concat>(turned[t]);
      if (joined == nullptr || pass.maker(turned[t])->inputs.size() != 2 || pass.uses(turned[t]) != 1) continue;
      const std::vector<ValueId> halves = pass.maker(turned[t])->inputs;
      const auto negated = pass.operands(halves[0], ExprOp::neg);
      const auto low = part_of(pass, halves[1]), high = negated.empty() ? std::nullopt : part_of(pass, negated[0]);
      if (!low || !high || low->of != high->of || pass.graph.type(low->of) != type) continue;
      const std::int64_t width = type.shape.back() / 2;
      if (joined->axis + 1 != static_cast<std::int32_t>(type.shape.size()) || type.shape.back() != 2 * width) continue;
      if (low->begin != 0 || low->extent != width || high->begin != width || high->extent != width) continue;
      for (std::size_t s = 0; s < straight.size(); ++s) {
        if (straight[s] != low->of) continue;
        const ValueId cosine = straight[1 - s], sine = turned[1 - t];
        const auto at = [&](ValueId id, int which) { return half(pass, id, which, width, node.origin); };
        const ValueId x1 = at(low->of, 0), x2 = at(low->of, 1);
        const ValueId first = rotated(pass, x1, at(cosine, 0), x2, at(sine, 0), true, node.origin);
        const ValueId second = rotated(pass, x2, at(cosine, 1), x1, at(sine, 1), false, node.origin);
        return pass.add(Concat{static_cast<std::int32_t>(type.shape.size()) - 1}, {first, second}, node.origin);
      }
    }
  }
  return std::nullopt;
}

}  // namespace

int recognise_rotary(Graph& graph, Log& log) {
  return sweep(graph, [&](Sweep& pass, const Node& node) {
    const auto out = match(pass, node);
    if (out) log.push_back("rotary: " + node.origin);
    return out;
  });
}

}  // namespace kiln::graph::rewrite
