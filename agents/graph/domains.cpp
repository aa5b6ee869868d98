// The ranges that generated integer inputs must keep to. A range flows backwards from the indices of Gather and Scatter
// through views and integer pointwise expressions that leave the value as it is (casts, clamps by select); through
// anything else it does not, and the default of {0, 1} is inside every axis of two elements or more. An index of Gather
// may count from the end, so its range begins below zero: a kernel that forgets this must be seen. The bytes of a
// product may be any. Rows of a recurrent layer may end at any step; where their lengths are weights they hardly do,
// since exporters write all steps.
#include <algorithm>

#include "agents/graph/domains.h"

namespace kiln::graph {
namespace {

using Domains = std::vector<std::optional<Domain>>;

void narrow(std::optional<Domain>& domain, Domain other) {
  if (!domain) {
    domain = other;
  } else {
    domain->low = std::max(domain->low, other.low);
    domain->high = std::max(domain->low, std::min(domain->high, other.high));
  }
}

bool is_byte(DType type) { return is_integer(type) && size_of(type) == 1; }
Domain all_bytes(DType type) { return type == DType::i8 ? Domain{-128, 127} : Domain{0, 255}; }

// The operands whose value the expression may return unchanged: through casts and the branches of a select.
void pass_through(const Expr& expr, std::int32_t index, std::vector<std::int32_t>& operands, int depth) {
  const ExprNode& node = expr.nodes[static_cast<std::size_t>(index)];
  if (depth > 16) return;
  if (node.op == ExprOp::operand) operands.push_back(node.operand);
  if (node.op == ExprOp::cast) pass_through(expr, node.args[0], operands, depth + 1);
  if (node.op == ExprOp::select) {
    pass_through(expr, node.args[1], operands, depth + 1);
    pass_through(expr, node.args[2], operands, depth + 1);
  }
}

void narrow_sources(const Graph& graph, const Node& node, bool weights, Domains& domains) {
  if (std::holds_alternative<Recurrent>(node.op)) {
    const std::int64_t steps = graph.type(node.inputs[0]).shape[0];
    narrow(domains[static_cast<std::size_t>(node.inputs[4])], {weights ? steps : 0, steps});
  }
  if (const auto* gather = std::get_if<Gather>(&node.op)) {
    const std::int64_t extent = graph.type(node.inputs[0]).shape[static_cast<std::size_t>(gather->axis)];
    narrow(domains[static_cast<std::size_t>(node.inputs[1])],
           {std::min<std::int64_t>(-extent, 0), std::max<std::int64_t>(extent - 1, 0)});
  }
  if (std::holds_alternative<Scatter>(node.op))
    narrow(domains[static_cast<std::size_t>(node.inputs[1])],
           {0, std::max<std::int64_t>(graph.type(node.inputs[0]).shape[0] - 1, 0)});
  if (std::holds_alternative<MatMul>(node.op))
    for (const ValueId v : node.inputs)
      if (is_byte(graph.type(v).dtype)) narrow(domains[static_cast<std::size_t>(v)], all_bytes(graph.type(v).dtype));
  if (const auto* pointwise = std::get_if<Pointwise>(&node.op)) {
    for (std::size_t r = 0; r < node.outputs.size(); ++r) {
      const auto& wanted = domains[static_cast<std::size_t>(node.outputs[r])];
      std::vector<std::int32_t> operands;
      if (wanted) pass_through(pointwise->expr, pointwise->expr.results[r], operands, 0);
      for (const std::int32_t operand : operands)
        narrow(domains[static_cast<std::size_t>(node.inputs[static_cast<std::size_t>(operand)])], *wanted);
    }
    return;
  }
  const bool moves = is_view(node.op) || std::holds_alternative<Concat>(node.op);
  const bool gathers = std::holds_alternative<Gather>(node.op);
  const std::optional<Domain> wanted = domains[static_cast<std::size_t>(node.outputs[0])];
  if (!wanted || (!moves && !gathers)) return;
  const std::size_t count = gathers ? 1 : node.inputs.size();
  for (std::size_t i = 0; i < count; ++i) narrow(domains[static_cast<std::size_t>(node.inputs[i])], *wanted);
}

Domains domains_of(const Graph& graph, bool weights) {
  Domains wanted(graph.values.size());
  for (auto node = graph.nodes.rbegin(); node != graph.nodes.rend(); ++node)
    narrow_sources(graph, *node, weights, wanted);
  Domains out;
  for (const ValueId id : graph.inputs) {
    const DType type = graph.type(id).dtype;
    if (is_float(type)) {
      out.emplace_back();
    } else if (type == DType::boolean) {
      out.emplace_back(Domain{0, 1});
    } else {
      out.emplace_back(wanted[static_cast<std::size_t>(id)].value_or(Domain{0, 1}));
    }
  }
  return out;
}

}  // namespace

std::vector<std::optional<Domain>> input_domains(const Graph& graph) { return domains_of(graph, false); }
std::vector<std::optional<Domain>> weight_domains(const Graph& graph) { return domains_of(graph, true); }

}  // namespace kiln::graph
