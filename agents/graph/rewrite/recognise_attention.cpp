// Attention: softmax(q k^T * scale + mask) v, written as MatMul, scale, Add, Softmax, MatMul. The scale may stand on
// the scores, on q, on k, or in parts on both (PyTorch's scaled_dot_product_attention multiplies both by its root).
#include <algorithm>
#include <cmath>
#include <numeric>

#include "agents/graph/rewrite/rules.h"
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

std::optional<Scores> scores(const Sweep& pass, ValueId id) {
  const auto sum = pass.operands(id, ExprOp::add);
  if (sum.empty()) return product(pass, id);
  for (std::size_t i = 0; i < 2; ++i) {
    if (pass.graph.type(sum[i]) != pass.graph.type(id)) continue;
    if (auto found = product(pass, sum[i])) {
      found->mask = sum[1 - i];
      return found;
    }
  }
  return std::nullopt;
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

std::optional<ValueId> match(Sweep& pass, const Node& node) {
  const auto* outer = std::get_if<MatMul>(&node.op);
  if (outer == nullptr || outer->transpose_a || outer->transpose_b) return std::nullopt;
  const ValueId weights = node.inputs[0], v = node.inputs[1];
  const auto* softmax = pass.made_by<Softmax>(weights);
  const Shape shape = pass.graph.type(weights).shape;
  // Weights that something else reads (a model that returns them) must exist, and then nothing is won.
  if (softmax == nullptr || softmax->log || static_cast<std::size_t>(softmax->axis) + 1 != shape.size() ||
      pass.uses(weights) != 1)
    return std::nullopt;
  auto found = scores(pass, pass.maker(weights)->inputs[0]);
  if (!found || !std::isfinite(found->scale)) return std::nullopt;
  // The mask must broadcast to the scores of one attention, not widen them.
  if (found->mask >= 0 && pass.graph.type(found->mask).shape.size() > shape.size()) return std::nullopt;
  const bool causal = found->mask >= 0 && is_causal(pass.graph, found->mask, shape[shape.size() - 2], shape.back());
  if (found->k_transposed) found->k = swap_last(pass, found->k, node.origin);
  std::vector<ValueId> inputs = {found->q, found->k, v};
  if (found->mask >= 0 && !causal) inputs.push_back(found->mask);
  return pass.add(Attention{found->scale, causal}, inputs, node.origin);
}

}  // namespace

int recognise_attention(Graph& graph, Log& log) {
  return sweep(graph, [&](Sweep& pass, const Node& node) {
    const auto out = match(pass, node);
    if (out) log.push_back("attention: " + node.origin);
    return out;
  });
}

}  // namespace kiln::graph::rewrite
