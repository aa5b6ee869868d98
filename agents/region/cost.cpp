#include <algorithm>
#include <set>

#include "agents/region/kernel.h"

namespace kiln::agents {
namespace {

double elements(const graph::Graph& g, graph::ValueId v) {
  return static_cast<double>(graph::element_count(g.type(v).shape));
}
double bytes(const graph::Graph& g, graph::ValueId v) {
  return elements(g, v) * static_cast<double>(graph::size_of(g.type(v).dtype));
}

double operations(const graph::Expr& expr) {
  return static_cast<double>(std::count_if(expr.nodes.begin(), expr.nodes.end(), [](const graph::ExprNode& node) {
    return node.op != graph::ExprOp::operand && node.op != graph::ExprOp::constant && node.op != graph::ExprOp::cast;
  }));
}

double flops_of(const graph::Graph& g, const graph::Node& node) {
  const double out = elements(g, node.outputs[0]), in = elements(g, node.inputs[0]);
  if (const auto* op = std::get_if<graph::Pointwise>(&node.op)) return out * operations(op->expr);
  if (std::holds_alternative<graph::Reduce>(node.op)) return in;
  if (std::holds_alternative<graph::Softmax>(node.op)) return 5 * in;    // max, subtract, exp, sum, divide
  if (std::holds_alternative<graph::LayerNorm>(node.op)) return 8 * in;  // sum, centre, fma, scale, fma
  if (const auto* op = std::get_if<graph::MatMul>(&node.op)) {
    const graph::Shape& a = g.type(node.inputs[0]).shape;
    if (a.size() < 2) return 2 * out * in;
    return 2 * out * static_cast<double>(a[a.size() - (op->transpose_a ? 2 : 1)]);
  }
  if (const auto* op = std::get_if<graph::Convolution>(&node.op)) {
    const graph::Shape& w = g.type(node.inputs[1]).shape;
    const double taps = elements(g, node.inputs[1]) / static_cast<double>(w[0]);  // per channel of w's first dimension
    return 2 * taps * (op->transposed ? in : out);
  }
  // Windows that overlap share what they have combined, so of all their taps one operation a result is certain.
  if (std::holds_alternative<graph::Window>(node.op)) return out;
  if (const auto* op = std::get_if<graph::Recurrent>(&node.op)) {
    const double gates = op->cell == graph::Cell::rnn ? 1 : op->cell == graph::Cell::gru ? 3 : 4;
    return out * gates * (2 * static_cast<double>(g.type(node.inputs[1]).shape[1]) + 3);
  }
  if (std::holds_alternative<graph::Scan>(node.op) || std::holds_alternative<graph::Arg>(node.op) ||
      std::holds_alternative<graph::TopK>(node.op))
    return in;
  if (std::holds_alternative<graph::Scatter>(node.op)) return elements(g, node.inputs[2]);
  if (std::holds_alternative<graph::Attention>(node.op)) {
    const graph::Shape& q = g.type(node.inputs[0]).shape;
    const graph::Shape& k = g.type(node.inputs[1]).shape;
    const graph::Shape& o = g.type(node.outputs[0]).shape;
    const auto d = static_cast<double>(q.back()), e = static_cast<double>(o.back());
    return out / e * static_cast<double>(k[k.size() - 2]) * (2 * d + 2 * e + 5);
  }
  return 0;
}

// How much of x lies under some window along its last dimensions: steps longer than the window leave some out, as do
// dilations that they divide.
double covered(const graph::Shape& x, const graph::Shape& out, const graph::Shape& window, const graph::Steps& steps) {
  double part = 1;
  for (std::size_t d = 0; d < window.size(); ++d) {
    const std::int64_t extent = x[x.size() - window.size() + d], results = out[out.size() - window.size() + d];
    std::vector<bool> under(static_cast<std::size_t>(extent));
    for (std::int64_t o = 0; o < results; ++o)
      for (std::int64_t t = 0; t < window[d]; ++t) {
        const std::int64_t place = o * steps.strides[d] + t * steps.dilations[d] - steps.before[d];
        if (place >= 0 && place < extent) under[static_cast<std::size_t>(place)] = true;
      }
    if (extent > 0)
      part *= static_cast<double>(std::count(under.begin(), under.end(), true)) / static_cast<double>(extent);
  }
  return part;
}

double part_read(const graph::Graph& g, const graph::Node& node, graph::ValueId input) {
  if (node.inputs[0] != input) return 1;
  const graph::Shape &x = g.type(input).shape, &out = g.type(node.outputs[0]).shape;
  if (const auto* op = std::get_if<graph::Window>(&node.op)) return covered(x, out, op->kernel, op->steps);
  const auto* op = std::get_if<graph::Convolution>(&node.op);
  if (!op || op->transposed) return 1;
  const graph::Shape& w = g.type(node.inputs[1]).shape;
  return covered(x, out, {w.begin() + 2, w.end()}, op->steps);
}

bool is_output(const graph::Graph& g, graph::ValueId v) {
  return std::find(g.outputs.begin(), g.outputs.end(), v) != g.outputs.end();
}

// A view reads nothing for its own sake, a slice touches only the part that it takes, and a gather may take the same
// part for every index.
double bytes_read(const graph::Graph& g, graph::ValueId input) {
  double parts = 0;
  for (const graph::Node& node : g.nodes) {
    if (std::find(node.inputs.begin(), node.inputs.end(), input) == node.inputs.end()) continue;
    if (std::holds_alternative<graph::Gather>(node.op) && node.inputs[0] == input)
      parts += bytes(g, node.outputs[0]) / std::max(1.0, elements(g, node.inputs[1]));
    else if (graph::is_view(node.op) && !is_output(g, node.outputs[0]))
      parts += bytes_read(g, node.outputs[0]);
    else
      parts +=
          bytes(g, std::holds_alternative<graph::Slice>(node.op) ? node.outputs[0] : input) * part_read(g, node, input);
  }
  return std::min(parts, bytes(g, input));
}

}  // namespace

Cost cost_of(const Region& region) {
  Cost cost;
  for (const graph::Node& node : region.body.nodes) cost.flops += flops_of(region.body, node);
  for (const graph::ValueId v : region.body.inputs) cost.bytes += bytes_read(region.body, v);
  for (const graph::ValueId v : region.body.outputs) cost.bytes += bytes(region.body, v);
  return cost;
}

double wasted_flops(const Kernel& kernel) {
  const auto* product = std::get_if<MatmulKernel>(&kernel);
  if (!product) return 0;
  const auto blocks = [](std::int64_t extent) { return static_cast<double>((extent + 15) / 16 * 16); };
  const double computed = blocks(product->m) * blocks(product->n), used = static_cast<double>(product->m * product->n);
  return 2 * static_cast<double>(graph::element_count(product->batch) * product->k) * (computed - used);
}

}  // namespace kiln::agents
