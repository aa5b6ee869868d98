// Reductions that no row kernel does at once: a row goes along one stretch of memory, and whatever it reads on the way
// lies at one distance or stands still. They go run by run of dimensions, the innermost first.
#include <algorithm>
#include <set>

#include "agents/graph/rewrite/rules.h"
#include "agents/graph/rewrite/sweep.h"

namespace kiln::graph::rewrite {
namespace {

using Runs = std::vector<std::vector<std::int32_t>>;

// Runs of neighbouring dimensions, the last one first. Dimensions of extent 1 belong to any run.
Runs runs_of(std::vector<std::int32_t> axes, const Shape& shape) {
  std::sort(axes.begin(), axes.end());
  Runs runs;
  for (const std::int32_t axis : axes) {
    bool joins = !runs.empty();
    for (std::int32_t d = joins ? runs.back().back() + 1 : axis; d < axis; ++d)
      joins = joins && shape[static_cast<std::size_t>(d)] == 1;
    if (!joins) runs.emplace_back();
    runs.back().push_back(axis);
  }
  std::reverse(runs.begin(), runs.end());
  return runs;
}

ValueId reduced(Sweep& pass, Monoid monoid, ValueId value, const Runs& runs, const Shape& result,
                const std::string& origin) {
  for (const std::vector<std::int32_t>& run : runs) value = pass.add(Reduce{monoid, run, true}, {value}, origin);
  return pass.graph.type(value).shape == result ? value : pass.add(Reshape{result}, {value}, origin);
}

// Along which dimensions of a shape an operand moves that broadcasts to it.
using Moves = std::vector<bool>;

Moves moves_of(const Shape& operand, const Shape& shape) {
  Moves moves(shape.size(), false);
  for (std::size_t d = 0; d < operand.size(); ++d)
    moves[shape.size() - operand.size() + d] = operand[d] > 1;
  return moves;
}

// The same along the dimensions of `to`, which holds the elements of `from` in their order: a dimension moves when one
// that it shares elements with does.
Moves reshaped(const Moves& moves, const Shape& from, const Shape& to) {
  Moves out(to.size(), false);
  std::size_t first_from = 0, first_to = 0;
  while (first_from < from.size() && first_to < to.size()) {
    std::int64_t left = from[first_from], right = to[first_to];
    std::size_t end_from = first_from + 1, end_to = first_to + 1;
    while (left != right)
      if (left < right && end_from < from.size()) left *= from[end_from++];
      else if (end_to < to.size()) right *= to[end_to++];
      else break;
    const bool moved = std::find(moves.begin() + static_cast<std::ptrdiff_t>(first_from),
                                 moves.begin() + static_cast<std::ptrdiff_t>(end_from), true) !=
                       moves.begin() + static_cast<std::ptrdiff_t>(end_from);
    std::fill(out.begin() + static_cast<std::ptrdiff_t>(first_to), out.begin() + static_cast<std::ptrdiff_t>(end_to),
              moved);
    first_from = end_from;
    first_to = end_to;
  }
  return out;
}

// What a value is computed from element by element, up to what is written to memory whatever reads it: inputs, results
// of other kinds of nodes, and values that several nodes read.
struct Operands {
  std::set<Moves> moves;
  bool in_epilogue = false;  // a product or a convolution writes the value, with all the rest in its epilogue
};

Operands operands_of(const Sweep& pass, ValueId value) {
  const Shape& shape = pass.graph.type(value).shape;
  const Node* node = pass.maker(value);
  const bool alone = node != nullptr && pass.uses(value) == 1;
  Operands out;
  if (alone && std::holds_alternative<Reshape>(node->op)) {
    const Operands behind = operands_of(pass, node->inputs[0]);
    out.in_epilogue = behind.in_epilogue;
    for (const Moves& moves : behind.moves)
      out.moves.insert(reshaped(moves, pass.graph.type(node->inputs[0]).shape, shape));
  } else if (alone && std::holds_alternative<Pointwise>(node->op)) {
    for (const ValueId input : node->inputs) {
      if (pass.graph.type(input).shape != shape) {
        out.moves.insert(moves_of(pass.graph.type(input).shape, shape));
        continue;
      }
      Operands behind = operands_of(pass, input);
      out.in_epilogue = out.in_epilogue || behind.in_epilogue;
      out.moves.merge(behind.moves);
    }
  } else {
    out.moves.insert(moves_of(shape, shape));
    out.in_epilogue =
        alone && (std::holds_alternative<MatMul>(node->op) || std::holds_alternative<Convolution>(node->op));
  }
  return out;
}

// Elements of a row below which a pass of its own over it costs more than what its operands would: a vector's.
constexpr std::int64_t kShortestRow = 16;

// Cuts the innermost run where an operand moves along a part of it, as a loss's weight per row does in the mean over
// all: along the last dimensions each moves or stands still, so that they are rows that read them in place.
void cut_innermost(const Sweep& pass, ValueId value, Runs& runs) {
  const Shape& shape = pass.graph.type(value).shape;
  const Operands operands = operands_of(pass, value);
  if (operands.in_epilogue || runs.empty()) return;
  const std::vector<std::int32_t> run = runs[0];
  std::size_t begin = run.size();
  std::int64_t elements = 1;
  std::optional<std::size_t> last;  // dimension of more than one element
  for (; begin > 0; --begin) {
    const auto d = static_cast<std::size_t>(run[begin - 1]);
    if (shape[d] == 1) continue;
    if (!last) last = d;
    const auto differs = [&](const Moves& moves) { return moves[d] != moves[*last]; };
    if (std::any_of(operands.moves.begin(), operands.moves.end(), differs)) break;
    elements *= shape[d];
  }
  if (begin == 0 || elements < kShortestRow) return;
  const auto cut = run.begin() + static_cast<std::ptrdiff_t>(begin);
  runs[0] = {run.begin(), cut};
  runs.insert(runs.begin(), {cut, run.end()});
}

// The means that lead to `mean` run by run, the first run's first; empty when it is no mean over `runs`.
std::vector<ValueId> means_of_runs(const Sweep& pass, ValueId mean, const Runs& runs) {
  std::vector<ValueId> out;
  for (std::size_t i = runs.size(); i-- > 0;) {
    const auto* reduce = pass.made_by<Reduce>(mean);
    if (reduce == nullptr || reduce->monoid != Monoid::mean || !reduce->keep_dims || reduce->axes != runs[i]) return {};
    out.insert(out.begin(), mean);
    mean = pass.maker(mean)->inputs[0];
  }
  return out;
}

// A reduction over dimensions with others between them, such as a batch norm's statistics, or with operands that move
// along some of them: one run after the other. Every monoid allows it, the mean because all runs are of equal length.
std::optional<ValueId> runs_apart(Sweep& pass, const Node& node, Log& log) {
  const auto* found = std::get_if<Reduce>(&node.op);
  if (found == nullptr) return std::nullopt;
  const Reduce reduce = *found;
  const std::string origin = node.origin;
  const Shape result = pass.graph.type(node.outputs[0]).shape;
  ValueId value = node.inputs[0];
  if (is_integer(pass.graph.type(value).dtype)) return std::nullopt;
  auto runs = runs_of(reduce.axes, pass.graph.type(value).shape);
  cut_innermost(pass, value, runs);
  if (runs.size() < 2) return std::nullopt;
  log.push_back("reduce_runs: " + origin);
  return reduced(pass, reduce.monoid, value, runs, result, origin);
}

// The mean of `squares` over `runs`, where they are the squares of x - mean and the mean is one over the same runs:
// with the means over the first run, m, it is the mean over the others of the mean over the first of (x - m)^2, plus (m
// - mean)^2 (Chan, Golub and LeVeque, "Updating formulae and a pairwise algorithm for computing sample variances",
// 1979). So x is read for both in one kernel.
std::optional<ValueId> variance_of_runs(Sweep& pass, const Node& node, Log& log) {
  const auto* found = std::get_if<Reduce>(&node.op);
  if (found == nullptr || found->monoid != Monoid::mean) return std::nullopt;
  const std::string origin = node.origin;
  const Shape result = pass.graph.type(node.outputs[0]).shape;
  const auto runs = runs_of(found->axes, pass.graph.type(node.inputs[0]).shape);
  const std::vector<ValueId> squares = pass.operands(node.inputs[0], ExprOp::mul);
  if (runs.size() < 2 || squares.size() != 2 || squares[0] != squares[1]) return std::nullopt;
  const std::vector<ValueId> centred = pass.operands(squares[0], ExprOp::sub);
  if (centred.empty()) return std::nullopt;
  const ValueId x = centred[0], mean = centred[1];
  const std::vector<ValueId> means = means_of_runs(pass, mean, runs);
  if (means.empty() || pass.maker(means[0])->inputs[0] != x) return std::nullopt;
  log.push_back("variance_runs: " + origin);
  const auto square = [&](ValueId a, ValueId b) {
    const ValueId difference = binary(pass, ExprOp::sub, a, b, origin);
    return binary(pass, ExprOp::mul, difference, difference, origin);
  };
  const ValueId within = pass.add(Reduce{Monoid::mean, runs[0], true}, {square(x, means[0])}, origin);
  const ValueId value = binary(pass, ExprOp::add, within, square(means[0], mean), origin);
  return reduced(pass, Monoid::mean, value, {runs.begin() + 1, runs.end()}, result, origin);
}

// Whether a product or a convolution makes the value, with nothing but pointwise nodes and views after it.
bool is_led(const Sweep& pass, ValueId value) {
  for (const Node* node = pass.maker(value); node != nullptr; node = pass.maker(node->inputs[0])) {
    if (std::holds_alternative<MatMul>(node->op) || std::holds_alternative<Convolution>(node->op)) return true;
    if (!is_view(node->op) && !std::holds_alternative<Pointwise>(node->op)) return false;
  }
  return false;
}

// The squares of x - mean, whose mean is taken, where x is what a product or a convolution computes and x - mean is
// read elsewhere too: computed for themselves, so that the statistics read nothing but x, and what normalises it may be
// one kernel with what reads that.
std::optional<ValueId> squares_apart(Sweep& pass, const Node& node, Log& log) {
  const auto* found = std::get_if<Reduce>(&node.op);
  if (found == nullptr || found->monoid != Monoid::mean) return std::nullopt;
  const Reduce reduce = *found;
  const std::string origin = node.origin;
  const std::vector<ValueId> squares = pass.operands(node.inputs[0], ExprOp::mul);
  if (squares.size() != 2 || squares[0] != squares[1] || pass.uses(squares[0]) < 3) return std::nullopt;
  const std::vector<ValueId> centred = pass.operands(squares[0], ExprOp::sub);
  if (centred.empty() || pass.made_by<Reduce>(centred[1]) == nullptr) return std::nullopt;
  if (!is_led(pass, centred[0])) return std::nullopt;
  log.push_back("squares_apart: " + origin);
  const ValueId difference = binary(pass, ExprOp::sub, centred[0], centred[1], origin);
  return pass.add(reduce, {binary(pass, ExprOp::mul, difference, difference, origin)}, origin);
}

}  // namespace

int reduce_runs(Graph& graph, Log& log) {
  return sweep(graph, [&](Sweep& pass, const Node& node) {
    if (const auto out = variance_of_runs(pass, node, log)) return out;
    if (const auto out = squares_apart(pass, node, log)) return out;
    return runs_apart(pass, node, log);
  });
}

}  // namespace kiln::graph::rewrite
