// What is not one kernel's work is taken apart: a row kernel goes along one stretch of memory, and whatever it reads on
// the way lies at one distance or stands still.
#include <algorithm>
#include <map>
#include <set>

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

// The norms whose results go element by element, and to nothing else, into a reduction over other dimensions than they
// go over: no kernel does both, so that with the norm as one kernel its result is written and read between.
std::set<ValueId> reduced_across(const Graph& graph) {
  std::vector<int> uses(graph.values.size());
  for (const ValueId v : graph.outputs) ++uses[static_cast<std::size_t>(v)];
  for (const Node& node : graph.nodes)
    for (const ValueId v : node.inputs) ++uses[static_cast<std::size_t>(v)];
  struct Origin { ValueId norm; std::int32_t axis; };
  std::map<ValueId, Origin> origins;
  std::set<ValueId> out;
  for (const Node& node : graph.nodes) {
    const ValueId result = node.outputs[0];
    if (const auto* norm = std::get_if<LayerNorm>(&node.op)) origins[result] = {result, norm->axis};
    for (const ValueId input : node.inputs) {
      const auto at = origins.find(input);
      if (at == origins.end() || uses[static_cast<std::size_t>(input)] != 1) continue;
      const Shape& shape = graph.type(input).shape;
      if (std::holds_alternative<Pointwise>(node.op) && node.outputs.size() == 1 && graph.type(result).shape == shape)
        origins.emplace(result, at->second);
      const auto* reduce = std::get_if<Reduce>(&node.op);
      if (reduce == nullptr) continue;
      for (std::size_t d = 0; d < shape.size(); ++d) {
        const auto axis = static_cast<std::int32_t>(d);
        const bool reduces = std::find(reduce->axes.begin(), reduce->axes.end(), axis) != reduce->axes.end();
        if (shape[d] > 1 && reduces != (axis >= at->second.axis)) out.insert(at->second.norm);
      }
    }
  }
  return out;
}

// A norm over several dimensions whose scale or bias moves along some of them, as a group norm's per channel: the
// statistics, which read x once, and a pointwise node that takes the mean off x once more, so that it fuses with what
// follows and nothing between is written. The same for a norm whose result is reduced `across`.
std::optional<ValueId> parameters_apart(Sweep& pass, const Node& node, const std::set<ValueId>& across, Log& log) {
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
  if (even && !across.contains(node.outputs[0])) return std::nullopt;
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

}  // namespace

void separate(Graph& graph, std::vector<std::string>& log) {
  const std::set<ValueId> across = reduced_across(graph);
  int replaced =
      sweep(graph, [&](Sweep& pass, const Node& node) { return parameters_apart(pass, node, across, log); });
  replaced += reduce_runs(graph, log);
  if (replaced > 0) (void)remove_dead(graph);
}

}  // namespace kiln::graph::rewrite
