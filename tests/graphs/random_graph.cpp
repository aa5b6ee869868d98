#include "tests/graphs/random_graph.h"

#include <algorithm>

#include "tests/region/bodies.h"

namespace kiln::testing {

using namespace kiln::graph;

namespace {

constexpr std::int64_t kMostElements = 4096;

class Writer : public agents::bodies::Builder {
 public:
  explicit Writer(std::uint64_t seed) : Builder(seed) {}

  Graph graph() {
    pool_.push_back(start());
    for (std::int64_t left = 2 + below(10); left > 0; --left) step();
    std::vector<bool> read(g.values.size(), false);
    for (const Node& node : g.nodes)
      for (const ValueId v : node.inputs) read[static_cast<std::size_t>(v)] = true;
    for (const Node& node : g.nodes)
      for (const ValueId v : node.outputs)
        if (!read[static_cast<std::size_t>(v)] || chance(8)) g.outputs.push_back(v);
    g.name = "random";
    return std::move(g);
  }

 private:
  ValueId start() {
    switch (below(6)) {
      case 0: return matmul();
      case 1: return attention();
      case 2: return gather();
      case 3: return concat();
      default: return input(random_shape(static_cast<std::size_t>(1 + below(4))));
    }
  }
  ValueId any() { return pool_[static_cast<std::size_t>(below(static_cast<std::int64_t>(pool_.size())))]; }
  std::int32_t axis_of(ValueId v) {
    return static_cast<std::int32_t>(below(static_cast<std::int64_t>(shape(v).size())));
  }
  ValueId weight(Shape of) {
    Tensor t = Tensor::zeros({DType::f32, std::move(of)});
    for (float& x : t.as<float>()) x = static_cast<float>(below(2001) - 1000) / 1000.0f;
    return g.add_constant("w" + std::to_string(g.values.size()), std::move(t));
  }
  ValueId unary(ExprOp op, ValueId v) {
    Pointwise p;
    p.expr.results = {p.expr.apply(op, p.expr.operand(0, DType::f32))};
    return add(std::move(p), {v});
  }
  ValueId binary(ExprOp op, ValueId a, ValueId b) {
    Pointwise p;
    const std::int32_t x = p.expr.operand(0, DType::f32), y = p.expr.operand(1, DType::f32);
    p.expr.results = {p.expr.apply(op, x, y)};
    return add(std::move(p), {a, b});
  }
  ValueId mean(ValueId v) {
    const auto last = static_cast<std::int32_t>(shape(v).size()) - 1;
    return add(Reduce{Monoid::mean, {last}, true}, {v});
  }

  // What exporters write for one operator of a framework.
  ValueId pattern(ValueId v) {
    const auto last = static_cast<std::int32_t>(shape(v).size()) - 1;
    switch (below(5)) {
      case 0: {  // softmax
        const ValueId e = unary(ExprOp::exp, binary(ExprOp::sub, v, add(Reduce{Monoid::max, {last}, true}, {v})));
        return binary(ExprOp::div, e, add(Reduce{Monoid::sum, {last}, true}, {e}));
      }
      case 1: {  // LayerNorm
        const ValueId d = binary(ExprOp::sub, v, mean(v));
        const ValueId root = unary(ExprOp::sqrt, binary(ExprOp::add, mean(binary(ExprOp::mul, d, d)), scalar(1e-5)));
        return binary(ExprOp::mul, binary(ExprOp::div, d, root), weight({shape(v).back()}));
      }
      case 2: {  // RMSNorm
        const ValueId root = unary(ExprOp::sqrt, binary(ExprOp::add, mean(binary(ExprOp::mul, v, v)), scalar(1e-5)));
        return binary(ExprOp::mul, weight({shape(v).back()}), binary(ExprOp::div, v, root));
      }
      case 3: {  // GELU
        const ValueId e = unary(ExprOp::erf, binary(ExprOp::mul, v, scalar(0.70710678118654752)));
        return binary(ExprOp::mul, binary(ExprOp::mul, v, binary(ExprOp::add, e, scalar(1))), scalar(0.5));
      }
      default: return binary(ExprOp::mul, v, unary(ExprOp::sigmoid, v));  // SiLU
    }
  }

  // Row reductions that are not one kernel's work: of any dimensions, and norms with a parameter per channel.
  ValueId apart(ValueId v) {
    const std::size_t rank = shape(v).size();
    if (rank > 1 && chance(40)) {
      Shape parameter(2, 1);
      parameter[0] = shape(v)[rank - 2];
      return add(LayerNorm{static_cast<std::int32_t>(rank) - 2, 1e-5, chance(70)}, {v, weight(parameter), scalar(0.5)});
    }
    std::vector<std::int32_t> axes;
    for (std::size_t d = 0; d < rank; ++d)
      if (chance(60)) axes.push_back(static_cast<std::int32_t>(d));
    if (axes.empty()) return v;
    const Monoid monoids[] = {Monoid::sum, Monoid::mean, Monoid::max, Monoid::min, Monoid::log_sum_exp};
    return settled(add(Reduce{monoids[below(5)], axes, chance(50)}, {v}));
  }

