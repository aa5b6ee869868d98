// RNN, GRU and LSTM: per direction one product with W over all steps, then one Recurrent node.
#include <algorithm>
#include <cctype>

#include "agents/graph/onnx/lowering.h"

namespace kiln::graph::onnx {
namespace {

using Outputs = std::vector<ValueId>;

// The layer's sizes, from X [T, B, I] (or [B, T, I] with layout 1) and R [directions, gates H, H].
struct Layer {
  Cell cell;
  std::int64_t gates, directions, steps, batch, input, hidden;
  bool batch_first;
};

Layer layer_of(const Call& call, Cell cell) {
  const Shape& x = call.type(call.in(0)).shape;
  const Shape& w = call.type(call.in(1)).shape;
  const Shape& r = call.type(call.in(2)).shape;
  const std::int64_t gates = cell == Cell::lstm ? 4 : cell == Cell::gru ? 3 : 1;
  const bool batch_first = call.get_int("layout", 0) != 0;
  if (x.size() != 3 || w.size() != 3 || r.size() != 3) malformed("its X, W or R has not three dimensions");
  const std::string direction = call.get_text("direction", "forward");
  const std::int64_t directions = direction == "bidirectional" ? 2 : 1;
  if (directions == 1 && direction != "forward" && direction != "reverse")
    malformed("its direction '" + direction + "' is unknown");
  Layer layer{cell, gates, directions, x[batch_first ? 1 : 0], x[batch_first ? 0 : 1], x[2], r[2], batch_first};
  if (w != Shape{directions, gates * layer.hidden, layer.input} ||
      r != Shape{directions, gates * layer.hidden, layer.hidden})
    malformed("its W and R do not fit its X and its directions");
  if (call.get_int("hidden_size", layer.hidden) != layer.hidden) malformed("its hidden_size is not that of R");
  return layer;
}

// One direction of a parameter [directions, ...] that each direction needs in `shape`; zeros when it is absent (-1).
ValueId part(const Call& call, ValueId whole, std::int64_t direction, const Shape& shape, DType type) {
  if (whole < 0) return call.zeros({type, shape});
  const Shape& own = call.type(whole).shape;
  if (own.empty() || direction >= own[0] || Shape(own.begin() + 1, own.end()) != shape)
    malformed("a parameter is " + to_string(own) + " where each direction needs " + to_string(shape));
  if (own[0] == 1) return call.reshape(whole, shape);
  Slice slice{Shape(own.size(), 0), own, std::vector<std::int64_t>(own.size(), 1)};
  slice.starts[0] = element_count(own) == 0 ? 0 : direction;
  slice.extents[0] = 1;
  return call.reshape(call.add(slice, {whole}), shape);
}

ValueId given(const Call& call, std::size_t input) { return call.has(input) ? call.in(input) : -1; }

// The activations that ONNX names, in its spelling, with its default alpha and beta (operators RNN, GRU, LSTM).
Expr activation(const std::string& name, std::optional<double> alpha, std::optional<double> beta, DType type) {
  Expr e;
  const auto x = e.operand(0, type);
  const auto c = [&](double value) { return e.constant(value, type); };
  const auto line = [&](double a, double b) {
    return e.apply(ExprOp::add, e.apply(ExprOp::mul, c(alpha.value_or(a)), x), c(beta.value_or(b)));
  };
  const auto below = [&] { return e.apply(ExprOp::less, x, c(0)); };
  const auto is = [&](const char* text) {
    return name.size() == std::char_traits<char>::length(text) &&
           std::equal(name.begin(), name.end(), text,
                      [](char a, char b) { return std::tolower(a) == std::tolower(b); });
  };
  std::int32_t y = -1;
  if (is("Sigmoid")) y = e.apply(ExprOp::sigmoid, x);
  if (is("Tanh")) y = e.apply(ExprOp::tanh, x);
  if (is("Relu")) y = e.apply(ExprOp::max, x, c(0));
  if (is("Affine")) y = line(1, 0);
  if (is("HardSigmoid")) y = e.apply(ExprOp::min, e.apply(ExprOp::max, line(0.2, 0.5), c(0)), c(1));
  if (is("LeakyRelu")) y = e.apply(ExprOp::select, below(), e.apply(ExprOp::mul, c(alpha.value_or(0.01)), x), x);
  if (is("ThresholdedRelu")) y = e.apply(ExprOp::select, e.apply(ExprOp::less, c(alpha.value_or(1)), x), x, c(0));
  if (is("ScaledTanh"))
    y = e.apply(ExprOp::mul, c(alpha.value_or(1)), e.apply(ExprOp::tanh, e.apply(ExprOp::mul, c(beta.value_or(1)), x)));
  if (is("Elu"))
    y = e.apply(ExprOp::select, below(), e.apply(ExprOp::mul, c(alpha.value_or(1)), e.apply(ExprOp::expm1, x)), x);
  if (is("Softsign")) y = e.apply(ExprOp::div, x, e.apply(ExprOp::add, c(1), e.apply(ExprOp::abs, x)));
  if (is("Softplus")) y = e.apply(ExprOp::log1p, e.apply(ExprOp::exp, x));
  if (y < 0) refuse("its activation '" + name + "' is unknown");
  e.results = {y};
  return e;
}

bool takes_alpha(const std::string& name) {
  return name == "Affine" || name == "LeakyRelu" || name == "ThresholdedRelu" || name == "ScaledTanh" ||
         name == "HardSigmoid" || name == "Elu";
}
bool takes_beta(const std::string& name) { return name == "Affine" || name == "ScaledTanh" || name == "HardSigmoid"; }

// Alphas and betas are listed in the order of the activations that take one.
std::vector<Expr> activations(const Call& call, const Layer& layer, DType type) {
  const std::size_t each = layer.cell == Cell::lstm ? 3 : layer.cell == Cell::gru ? 2 : 1;
  std::vector<std::string> names = call.get_texts("activations");
  if (names.empty())
    for (std::int64_t d = 0; d < layer.directions; ++d)
      for (std::size_t i = 0; i < each; ++i) names.emplace_back(i == 0 && layer.cell != Cell::rnn ? "Sigmoid" : "Tanh");
  if (names.size() != each * static_cast<std::size_t>(layer.directions))
    malformed("its activations are not as many as its cell and directions need");
  const std::vector<double> alphas = call.get_floats("activation_alpha"), betas = call.get_floats("activation_beta");
  std::size_t a = 0, b = 0;
  std::vector<Expr> out;
  for (const std::string& name : names) {
    std::optional<double> alpha, beta;
    if (takes_alpha(name) && a < alphas.size()) alpha = alphas[a++];
    if (takes_beta(name) && b < betas.size()) beta = betas[b++];
    out.push_back(activation(name, alpha, beta, type));
  }
  return out;
}

// [B, H] of an initial state [directions, B, H], or [B, directions, H] with layout 1.
ValueId initial_state(const Call& call, const Layer& layer, std::size_t input, std::int64_t direction, DType type) {
  ValueId state = given(call, input);
  if (state >= 0 && layer.batch_first) {
    if (call.type(state).shape.size() != 3) malformed("its initial state has not three dimensions");
    state = call.transpose(state, {1, 0, 2});
  }
  return part(call, state, direction, {layer.batch, layer.hidden}, type);
}

ValueId lengths_of(const Call& call, const Layer& layer) {
  if (call.has(4)) return call.cast(call.in(4), DType::i64);
  return call.expand(call.ints({layer.steps}, {}), {layer.batch});
}

// Y [T, B, H], Y_h [B, H], and for LSTM Y_c of one direction. x is [T, B, I].
Outputs one_direction(const Call& call, const Layer& layer, ValueId x, std::int64_t direction, Recurrent op) {
  const DType type = call.type(x).dtype;
  const std::int64_t n = layer.gates * layer.hidden;
  // Wb is added where X is projected, in one product over all steps; Rb where the recurrence is.
  const ValueId both = part(call, given(call, 3), direction, {2 * n}, type);
  const ValueId rows = call.reshape(x, {layer.steps * layer.batch, layer.input});
  const ValueId product =
      call.add(MatMul{false, true}, {rows, part(call, call.in(1), direction, {n, layer.input}, type)});
  const ValueId projected = call.apply(ExprOp::add, product, call.add(Slice{{0}, {n}, {1}}, {both}));
  std::vector<ValueId> inputs = {call.reshape(projected, {layer.steps, layer.batch, n}),
                                 part(call, call.in(2), direction, {n, layer.hidden}, type),
                                 call.add(Slice{{n}, {n}, {1}}, {both}), initial_state(call, layer, 5, direction, type),
                                 lengths_of(call, layer)};
  if (layer.cell == Cell::lstm) {
    inputs.push_back(initial_state(call, layer, 6, direction, type));
    inputs.push_back(part(call, given(call, 7), direction, {3 * layer.hidden}, type));
  }
  return call.state.add_all(std::move(op), inputs, call.origin);
}

// Both directions side by side in dimension `axis`, which each gets as one of extent 1.
ValueId joined(const Call& call, const std::vector<Outputs>& parts, std::size_t output, std::size_t axis) {
  std::vector<ValueId> sources;
  for (const Outputs& one : parts) {
    Shape shape = call.type(one[output]).shape;
    shape.insert(shape.begin() + static_cast<std::ptrdiff_t>(axis), 1);
    sources.push_back(call.reshape(one[output], shape));
  }
  if (sources.size() == 1) return sources[0];
  return call.add(Concat{static_cast<std::int32_t>(axis)}, sources);
}

template <Cell cell>
Outputs recurrent(const Call& call) {
  const Layer layer = layer_of(call, cell);
  if (layer.hidden < 1 || layer.steps < 1) malformed("it has no hidden elements or no steps");
  const ValueId x = layer.batch_first ? call.transpose(call.in(0), {1, 0, 2}) : call.in(0);
  const std::vector<Expr> all = activations(call, layer, call.type(x).dtype);
  const auto each = static_cast<std::ptrdiff_t>(all.size()) / layer.directions;
  std::vector<Outputs> parts;
  for (std::int64_t d = 0; d < layer.directions; ++d) {
    const bool reverse = d == 1 || call.get_text("direction", "forward") == "reverse";
    Recurrent op{cell, reverse, call.get_int("linear_before_reset", 0) != 0, call.get_int("input_forget", 0) != 0,
                 call.get_float("clip", 0), {all.begin() + d * each, all.begin() + (d + 1) * each}};
    parts.push_back(one_direction(call, layer, x, d, std::move(op)));
  }
  Outputs out = {joined(call, parts, 0, 1)};  // [T, directions, B, H]
  for (std::size_t i = 1; i < parts[0].size(); ++i) out.push_back(joined(call, parts, i, 0));
  if (!layer.batch_first) return out;
  out[0] = call.transpose(out[0], {2, 0, 1, 3});
  for (std::size_t i = 1; i < out.size(); ++i) out[i] = call.transpose(out[i], {1, 0, 2});
  return out;
}

}  // namespace

std::vector<OperatorRow> recurrent_operators() {
  return {{"RNN", recurrent<Cell::rnn>}, {"GRU", recurrent<Cell::gru>}, {"LSTM", recurrent<Cell::lstm>}};
}

}  // namespace kiln::graph::onnx
