#include "agents/graph/homogeneity.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <numeric>

namespace kiln::graph {
namespace {

// The power of two by which a value changes: unknown, that of a zero (any), or a number.
struct Power {
  enum class Kind : std::uint8_t { none, any, number } kind = Kind::none;
  int value = 0;
};

constexpr Power kNone{}, kAny{Power::Kind::any, 0};
Power number(int value) { return {Power::Kind::number, value}; }
bool is(Power p, int value) {
  return p.kind == Power::Kind::any || (p.kind == Power::Kind::number && p.value == value);
}

// Of a sum, a maximum, or a choice between the two.
Power merged(Power a, Power b) {
  if (a.kind == Power::Kind::any) return b;
  if (b.kind == Power::Kind::any) return a;
  return a.kind == Power::Kind::number && b.kind == Power::Kind::number && a.value == b.value ? a : kNone;
}
Power product(Power a, Power b, int sign = 1) {
  if (a.kind == Power::Kind::none || b.kind == Power::Kind::none) return kNone;
  if (a.kind == Power::Kind::any || b.kind == Power::Kind::any) return kAny;
  return number(a.value + sign * b.value);
}
// Of what is not linear: known only where nothing changes.
Power unchanged(Power p) { return is(p, 0) ? number(0) : kNone; }
// Of an index or a truth that compares values of one power.
Power position(Power p) { return p.kind == Power::Kind::none ? kNone : number(0); }

Power power_of(const ExprNode& node, const std::vector<Power>& of, const std::vector<Power>& operands) {
  const auto argument = [&](std::size_t i) { return of[static_cast<std::size_t>(node.args[i])]; };
  switch (node.op) {
    case ExprOp::operand:
      return operands[static_cast<std::size_t>(node.operand)];
    case ExprOp::constant:
      return node.value == 0 && node.integer == 0 ? kAny : number(0);
    case ExprOp::cast:
      return is_float(node.type) ? argument(0) : unchanged(argument(0));
    case ExprOp::neg:
    case ExprOp::abs:
      return argument(0);
    case ExprOp::sign:
      return position(argument(0));
    case ExprOp::reciprocal:
      return product(number(0), argument(0), -1);
    case ExprOp::add:
    case ExprOp::sub:
    case ExprOp::min:
    case ExprOp::max:
      return merged(argument(0), argument(1));
    case ExprOp::mul:
      return product(argument(0), argument(1));
    case ExprOp::div:
      return product(argument(0), argument(1), -1);
    case ExprOp::equal:
    case ExprOp::less:
    case ExprOp::less_equal:
      return position(merged(argument(0), argument(1)));
    case ExprOp::select:
      return is(argument(0), 0) ? merged(argument(1), argument(2)) : kNone;
    default:
      break;
  }
  Power all = number(0);
  for (int i = 0; i < arity(node.op); ++i)
    if (!is(argument(static_cast<std::size_t>(i)), 0)) all = kNone;
  return all;
}

std::vector<Power> powers_of(const Expr& expr, const std::vector<Power>& operands) {
  std::vector<Power> of, out;
  for (const ExprNode& node : expr.nodes) of.push_back(power_of(node, of, operands));
  for (const std::int32_t result : expr.results) out.push_back(of[static_cast<std::size_t>(result)]);
  return out;
}

Power power_of(Monoid monoid, Power x) {
  return monoid == Monoid::prod || monoid == Monoid::log_sum_exp ? unchanged(x) : x;
}

// Of each output of a node, from those of its inputs.
struct Outputs {
  const std::vector<Power>& in;

  [[nodiscard]] Power all_merged() const { return std::accumulate(in.begin(), in.end(), kAny, merged); }
  [[nodiscard]] bool all_unchanged(std::size_t first, std::size_t last) const {
    return std::all_of(in.begin() + static_cast<std::ptrdiff_t>(first), in.begin() + static_cast<std::ptrdiff_t>(last),
                       [](Power p) { return is(p, 0); });
  }