  Steps steps(std::size_t rank) {
    Steps s;
    for (std::size_t d = 0; d < rank; ++d) {
      s.strides.push_back(1 + below(2));
      s.dilations.push_back(chance(25) ? 2 : 1);
      s.before.push_back(below(2));
      s.after.push_back(below(2));
    }
    return s;
  }
  // The extents of the windows over `in`; empty when one does not fit.
  static Shape extents(const Shape& in, const Shape& kernel, const Steps& s) {
    Shape out;
    for (std::size_t d = 0; d < in.size(); ++d) {
      const std::int64_t left = in[d] + s.before[d] + s.after[d] - ((kernel[d] - 1) * s.dilations[d] + 1);
      if (left < 0) return {};
      out.push_back(left / s.strides[d] + 1);
    }
    return out;
  }
  ValueId window(ValueId v) {
    const std::size_t rank = shape(v).size() > 2 ? shape(v).size() - 2 : 1;
    const Shape in(shape(v).end() - static_cast<std::ptrdiff_t>(rank), shape(v).end());
    Shape kernel;
    for (std::size_t d = 0; d < rank; ++d) kernel.push_back(1 + below(3));
    const Steps s = steps(rank);
    const Shape out = extents(in, kernel, s);
    // A window with nothing inside has no value that everyone agrees on.
    for (std::size_t d = 0; d < rank; ++d)
      if (out.empty() || s.before[d] >= kernel[d] || s.after[d] >= kernel[d] ||
          (kernel[d] - 1) * s.dilations[d] >= in[d])
        return v;
    const Monoid monoids[] = {Monoid::max, Monoid::mean, Monoid::sum};
    const Monoid monoid = monoids[below(3)];
    return add(Window{monoid, kernel, s, out, monoid == Monoid::mean && chance(50), false}, {v});
  }
  ValueId convolution(ValueId v) {
    if (shape(v).size() < 3) return v;
    const std::size_t rank = shape(v).size() - 2;
    const std::int64_t channels = shape(v)[1];
    const std::int64_t groups = channels % 2 == 0 && chance(30) ? 2 : chance(20) ? channels : 1;
    Shape kernel;
    for (std::size_t d = 0; d < rank; ++d) kernel.push_back(1 + below(3));
    Steps s = steps(rank);
    const bool transposed = chance(25);
    if (!transposed && extents({shape(v).begin() + 2, shape(v).end()}, kernel, s).empty()) return v;
    for (std::size_t d = 0; transposed && d < rank; ++d)
      if ((shape(v)[d + 2] - 1) * s.strides[d] + (kernel[d] - 1) * s.dilations[d] + 1 <= s.before[d] + s.after[d])
        return v;
    const std::int64_t m = 1 + below(4);
    Shape w = transposed ? Shape{channels, m} : Shape{groups * m, channels / groups};
    for (const std::int64_t extent : kernel) w.push_back(extent);
    const ValueId y = add(Convolution{s, groups, transposed, Shape(rank, 0)}, {v, weight(w)});
    return settled(y);
  }
  // Sums grow; what follows should see a few units again.
  ValueId settled(ValueId v) { return chance(70) ? unary(ExprOp::tanh, v) : binary(ExprOp::mul, v, scalar(0.25)); }

  ValueId line(ValueId v) {
    const std::int32_t axis = axis_of(v);
    switch (below(3)) {
      case 0:
        return settled(add(Scan{chance(70) ? Monoid::sum : Monoid::max, axis, false, chance(50)}, {v}));
      case 1: {
        const std::int64_t k = 1 + below(shape(v)[static_cast<std::size_t>(axis)]);
        return add(TopK{axis, k, chance(50)}, {v});
      }
      default: {
        Pad p;
        for (std::size_t d = 0; d < shape(v).size(); ++d) {
          p.before.push_back(below(3));
          p.after.push_back(below(2));
        }
        return add(std::move(p), {v, scalar(0.5)});
      }
    }
  }
  // A product with a weight over the last dimension, as linear layers are.
  ValueId linear(ValueId v) {
    const std::int64_t n = 1 + below(9);
    if (shape(v).size() < 2) return v;
    ValueId y = add(MatMul{false, false}, {v, weight({shape(v).back(), n})});
    if (chance(60)) y = binary(ExprOp::add, y, weight({n}));
    return settled(y);
  }
  ValueId joined(ValueId v) {
    for (int attempt = 0; attempt < 8; ++attempt) {
      const ValueId other = any();
      if (shape(other) == shape(v)) return binary(chance(50) ? ExprOp::add : ExprOp::mul, v, other);
    }
    return binary(ExprOp::add, v, weight(broadcastable(shape(v))));
  }

  void step() {
    const ValueId v = any();
    if (shape(v).empty()) return pool_.push_back(start());
    ValueId y = v;
    switch (below(12)) {
      case 0: y = random_view(v, false); break;
      case 1: y = views(v, 3, true); break;
      case 2: y = chance(75) ? row(v) : apart(v); break;
      case 3: y = pattern(v); break;
      case 4: y = window(v); break;
      case 5: y = convolution(v); break;
      case 6: y = line(v); break;
      case 7: y = linear(v); break;
      case 8: y = joined(v); break;
      case 9: y = chance(30) ? start() : unary(ExprOp::tanh, v); break;
      default: y = chain(v, 2); break;
    }
    if (g.type(y).dtype != DType::f32) return;
    if (element_count(shape(y)) > kMostElements || element_count(shape(y)) == 0) return;
    pool_.push_back(y);
  }

  std::vector<ValueId> pool_;
};

}  // namespace

Graph random_graph(std::uint64_t seed) { return Writer(seed).graph(); }

}  // namespace kiln::testing
