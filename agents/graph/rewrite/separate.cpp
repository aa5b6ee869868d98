// What is not one kernel's work is taken apart: a row kernel goes along one stretch of memory, and whatever it reads on
// the way lies at one distance or stands still.
#include <algorithm>
#include <functional>

#include "agents/graph/rewrite/rewrite.h"
#include "agents/graph/rewrite/rules.h"
#include "agents/graph/rewrite/sweep.h"

namespace kiln::graph::rewrite {
namespace {

// Whether a parameter that broadcasts to x's dimensions from `axis` on moves along all of them, or none. Dimensions of
// extent 1 do not count.
bool moves_evenly(const Shape& parameter, const Shape& x, std::size_t axis) {
  bool moves = false, stands = false;
  for (std::size_t d = axis; d < x.size(); ++d) {
    if (x[d] == 1) continue;
    const std::size_t from_end = x.size() - d;
    const bool varies = parameter.size() >= from_end && parameter[parameter.size() - from_end] > 1;
    (varies ? moves : stands) = true;
  }
  return !(moves && stands);
}

using Body = std::function<std::int32_t(Expr&, const std::vector<std::int32_t>&)>;

// One pointwise node over `inputs`, each converted to `computed`; its result is of type `result`.
ValueId elementwise(Sweep& pass, const std::vector<ValueId>& inputs, DType computed, DType result,
                    const std::string& origin, const Body& body) {
  Pointwise p;
  std::vector<std::int32_t> operands;
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    const std::int32_t operand = p.expr.operand(static_cast<std::int32_t>(i), pass.graph.type(inputs[i]).dtype);
    operands.push_back(p.expr.cast(operand, computed));
  }
  p.expr.results = {p.expr.cast(body(p.expr, operands), result)};
  return pass.add(std::move(p), inputs, origin);
}

ValueId binary(Sweep& pass, ExprOp op, ValueId a, ValueId b, const std::string& origin) {
  const DType type = pass.graph.type(a).dtype;
  return elementwise(pass, {a, b}, type, type, origin,
                     [op](Expr& e, const auto& in) { return e.apply(op, in[0], in[1]); });
}

// What a norm takes off x and multiplies by, for each stretch that it normalises, in the type that it computes in.
struct Statistics {
  std::optional<ValueId> mean;  // absent when the norm is not centred
  ValueId inverse;              // 1 / sqrt(variance + epsilon)
};

// The variance of two passes: the mean square of x - mean, since that of x less the mean's cancels.
Statistics statistics(Sweep& pass, const LayerNorm& norm, ValueId x, DType computed, const std::string& origin) {
  const TensorType type = pass.graph.type(x);
  Reduce mean{Monoid::mean, {}, true};
  for (auto d = norm.axis; d < static_cast<std::int32_t>(type.shape.size()); ++d) mean.axes.push_back(d);
  Statistics out;
  std::vector<ValueId> centred = {x};
  if (norm.centred) {
    const bool narrow = type.dtype != computed;
    const ValueId from =
        narrow ? elementwise(pass, {x}, computed, computed, origin, [](Expr&, const auto& in) { return in[0]; }) : x;
    out.mean = pass.add(mean, {from}, origin + " mean");
    centred.push_back(*out.mean);
  }
  const ValueId squares = elementwise(pass, centred, computed, computed, origin, [](Expr& e, const auto& in) {
    const std::int32_t c = in.size() > 1 ? e.apply(ExprOp::sub, in[0], in[1]) : in[0];
    return e.apply(ExprOp::mul, c, c);
  });
  const ValueId variance = pass.add(mean, {squares}, origin + " variance");
  out.inverse = elementwise(pass, {variance}, computed, computed, origin, [&](Expr& e, const auto& in) {
    const std::int32_t sum = e.apply(ExprOp::add, in[0], e.constant(norm.epsilon, computed));
    return e.apply(ExprOp::div, e.constant(1, computed), e.apply(ExprOp::sqrt, sum));
  });
  return out;
}

// A norm over several dimensions whose scale or bias moves along some of them, as a group norm's per channel: the
// statistics, which read x once, and a pointwise node that takes the mean off x once more, so that it fuses with what
// follows and nothing between is written.
std::optional<ValueId> parameters_apart(Sweep& pass, const Node& node, Log& log) {
  const auto* found = std::get_if<LayerNorm>(&node.op);
  if (found == nullptr) return std::nullopt;
  const LayerNorm norm = *found;
  const std::vector<ValueId> inputs = node.inputs;
  const std::string origin = node.origin;
  const TensorType x = pass.graph.type(inputs[0]);
  const auto axis = static_cast<std::size_t>(norm.axis);
  const bool even = std::all_of(inputs.begin() + 1, inputs.end(), [&](ValueId p) {
    return moves_evenly(pass.graph.type(p).shape, x.shape, axis);
  });
  if (even) return std::nullopt;
  log.push_back("norm_parameters: " + origin);
  const DType computed = size_of(x.dtype) < size_of(DType::f32) ? DType::f32 : x.dtype;
  const Statistics of = statistics(pass, norm, inputs[0], computed, origin);
  std::vector<ValueId> read = {inputs[0], of.inverse, inputs[1]};
  if (inputs.size() > 2) read.push_back(inputs[2]);
  if (of.mean) read.push_back(*of.mean);
  return elementwise(pass, read, computed, x.dtype, origin, [&](Expr& e, const auto& in) {
    const std::int32_t centred = of.mean ? e.apply(ExprOp::sub, in[0], in.back()) : in[0];
    const std::int32_t scaled = e.apply(ExprOp::mul, e.apply(ExprOp::mul, centred, in[1]), in[2]);
    return inputs.size() > 2 ? e.apply(ExprOp::add, scaled, in[3]) : scaled;
  });
}

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

// A reduction over dimensions with others between them, such as a batch norm's statistics: one run after the other.
// Every monoid allows it, the mean because all runs are of equal length.
std::optional<ValueId> runs_apart(Sweep& pass, const Node& node, Log& log) {
  const auto* found = std::get_if<Reduce>(&node.op);
  if (found == nullptr) return std::nullopt;
  const Reduce reduce = *found;
  const std::string origin = node.origin;
  const Shape result = pass.graph.type(node.outputs[0]).shape;
  ValueId value = node.inputs[0];
  const auto runs = runs_of(reduce.axes, pass.graph.type(value).shape);
  if (runs.size() < 2 || is_integer(pass.graph.type(value).dtype)) return std::nullopt;
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

}  // namespace

void separate(Graph& graph, std::vector<std::string>& log) {
  const int replaced = sweep(graph, [&](Sweep& pass, const Node& node) {
    if (const auto out = parameters_apart(pass, node, log)) return out;
    if (const auto out = variance_of_runs(pass, node, log)) return out;
    return runs_apart(pass, node, log);
  });
  if (replaced > 0) (void)remove_dead(graph);
}

}  // namespace kiln::graph::rewrite
