// Attention: softmax(q k^T * scale + mask) v, written as MatMul, scale, Add, Softmax, MatMul. The scale may stand on
// the scores, on q, on k, or in parts on both (PyTorch's scaled_dot_product_attention multiplies both by its root).
// Masks that are constant may be several, under batch dimensions that split and merge between them: they are summed.
// PyTorch's newer exporter turns weights that are not numbers, those of a row in which every key is excluded, into 0.
#include <algorithm>
#include <cmath>
#include <numeric>

#include "agents/graph/rewrite/rules.h"
#include "agents/graph/rewrite/score_masks.h"
#include "agents/graph/rewrite/sweep.h"

namespace kiln::graph::rewrite {
namespace {

// Strips multiplications and divisions by scalar constants off `id`, and multiplies them into `scale`.
ValueId unscaled(const Sweep& pass, ValueId id, double& scale) {
  for (int depth = 0; depth < 4; ++depth) {
    const auto mul = pass.operands(id, ExprOp::mul), div = pass.operands(id, ExprOp::div);
    ValueId inner = -1;
    double factor = 1;
    for (std::size_t i = 0; i < mul.size() && inner < 0; ++i)
      if (const auto value = pass.scalar(mul[1 - i])) inner = mul[i], factor = *value;
    if (div.size() == 2)
      if (const auto value = pass.scalar(div[1])) inner = div[0], factor = 1 / *value;
    if (inner < 0 || pass.graph.type(inner) != pass.graph.type(id)) break;
    id = inner;
    scale *= factor;
  }
  return id;
}

struct Scores {
  ValueId q = -1, k = -1, mask = -1;
  Shape batch;                // that q, k and the mask broadcast to
  bool k_transposed = false;  // k is [..., D, T]
  double scale = 1;
};

std::optional<Scores> product(const Sweep& pass, ValueId id) {
  Scores out;
  id = unscaled(pass, id, out.scale);
  const auto* matmul = pass.made_by<MatMul>(id);
  if (matmul == nullptr || matmul->transpose_a || pass.graph.type(id).shape.size() < 3) return std::nullopt;
  out.q = unscaled(pass, pass.maker(id)->inputs[0], out.scale);
  out.k = unscaled(pass, pass.maker(id)->inputs[1], out.scale);
  out.k_transposed = !matmul->transpose_b;
  return out;
}

Shape batch_of(const Shape& shape) { return {shape.begin(), shape.end() - 2}; }

// The scores under batch dimensions in which every mask can be written: those of the product, unless reshapes stand
// between it, the masks and the softmax.
std::optional<Scores> scores(Sweep& pass, ValueId id, const std::string& origin, Log& log) {
  const auto is_product = [&](ValueId v) {
    const std::optional<Scores> found = product(pass, v);
    return found && std::isfinite(found->scale);
  };
  const auto masked = masked_scores(pass, id, is_product);
  const std::optional<Shape> batch = masked ? common_batch(masked->levels) : std::nullopt;
  if (!batch) return std::nullopt;
  Scores out = *product(pass, masked->product);
  std::vector<ValueId> masks;
  for (const MaskLevel& level : masked->levels)
    if (level.mask >= 0) masks.push_back(level.mask);
  const auto is_constant = [&](ValueId v) { return pass.graph.is_constant(v); };
  if (masks.size() > 1 && !std::all_of(masks.begin(), masks.end(), is_constant)) return std::nullopt;
  masks.clear();
  for (const MaskLevel& level : masked->levels)
    if (level.mask >= 0) masks.push_back(in_batch(pass, level.mask, batch_of(level.shape), *batch, origin));
  if (masks.size() > 1) {
    const std::optional<ValueId> sum = sum_of_masks(pass, masks);
    if (!sum) return std::nullopt;
    log.push_back("sum_masks: " + origin);
    masks = {*sum};
  }
  if (!masks.empty()) out.mask = masks.front();
  const Shape own = batch_of(masked->levels.back().shape);
  out.q = in_batch(pass, out.q, own, *batch, origin);
  out.k = in_batch(pass, out.k, own, *batch, origin);
  out.batch = *batch;
  return out;
}

// Whether a constant mask is 0 where position j <= i + (T - S) and -infinity elsewhere, in every leading index.
bool is_causal(const Graph& graph, ValueId mask, std::int64_t s, std::int64_t t) {
  const auto& constant = graph.constants[static_cast<std::size_t>(mask)];
  const TensorType& type = graph.type(mask);
  const std::size_t rank = type.shape.size();
  if (!constant || rank < 2 || type.shape[rank - 2] != s || type.shape[rank - 1] != t || s > t) return false;
  const std::int64_t count = element_count(type.shape);
  for (std::int64_t at = 0; at < count; ++at) {
    const std::int64_t i = at / t % s, j = at % t;
    const double value = load_double(type.dtype, constant->bytes.data(), at);
    if (j > i + (t - s) ? !(std::isinf(value) && value < 0) : value != 0) return false;
  }
  return true;
}

ValueId swap_last(Sweep& pass, ValueId id, const std::string& origin) {
  std::vector<std::int32_t> permutation(pass.graph.type(id).shape.size());
  std::iota(permutation.begin(), permutation.end(), 0);
  std::swap(permutation[permutation.size() - 2], permutation.back());
  return pass.add(Transpose{permutation}, {id}, origin);
}

// The softmax, when `id` is it, or where(isnan(softmax), 0, softmax); nothing when something else reads it, as where a
// model returns the weights: then they must exist, and nothing is won.
struct Weights {
  ValueId softmax = -1;
  bool guarded = false;
};

std::optional<Weights> weights_of(const Sweep& pass, ValueId id) {
  const std::vector<ValueId> guard = pass.operands(id, ExprOp::select);
  if (pass.uses(id) != 1) return std::nullopt;
  if (guard.size() != 3) return Weights{id, false};
  const std::vector<ValueId> is_nan = pass.operands(guard[0], ExprOp::logical_not);
  if (is_nan.size() != 1 || pass.scalar(guard[1]) != 0.0) return std::nullopt;
  const bool read_elsewhere =
      pass.uses(guard[2]) != 3 || pass.uses(guard[0]) != 1 || pass.uses(is_nan[0]) != 1;
  if (read_elsewhere || pass.operands(is_nan[0], ExprOp::equal) != std::vector<ValueId>{guard[2], guard[2]})
    return std::nullopt;
  return Weights{guard[2], true};
}

std::optional<ValueId> match(Sweep& pass, const Node& node, Log& log) {
  const auto* outer = std::get_if<MatMul>(&node.op);
  if (outer == nullptr || outer->transpose_a || outer->transpose_b) return std::nullopt;
  const std::optional<Weights> weights = weights_of(pass, node.inputs[0]);
  if (!weights) return std::nullopt;
  ValueId v = node.inputs[1];
  const auto* softmax = pass.made_by<Softmax>(weights->softmax);
  const Shape shape = pass.graph.type(weights->softmax).shape;
  if (softmax == nullptr || softmax->log || static_cast<std::size_t>(softmax->axis) + 1 != shape.size())
    return std::nullopt;
  Log sums;
  auto found = scores(pass, pass.maker(weights->softmax)->inputs[0], node.origin, sums);
  if (!found) return std::nullopt;
  const TensorType result = pass.graph.type(node.outputs[0]);
  const bool moved = found->batch != batch_of(shape);
  if (moved) {
    if (batch_of(result.shape) != batch_of(shape)) return std::nullopt;  // v has more of them
    v = in_batch(pass, v, batch_of(shape), found->batch, node.origin);
  }
  const bool causal = found->mask >= 0 && is_causal(pass.graph, found->mask, shape[shape.size() - 2], shape.back());
  if (found->k_transposed) found->k = swap_last(pass, found->k, node.origin);
  std::vector<ValueId> inputs = {found->q, found->k, v};
  if (found->mask >= 0 && !causal) inputs.push_back(found->mask);
  log.insert(log.end(), sums.begin(), sums.end());
  const ValueId out = pass.add(Attention{found->scale, causal, weights->guarded}, inputs, node.origin);
  return moved ? pass.add(Reshape{result.shape}, {out}, node.origin) : out;
}

}  // namespace

int recognise_attention(Graph& graph, Log& log) {
  return sweep(graph, [&](Sweep& pass, const Node& node) {
    const auto out = match(pass, node, log);
    if (out) log.push_back("attention: " + node.origin);
    return out;
  });
}

}  // namespace kiln::graph::rewrite
