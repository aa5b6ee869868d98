// A sum or mean of all results of a channel of a convolution. Tap t of input channel c meets the elements of c that
// some result reads through t; their sum S[c, t] is linear in x, and the sum of the results is the product of S and the
// weights: the multiplications of M output channels become those of one. S is x times a matrix of zeros and ones per
// dimension, R[i, t] = 1 where a result meets element i through tap t, which serves strides, dilations, padding and
// transposed convolutions alike. The mean of windows that stay within the results is a convolution with more taps.
#include <algorithm>

#include "agents/graph/rewrite/linear_sum.h"
#include "agents/graph/rewrite/rules.h"

namespace kiln::graph::rewrite {
namespace {

// The sum of a channel must take fewer operations by this factor, since more kernels do them.
constexpr std::int64_t kLeastGain = 2;

// One dimension: whether some result meets element i through tap t.
Tensor meetings(const Convolution& op, std::size_t d, std::int64_t in, std::int64_t taps, std::int64_t out, DType type,
                bool taps_first) {
  Tensor r = Tensor::zeros({type, taps_first ? Shape{taps, in} : Shape{in, taps}});
  const std::int64_t stride = op.steps.strides[d], dilation = op.steps.dilations[d], before = op.steps.before[d];
  for (std::int64_t i = 0; i < in; ++i)
    for (std::int64_t t = 0; t < taps; ++t) {
      const std::int64_t at = op.transposed ? i * stride + t * dilation - before : i + before - t * dilation;
      const bool meets = op.transposed ? at >= 0 && at < out : at >= 0 && at % stride == 0 && at / stride < out;
      if (meets) store_double(type, r.bytes.data(), taps_first ? t * in + i : i * taps + t, 1);
    }
  return r;
}

struct Extents {
  Shape x, w, out;
  std::int64_t spatial(const Shape& shape) const { return element_count({shape.begin() + 2, shape.end()}); }
};

// S as [N, C, taps...], the last dimension of x first: each product sums one dimension and leaves its taps.
ValueId sums_by_tap(Sweep& pass, const Convolution& op, ValueId x, const Extents& e, const std::string& origin) {
  const DType type = pass.graph.type(x).dtype;
  std::int64_t behind = 1;  // taps of the dimensions that are done
  for (std::size_t d = e.x.size(); d-- > 2;) {
    const std::int64_t in = e.x[d], taps = e.w[d];
    const std::int64_t before = element_count({e.x.begin(), e.x.begin() + static_cast<std::ptrdiff_t>(d)});
    const bool last = d + 1 == e.x.size();
    x = pass.add(Reshape{last ? Shape{before, in} : Shape{before, in, behind}}, {x}, origin);
    const ValueId r = pass.add_constant(meetings(op, d - 2, in, taps, e.out[d], type, !last));
    x = pass.add(MatMul{false, false}, last ? std::vector<ValueId>{x, r} : std::vector<ValueId>{r, x}, origin);
    behind *= taps;
  }
  return x;
}

// The weights as [groups, M / groups, C / groups * taps], times `factor`.
std::optional<ValueId> by_output(Sweep& pass, const Convolution& op, ValueId w, const Extents& e, double factor) {
  const std::int64_t groups = op.groups, taps = e.spatial(e.w);
  Graph g;
  ValueId id = copied(g, pass.graph, w);
  if (op.transposed) {
    id = g.add_node(Reshape{{groups, e.w[0] / groups, e.w[1], taps}}, {id}, "by group")[0];
    id = g.add_node(Transpose{{0, 2, 1, 3}}, {id}, "by output")[0];
  }
  id = g.add_node(Reshape{{groups, e.out[1] / groups, e.x[1] / groups * taps}}, {id}, "rows")[0];
  g.outputs = {factor == 1 ? id : times(g, id, factor)};
  return pass.add_evaluated(g, pass.graph.type(w).dtype);
}

bool over_all_space(const LinearSum& sum) {
  return !sum.over[0] && !sum.over[1] && std::all_of(sum.over.begin() + 2, sum.over.end(), [](bool b) { return b; });
}

std::optional<ValueId> global(Sweep& pass, const Node& node) {
  const std::optional<LinearSum> sum = linear_sum(pass, node);
  const Convolution* found = sum ? pass.made_by<Convolution>(sum->operation) : nullptr;
  if (found == nullptr || !over_all_space(*sum)) return std::nullopt;
  const Convolution op = *found;
  const Node maker = *pass.maker(sum->operation);
  const ValueId x = maker.inputs[0], w = maker.inputs[1];
  if (!pass.graph.is_constant(w)) return std::nullopt;
  const Extents e{pass.graph.type(x).shape, pass.graph.type(w).shape, pass.graph.type(sum->operation).shape};
  const std::int64_t results = e.spatial(e.out), groups = op.groups, taps = e.spatial(e.w);
  const std::int64_t in_group = e.x[1] / groups, out_group = e.out[1] / groups;
  const std::int64_t before = element_count(e.w) * e.x[0] * (op.transposed ? e.spatial(e.x) : results);
  std::int64_t after = element_count(e.w) * e.x[0];
  for (std::size_t d = 2; d < e.x.size(); ++d)
    after += element_count({e.x.begin(), e.x.begin() + static_cast<std::ptrdiff_t>(d) + 1}) *
             element_count({e.w.begin() + static_cast<std::ptrdiff_t>(d), e.w.end()});
  if (after * kLeastGain > before) return std::nullopt;
  const auto weights = by_output(pass, op, w, e, sum->mean ? 1 / static_cast<double>(results) : 1);
  if (!weights) return std::nullopt;
  ValueId y = sums_by_tap(pass, op, x, e, maker.origin);
  y = pass.add(Reshape{{e.x[0], groups, 1, in_group * taps}}, {y}, maker.origin);
  y = pass.add(MatMul{false, true}, {y, *weights}, maker.origin);
  Shape kept(e.out.size(), 1);
  kept[0] = e.out[0];
  kept[1] = groups * out_group;
  return finished(pass, pass.add(Reshape{kept}, {y}, maker.origin), *sum, node);
}

bool plain(const Steps& steps, std::size_t d) { return steps.dilations[d] == 1 && steps.after[d] >= 0; }

// The taps of a window's mean over a convolution's results: w summed over the window's steps.
std::optional<ValueId> widened(Sweep& pass, ValueId w, const Shape& kernel, const Shape& strides, bool mean) {
  const TensorType type = pass.graph.type(w);
  Graph g;
  Shape spread = type.shape;
  Pad pad{Shape(spread.size(), 0), Shape(spread.size(), 0)};
  Window sums{Monoid::sum, kernel, {Shape(kernel.size(), 1), strides, Shape(kernel.size(), 0), Shape(kernel.size(), 0)},
              {}, false, false};
  for (std::size_t d = 0; d < kernel.size(); ++d) {
    const std::int64_t reach = (kernel[d] - 1) * strides[d];
    pad.before[d + 2] = pad.after[d + 2] = reach;
    sums.extents.push_back(type.shape[d + 2] + reach);
  }
  const ValueId zero = g.add_constant("zero", Tensor::zeros({type.dtype, {}}));
  ValueId id = g.add_node(pad, {copied(g, pass.graph, w), zero}, "pad")[0];
  id = g.add_node(sums, {id}, "sums")[0];
  g.outputs = {mean ? times(g, id, 1 / static_cast<double>(element_count(kernel))) : id};
  return pass.add_evaluated(g, type.dtype);
}

// What a window's sum makes of a constant that was added to each result: `bias` must be one for the whole window.
std::optional<ValueId> biased(Sweep& pass, ValueId y, ValueId bias, const Window& window, const std::string& origin) {
  const TensorType type = pass.graph.type(y);
  Graph g;
  const ValueId id = copied(g, pass.graph, bias);
  const bool mean = window.monoid == Monoid::mean;
  g.outputs = {mean ? id : times(g, id, static_cast<double>(element_count(window.kernel)))};
  const std::optional<ValueId> constant = pass.add_evaluated(g, type.dtype);
  if (!constant) return std::nullopt;
  Pointwise add;
  add.expr.results = {add.expr.apply(ExprOp::add, add.expr.operand(0, type.dtype), add.expr.operand(1, type.dtype))};
  return pass.add(std::move(add), {y, *constant}, origin);
}

std::optional<ValueId> windowed(Sweep& pass, const Node& node) {
  const auto* found = std::get_if<Window>(&node.op);
  if (found == nullptr || pass.uses(node.inputs[0]) > 1) return std::nullopt;
  const Window window = *found;
  if (window.monoid != Monoid::sum && window.monoid != Monoid::mean) return std::nullopt;
  const std::optional<Addition> added = addition(pass, node.inputs[0]);
  if (added && !stands_still(pass.graph.type(added->constant).shape, window.kernel.size())) return std::nullopt;
  const ValueId results = added ? added->x : node.inputs[0];
  const Convolution* convolves = pass.made_by<Convolution>(results);
  if (convolves == nullptr || convolves->transposed) return std::nullopt;
  Convolution op = *convolves;
  const Node maker = *pass.maker(results);
  const TensorType type = pass.graph.type(results);
  const Extents e{pass.graph.type(maker.inputs[0]).shape, pass.graph.type(maker.inputs[1]).shape, type.shape};
  if (!pass.graph.is_constant(maker.inputs[1]) || (type.dtype != DType::f32 && type.dtype != DType::f64) ||
      window.kernel.size() + 2 != e.out.size())
    return std::nullopt;
  const Shape strides = op.steps.strides;
  Shape kernel = e.w;
  for (std::size_t d = 0; d < window.kernel.size(); ++d) {
    const std::int64_t step = window.steps.strides[d], extent = window.extents[d];
    const bool inside = window.steps.before[d] == 0 && (extent - 1) * step + window.kernel[d] <= e.out[d + 2];
    if (!inside || extent < 1 || !plain(window.steps, d) || !plain(op.steps, d)) return std::nullopt;
    kernel[d + 2] += (window.kernel[d] - 1) * strides[d];
    op.steps.strides[d] *= step;
    const std::int64_t reached = (extent - 1) * op.steps.strides[d] + kernel[d + 2];
    op.steps.after[d] = std::max<std::int64_t>(0, reached - op.steps.before[d] - e.x[d + 2]);
    const std::int64_t room = op.steps.before[d] + e.x[d + 2] + op.steps.after[d] - kernel[d + 2];
    if (room / op.steps.strides[d] + 1 != extent) return std::nullopt;
  }
  const std::int64_t before = e.spatial(e.w) * e.spatial(e.out);
  const std::int64_t after = e.spatial(kernel) * element_count(window.extents);
  if (after > before) return std::nullopt;
  const auto weights = widened(pass, maker.inputs[1], window.kernel, strides, window.monoid == Monoid::mean);
  if (!weights) return std::nullopt;
  const ValueId y = pass.add(op, {maker.inputs[0], *weights}, maker.origin);
  return added ? biased(pass, y, added->constant, window, node.origin) : y;
}

}  // namespace

int sum_convolutions(Graph& graph, Log& log) {
  return sweep(graph, [&](Sweep& pass, const Node& node) {
    auto out = global(pass, node);
    if (!out) out = windowed(pass, node);
    if (out) log.push_back("mean_of_convolution: " + node.origin);
    return out;
  });
}

}  // namespace kiln::graph::rewrite
