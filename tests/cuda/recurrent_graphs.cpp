// Recurrent layers: each cell, direction and type, hidden extents with and without tails, rows that end early.
#include "tests/cuda/collection.h"

namespace kiln::testing {

std::vector<ValueId> recurrent_layer(Graph& g, const Layer& l) {
  const std::int64_t gates = l.cell == graph::Cell::rnn ? 1 : l.cell == graph::Cell::gru ? 3 : 4;
  std::vector<ValueId> inputs = {
      input(g, {l.steps, l.batch, gates * l.hidden}, l.type), input(g, {gates * l.hidden, l.hidden}, l.type),
      input(g, {gates * l.hidden}, l.type), input(g, {l.batch, l.hidden}, l.type), input(g, {l.batch}, DType::i64)};
  const auto function = [&](ExprOp op) {
    Expr e;
    e.results = {e.apply(op, e.operand(0, l.type))};
    return e;
  };
  graph::Recurrent op{l.cell, l.reverse, l.reset_after, l.input_forget, l.clip, {}};
  if (l.cell != graph::Cell::rnn) op.activations = {function(ExprOp::sigmoid)};
  op.activations.push_back(function(ExprOp::tanh));
  if (l.cell == graph::Cell::lstm) {
    op.activations.push_back(function(ExprOp::tanh));
    inputs.push_back(input(g, {l.batch, l.hidden}, l.type));
    inputs.push_back(input(g, {3 * l.hidden}, l.type));
  }
  return g.add_node(std::move(op), inputs, "test");
}

void add_recurrent(Collection& c) {
  using graph::Cell;
  const auto add = [&](const std::string& name, const Layer& l) {
    c.add_outputs(name, [&](Graph& g) { return recurrent_layer(g, l); });
  };
  add("rnn of an odd extent", {.cell = Cell::rnn, .steps = 4, .batch = 3, .hidden = 19});
  add("rnn of one unit", {.cell = Cell::rnn, .steps = 3, .batch = 2, .hidden = 1});
  add("lstm", {.cell = Cell::lstm, .steps = 3, .batch = 3, .hidden = 40});
  add("lstm of an odd extent from the end, forgetting what comes in, clipped",
      {.cell = Cell::lstm, .steps = 4, .batch = 2, .hidden = 19, .reverse = true, .input_forget = true, .clip = 0.5});
  add("lstm in bf16", {.cell = Cell::lstm, .steps = 3, .batch = 2, .hidden = 72, .type = DType::bf16});
  add("lstm of many rows from the end",
      {.cell = Cell::lstm, .steps = 3, .batch = 21, .hidden = 36, .reverse = true});
  add("gru that resets after its product",
      {.cell = Cell::gru, .steps = 3, .batch = 2, .hidden = 68, .reset_after = true});
  add("gru that resets before its product", {.cell = Cell::gru, .steps = 3, .batch = 5, .hidden = 44});
  add("gru in f16 from the end",
      {.cell = Cell::gru,
       .steps = 4,
       .batch = 3,
       .hidden = 25,
       .reverse = true,
       .reset_after = true,
       .type = DType::f16});
  add("gru that resets before its product in f16",
      {.cell = Cell::gru, .steps = 3, .batch = 9, .hidden = 32, .clip = 2, .type = DType::f16});
  c.add_outputs("last states of an lstm", [](Graph& g) {
    const std::vector<ValueId> all = recurrent_layer(g, {.cell = Cell::lstm, .steps = 5, .batch = 2, .hidden = 20});
    return std::vector<ValueId>{all[1], all[2]};
  });
}

}  // namespace kiln::testing
