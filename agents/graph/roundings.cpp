#include "agents/graph/roundings.h"

#include <algorithm>
#include <cmath>
#include <map>

namespace kiln::graph {
namespace {

double depth_of_sum(std::int64_t terms) { return std::log2(static_cast<double>(std::max<std::int64_t>(1, terms))); }

// A product keeps the relative error of each of its multiplications, whatever their order.
double depth_of(Monoid monoid, std::int64_t terms) {
  return monoid == Monoid::prod ? static_cast<double>(std::max<std::int64_t>(1, terms) - 1) : depth_of_sum(terms);
}

double depth_of(const Expr& expr) {
  std::vector<double> depth;
  for (const ExprNode& node : expr.nodes) {
    double most = 0;
    for (const std::int32_t argument : node.args)
      if (argument >= 0) most = std::max(most, depth[static_cast<std::size_t>(argument)]);
    const bool rounds = node.op != ExprOp::operand && node.op != ExprOp::constant && node.op != ExprOp::cast;
    depth.push_back(most + (rounds ? 1 : 0));
  }
  return depth.empty() ? 0 : *std::max_element(depth.begin(), depth.end());
}

struct RoundingsOf {
  const Graph& g;
  const Node& node;

  [[nodiscard]] const Shape& input(std::size_t i) const { return g.type(node.inputs[i]).shape; }
  // Elements of input 0 for each of output 0.
  [[nodiscard]] std::int64_t reduced() const {
    return element_count(input(0)) / std::max<std::int64_t>(1, element_count(g.type(node.outputs[0]).shape));
  }

  double operator()(const Pointwise& op) const { return depth_of(op.expr); }
  double operator()(const Reduce& op) const { return depth_of(op.monoid, reduced()) + 1; }
  double operator()(const Softmax& op) const {
    return depth_of_sum(input(0)[static_cast<std::size_t>(op.axis)]) + 3;  // subtract, exp, divide
  }
  double operator()(const LayerNorm& op) const {
    const Shape rows(input(0).begin() + op.axis, input(0).end());
    return 2 * depth_of_sum(element_count(rows)) + 5;  // centre, square, root, divide, scale
  }
  double operator()(const MatMul& op) const {
    const Shape& a = input(0);
    return a.empty() ? 1 : depth_of_sum(a.size() > 1 && op.transpose_a ? a[a.size() - 2] : a.back()) + 1;
  }
  double operator()(const Convolution&) const {
    const Shape& w = input(1);
    return depth_of_sum(element_count(w) / std::max<std::int64_t>(1, w[0])) + 1;
  }
  double operator()(const Attention&) const {
    return depth_of_sum(input(0).back()) + depth_of_sum(input(1)[input(1).size() - 2]) + 5;
  }
  double operator()(const Window& op) const { return depth_of_sum(element_count(op.kernel)); }
  double operator()(const Scan& op) const { return depth_of(op.monoid, input(0)[static_cast<std::size_t>(op.axis)]); }
  double operator()(const Recurrent&) const {  // a step after the other, each a product and its gates
    return static_cast<double>(input(0)[0]) * (depth_of_sum(input(1).back()) + 5);
  }
  template <class Other>
  double operator()(const Other&) const {
    return 0;  // moves or picks elements
  }
};

}  // namespace

double longest_chain_of_roundings(const Graph& graph) {
  std::map<ValueId, double> chain;  // constants and inputs: none
  for (const Node& node : graph.nodes) {
    double most = 0;
    for (const ValueId v : node.inputs) most = std::max(most, chain[v]);
    most += std::visit(RoundingsOf{graph, node}, node.op);
    for (const ValueId v : node.outputs) chain[v] = most;
  }
  double out = 0;
  for (const ValueId v : graph.outputs) out = std::max(out, chain[v]);
  return out;
}

}  // namespace kiln::graph
