// The largest of f(x) is f of the largest x where f grows, and of the smallest where it falls: the window comes first,
// and f is computed once per window. Exact but for the rounding of f, which may itself not be quite monotone.
#include <algorithm>
#include <cmath>

#include "agents/graph/rewrite/monotone.h"
#include "agents/graph/rewrite/rules.h"
#include "agents/graph/rewrite/sweep.h"

namespace kiln::graph::rewrite {
namespace {

constexpr int kDeepest = 16;  // pointwise nodes that are looked through for the kernel that would compute them

// A window of nothing but padding has the monoid's neutral element, which f would change. None exists where the first
// window of a dimension reaches the input: later ones begin further in, and all begin before its end.
bool meets_input(const Window& op, const Shape& shape) {
  for (std::size_t d = 0; d < op.kernel.size(); ++d) {
    const std::int64_t in = shape[shape.size() - op.kernel.size() + d];
    const std::int64_t before = op.steps.before[d], dilation = op.steps.dilations[d];
    if (in < 1 || (before > 0 && (before > (op.kernel[d] - 1) * dilation || in < dilation))) return false;
  }
  return true;
}

Range range_of(const Graph& graph, ValueId id) {
  const TensorType& type = graph.type(id);
  Range out{INFINITY, -INFINITY};
  for (std::int64_t i = 0; i < element_count(type.shape); ++i) {
    const double value = load_double(type.dtype, graph.constants[static_cast<std::size_t>(id)]->bytes.data(), i);
    if (std::isnan(value)) return {-INFINITY, INFINITY};
    out = {std::min(out.low, value), std::max(out.high, value)};
  }
  return out;
}

// Where f would be the last step of a kernel with other work, it costs nothing, and behind the window it would cost a
// launch.
bool rides(const Sweep& pass, ValueId id, int depth) {
  const Node* node = pass.maker(id);
  if (node == nullptr) return false;
  if (std::holds_alternative<Pointwise>(node->op)) {
    const std::vector<ValueId> inputs = node->inputs;
    return depth >= kDeepest ||
           std::any_of(inputs.begin(), inputs.end(), [&](ValueId input) { return rides(pass, input, depth + 1); });
  }
  return !std::holds_alternative<Window>(node->op) && !std::holds_alternative<Concat>(node->op) && !is_view(node->op);
}

struct Function {
  std::size_t operand = 0;  // of the pointwise node: the one that varies within a window
  Direction direction = Direction::unknown;
};

std::optional<Function> function_of(const Sweep& pass, const Node& node, const Pointwise& f, std::size_t moved) {
  const TensorType& type = pass.graph.type(node.outputs[0]);
  std::optional<std::size_t> varying;
  std::vector<Range> others(node.inputs.size(), Range{0, 0});
  for (std::size_t i = 0; i < node.inputs.size(); ++i) {
    const ValueId id = node.inputs[i];
    if (pass.graph.is_constant(id) && stands_still(pass.graph.type(id).shape, moved)) {
      others[i] = range_of(pass.graph, id);
    } else {
      if (varying || pass.graph.type(id) != type) return std::nullopt;
      varying = i;
    }
  }
  if (!varying || f.expr.results.size() != 1) return std::nullopt;
  const Direction direction = direction_of(f.expr, static_cast<std::int32_t>(*varying), others);
  if (direction != Direction::grows && direction != Direction::falls) return std::nullopt;
  return Function{*varying, direction};
}

std::optional<ValueId> rule(Sweep& pass, const Node& node) {
  const auto* found = std::get_if<Window>(&node.op);
  if (found == nullptr || found->positions || pass.uses(node.inputs[0]) > 1) return std::nullopt;
  if (found->monoid != Monoid::max && found->monoid != Monoid::min) return std::nullopt;
  const auto* f = pass.made_by<Pointwise>(node.inputs[0]);
  const TensorType& large = pass.graph.type(node.inputs[0]);
  if (f == nullptr || !meets_input(*found, large.shape) ||
      element_count(pass.graph.type(node.outputs[0]).shape) >= element_count(large.shape))
    return std::nullopt;
  const Node before = *pass.maker(node.inputs[0]);
  const std::optional<Function> function = function_of(pass, before, *f, found->kernel.size());
  if (!function || rides(pass, before.inputs[function->operand], 0)) return std::nullopt;
  Window window = *found;
  if (function->direction == Direction::falls) window.monoid = window.monoid == Monoid::max ? Monoid::min : Monoid::max;
  std::vector<ValueId> inputs = before.inputs;
  inputs[function->operand] = pass.add(std::move(window), {inputs[function->operand]}, node.origin);
  return pass.add(before.op, std::move(inputs), before.origin);
}

}  // namespace

int pool_before(Graph& graph, Log& log) {
  return sweep(graph, [&](Sweep& pass, const Node& node) {
    const auto out = rule(pass, node);
    if (out) log.push_back("monotone_pool: " + node.origin);
    return out;
  });
}

}  // namespace kiln::graph::rewrite
