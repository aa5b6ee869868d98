// A scale per channel of a convolution's or a product's result goes into the constant weights, and through the bias
// between the two; biases that follow one another become one. With both, a batch norm in inference leaves nothing but
// a convolution and a bias (Jacob et al., "Quantization and Training of Neural Networks for Efficient
// Integer-Arithmetic-Only Inference", 2018, section 3.2). Each folded constant is rounded once, from double precision.
#include <cmath>
#include <limits>

#include "agents/graph/rewrite/rules.h"
#include "agents/graph/rewrite/sweep.h"

namespace kiln::graph::rewrite {
namespace {

double least_normal(DType type) {
  return type == DType::f64 ? std::numeric_limits<double>::min() : std::numeric_limits<float>::min();
}

// Where the channels of a value stand: its dimension, counted from the end.
struct Channels {
  std::size_t from_end = 0;
  std::int64_t count = 0;
};

// Of the result of a convolution or a product with constant weights of type f32 or f64.
std::optional<Channels> channels_of(const Sweep& pass, ValueId id) {
  const Node* node = pass.maker(id);
  if (node == nullptr || node->inputs.size() < 2 || !pass.graph.is_constant(node->inputs[1])) return std::nullopt;
  const TensorType& out = pass.graph.type(id);
  if (out.dtype != DType::f32 && out.dtype != DType::f64) return std::nullopt;
  if (std::holds_alternative<Convolution>(node->op)) return Channels{out.shape.size() - 2, out.shape[1]};
  const bool product = std::holds_alternative<MatMul>(node->op) && pass.graph.type(node->inputs[0]).shape.size() > 1 &&
                       pass.graph.type(node->inputs[1]).shape.size() == 2;
  return product ? std::optional(Channels{0, out.shape.back()}) : std::nullopt;
}

// The channel of element i of the weights.
std::int64_t channel_of(const Node& node, const Shape& weights, std::int64_t i, std::int64_t channels) {
  if (const auto* product = std::get_if<MatMul>(&node.op))
    return product->transpose_b ? i / weights[1] : i % weights[1];
  const auto& convolution = std::get<Convolution>(node.op);
  const std::int64_t window = element_count({weights.begin() + 2, weights.end()});
  if (!convolution.transposed) return i / (window * weights[1]);
  const std::int64_t in = i / (window * weights[1]), group = in / (weights[0] / convolution.groups);
  return group * (channels / convolution.groups) + i / window % weights[1];
}

// The elements of a constant that is one per channel, or one for all.
std::optional<std::vector<double>> per_channel(const Graph& graph, ValueId id, const Channels& channels) {
  const TensorType& type = graph.type(id);
  const std::int64_t count = element_count(type.shape);
  if (!graph.is_constant(id) || (count != 1 && count != channels.count)) return std::nullopt;
  if (count != 1 && (type.shape.size() <= channels.from_end ||
                     type.shape[type.shape.size() - 1 - channels.from_end] != channels.count))
    return std::nullopt;
  std::vector<double> out;
  for (std::int64_t i = 0; i < channels.count; ++i)
    out.push_back(load_double(type.dtype, graph.constants[static_cast<std::size_t>(id)]->bytes.data(),
                              count == 1 ? 0 : i));
  return out;
}

// Weights times their channel's scale; nothing where one would overflow, or lose digits as a denormal.
std::optional<Tensor> scaled(const Graph& graph, const Node& node, const std::vector<double>& scale) {
  const TensorType& type = graph.type(node.inputs[1]);
  const std::byte* bytes = graph.constants[static_cast<std::size_t>(node.inputs[1])]->bytes.data();
  Tensor out = Tensor::zeros(type);
  for (std::int64_t i = 0; i < out.count(); ++i) {
    const std::int64_t channel = channel_of(node, type.shape, i, static_cast<std::int64_t>(scale.size()));
    const double weight = load_double(type.dtype, bytes, i), factor = scale[static_cast<std::size_t>(channel)];
    store_double(type.dtype, out.bytes.data(), i, weight * factor);
    const double kept = load_double(type.dtype, out.bytes.data(), i);
    if (!std::isfinite(kept) || !std::isfinite(factor)) return std::nullopt;
    if (weight != 0 && factor != 0 && std::abs(kept) < least_normal(type.dtype)) return std::nullopt;
  }
  return out;
}

// A constant of one element per channel that broadcasts to results of `rank` dimensions; nothing when one is infinite.
std::optional<Tensor> along_channels(const std::vector<double>& values, const Channels& channels, DType type) {
  Shape shape(channels.from_end + 1, 1);
  shape[0] = channels.count;
  Tensor out = Tensor::zeros({type, std::move(shape)});
  for (std::int64_t i = 0; i < channels.count; ++i) {
    store_double(type, out.bytes.data(), i, values[static_cast<std::size_t>(i)]);
    if (!std::isfinite(load_double(type, out.bytes.data(), i))) return std::nullopt;
  }
  return out;
}

ValueId add(Sweep& pass, ValueId x, ValueId bias, const std::string& origin) {
  const DType type = pass.graph.type(x).dtype;
  Pointwise sum;
  sum.expr.results = {sum.expr.apply(ExprOp::add, sum.expr.operand(0, type), sum.expr.operand(1, type))};
  return pass.add(std::move(sum), {x, bias}, origin);
}

// x + bias, where x comes from constant weights and nobody else reads it.
struct Biased {
  ValueId x = -1;
  Channels channels;
  std::vector<double> bias;
};

std::optional<Biased> biased(const Sweep& pass, ValueId id) {
  const std::vector<ValueId> operands = pass.operands(id, ExprOp::add);
  for (std::size_t i = 0; i < operands.size(); ++i) {
    const std::optional<Channels> channels = channels_of(pass, operands[i]);
    if (!channels || pass.uses(id) > 1 || pass.uses(operands[i]) > 1) continue;
    if (auto bias = per_channel(pass.graph, operands[1 - i], *channels))
      return Biased{operands[i], *channels, std::move(*bias)};
  }
  return std::nullopt;
}

std::optional<ValueId> with_scale(Sweep& pass, ValueId y, ValueId scale_id, const Node& node) {
  std::optional<Biased> sum = biased(pass, y);
  const ValueId x = sum ? sum->x : y;
  const std::optional<Channels> channels = channels_of(pass, x);
  if (!channels || pass.uses(x) > 1) return std::nullopt;
  const auto scale = per_channel(pass.graph, scale_id, *channels);
  if (!scale) return std::nullopt;
  const Node anchor = *pass.maker(x);
  std::optional<Tensor> weights = scaled(pass.graph, anchor, *scale), bias;
  if (!weights) return std::nullopt;
  if (sum) {
    for (std::size_t i = 0; i < scale->size(); ++i) sum->bias[i] *= (*scale)[i];
    bias = along_channels(sum->bias, *channels, pass.graph.type(x).dtype);
    if (!bias) return std::nullopt;
  }
  const ValueId folded = pass.add_constant(std::move(*weights));
  const ValueId result = pass.add(anchor.op, {anchor.inputs[0], folded}, anchor.origin);
  return bias ? add(pass, result, pass.add_constant(std::move(*bias)), node.origin) : result;
}

std::optional<ValueId> with_bias(Sweep& pass, ValueId y, ValueId bias_id, const Node& node) {
  std::optional<Biased> sum = biased(pass, y);
  if (!sum) return std::nullopt;
  const auto more = per_channel(pass.graph, bias_id, sum->channels);
  if (!more) return std::nullopt;
  for (std::size_t i = 0; i < more->size(); ++i) sum->bias[i] += (*more)[i];
  std::optional<Tensor> bias = along_channels(sum->bias, sum->channels, pass.graph.type(y).dtype);
  return bias ? std::optional(add(pass, sum->x, pass.add_constant(std::move(*bias)), node.origin)) : std::nullopt;
}

}  // namespace

int fold_scales(Graph& graph, Log& log) {
  return sweep(graph, [&](Sweep& pass, const Node& node) -> std::optional<ValueId> {
    const auto* pointwise = std::get_if<Pointwise>(&node.op);
    const std::optional<ExprOp> op = pointwise == nullptr ? std::nullopt : single_of(*pointwise);
    if (op != ExprOp::mul && op != ExprOp::add) return std::nullopt;
    for (std::size_t i = 0; i < 2; ++i) {
      if (pass.graph.type(node.inputs[i]) != pass.graph.type(node.outputs[0])) continue;
      const auto fold = op == ExprOp::mul ? with_scale : with_bias;
      const std::optional<ValueId> out = fold(pass, node.inputs[i], node.inputs[1 - i], node);
      if (!out) continue;
      log.push_back("fold_scales: " + node.origin);
      return out;
    }
    return std::nullopt;
  });
}

}  // namespace kiln::graph::rewrite