  std::vector<Power> operator()(const Pointwise& op) const { return powers_of(op.expr, in); }
  std::vector<Power> operator()(const Reduce& op) const { return {power_of(op.monoid, in[0])}; }
  std::vector<Power> operator()(const Softmax&) const { return {unchanged(in[0])}; }
  std::vector<Power> operator()(const LayerNorm&) const {
    if (!is(in[0], 0)) return {kNone};
    return {in.size() > 2 ? merged(in[1], in[2]) : in[1]};
  }
  std::vector<Power> operator()(const MatMul&) const { return {product(in[0], in[1])}; }
  std::vector<Power> operator()(const Convolution&) const { return {product(in[0], in[1])}; }
  std::vector<Power> operator()(const Attention&) const {
    return {all_unchanged(0, 2) && all_unchanged(3, in.size()) ? in[2] : kNone};
  }
  std::vector<Power> operator()(const Gather&) const { return {is(in[1], 0) ? in[0] : kNone}; }
  std::vector<Power> operator()(const Window& op) const { return {power_of(op.monoid, in[0]), position(in[0])}; }
  std::vector<Power> operator()(const Pad&) const { return {all_merged()}; }
  std::vector<Power> operator()(const Concat&) const { return {all_merged()}; }
  std::vector<Power> operator()(const Scan& op) const { return {power_of(op.monoid, in[0])}; }
  std::vector<Power> operator()(const Arg&) const { return {position(in[0])}; }
  std::vector<Power> operator()(const TopK&) const { return {in[0], position(in[0])}; }
  std::vector<Power> operator()(const Scatter& op) const {
    if (op.combine == Combine::mul) return {is(in[2], 0) ? in[0] : kNone};
    return {merged(in[0], in[2])};
  }
  std::vector<Power> operator()(const Recurrent&) const {
    return std::vector<Power>(3, all_unchanged(0, in.size()) ? number(0) : kNone);
  }
  template <class View>
  std::vector<Power> operator()(const View&) const {
    return {in[0]};
  }
};

bool is_zero(const Graph& graph, ValueId id) {
  const auto& bytes = graph.constants[static_cast<std::size_t>(id)]->bytes;
  constexpr std::size_t kScalar = 16;  // only what is cheap to look at: the value of a padding
  return bytes.size() <= kScalar &&
         std::all_of(bytes.begin(), bytes.end(), [](std::byte b) { return b == std::byte{}; });
}

std::optional<Homogeneity> with_inputs(const Graph& graph, std::uint32_t doubled) {
  std::vector<Power> of(graph.values.size(), number(0));
  Homogeneity out;
  for (std::size_t i = 0; i < graph.inputs.size(); ++i) {
    out.inputs.push_back(static_cast<int>(doubled >> i & 1));
    of[static_cast<std::size_t>(graph.inputs[i])] = number(out.inputs.back());
  }
  for (std::size_t id = 0; id < graph.values.size(); ++id)
    if (graph.constants[id] && is_zero(graph, static_cast<ValueId>(id))) of[id] = kAny;
  for (const Node& node : graph.nodes) {
    std::vector<Power> in;
    for (const ValueId id : node.inputs) in.push_back(of[static_cast<std::size_t>(id)]);
    const std::vector<Power> results = std::visit(Outputs{in}, node.op);
    for (std::size_t i = 0; i < node.outputs.size(); ++i) of[static_cast<std::size_t>(node.outputs[i])] = results.at(i);
  }
  bool changes = false;
  constexpr int kMost = 8;
  for (const ValueId id : graph.outputs) {
    const Power p = of[static_cast<std::size_t>(id)];
    if (p.kind == Power::Kind::none || std::abs(p.value) > kMost) return std::nullopt;
    out.outputs.push_back(p.value);
    changes = changes || p.value != 0;
  }
  if (!changes) return std::nullopt;
  return out;
}

bool is_short_range(DType type) {
  return is_float(type) && type != DType::f32 && type != DType::f64 && type != DType::bf16;
}

// Also of what an expression computes with.
bool has_short_range(const Graph& graph) {
  const auto short_value = [](const Value& value) { return is_short_range(value.type.dtype); };
  const auto short_step = [](const ExprNode& step) { return is_short_range(step.type); };
  const auto short_expr = [&](const Node& node) {
    const auto* const op = std::get_if<Pointwise>(&node.op);
    return op != nullptr && std::any_of(op->expr.nodes.begin(), op->expr.nodes.end(), short_step);
  };
  return std::any_of(graph.values.begin(), graph.values.end(), short_value) ||
         std::any_of(graph.nodes.begin(), graph.nodes.end(), short_expr);
}

}  // namespace

std::optional<Homogeneity> homogeneity_of(const Graph& graph) {
  std::uint32_t floats = 0;
  constexpr std::size_t kMostInputs = 8;
  if (graph.inputs.size() > kMostInputs) return std::nullopt;
  if (has_short_range(graph)) return std::nullopt;
  for (std::size_t i = 0; i < graph.inputs.size(); ++i)
    if (is_float(graph.type(graph.inputs[i]).dtype)) floats |= 1u << i;
  std::optional<Homogeneity> best;
  int most = 0;
  for (std::uint32_t mask = floats; mask != 0; mask = (mask - 1) & floats) {
    if (std::popcount(mask) <= most) continue;
    if (auto found = with_inputs(graph, mask)) {
      most = std::popcount(mask);
      best = std::move(found);
    }
  }
  return best;
}

}  // namespace kiln::graph
