#include "agents/graph/byte_sums.h"

#include <algorithm>

namespace kiln::graph {
namespace {

ValueId binary(const Maker& make, ExprOp op, ValueId a, ValueId b) {
  Expr e;
  e.results = {e.apply(op, e.operand(0, DType::i32), e.operand(1, DType::i32))};
  return make.add(Pointwise{std::move(e)}, {a, b});
}

// sum - zero * `weights`, which are added up where they meet one result.
ValueId moved(const Maker& make, ValueId sum, ValueId zero, Tensor weights) {
  if (const std::optional<double> point = make.scalar(zero)) {
    for (std::int32_t& w : weights.as<std::int32_t>())
      w = static_cast<std::int32_t>(static_cast<std::uint32_t>(w) * static_cast<std::uint32_t>(
                                                                        static_cast<std::int64_t>(*point)));
    return binary(make, ExprOp::sub, sum, make.constant(std::move(weights)));
  }
  Expr wide;
  wide.results = {wide.cast(wide.operand(0, make.type(zero).dtype), DType::i32)};
  const ValueId point = make.add(Reshape{{}}, {make.add(Pointwise{std::move(wide)}, {zero})});
  return binary(make, ExprOp::sub, sum, binary(make, ExprOp::mul, point, make.constant(std::move(weights))));
}

bool is_none(const Maker& make, ValueId zero) { return zero < 0 || make.scalar(zero) == 0.0; }

}  // namespace

ValueId convolved_bytes(const Maker& make, Convolution op, ValueId x, ValueId zero, Tensor weights) {
  const Shape w = weights.type.shape;
  Shape sums_shape(w.size() - 1, 1);
  sums_shape[0] = w[0];
  Tensor sums = Tensor::zeros({DType::i32, sums_shape});
  const std::int64_t each = weights.count() / std::max<std::int64_t>(1, w[0]);
  for (std::int64_t i = 0; i < weights.count(); ++i)
    sums.as<std::int32_t>()[static_cast<std::size_t>(i / each)] +=
        weights.as<std::int8_t>()[static_cast<std::size_t>(i)];
  if (!is_none(make, zero)) {
    const auto padded = [](std::int64_t n) { return n != 0; };
    if (std::any_of(op.steps.before.begin(), op.steps.before.end(), padded) ||
        std::any_of(op.steps.after.begin(), op.steps.after.end(), padded)) {
      Pad pad{{0, 0}, {0, 0}};
      pad.before.insert(pad.before.end(), op.steps.before.begin(), op.steps.before.end());
      pad.after.insert(pad.after.end(), op.steps.after.begin(), op.steps.after.end());
      x = make.add(std::move(pad), {x, zero});
      std::fill(op.steps.before.begin(), op.steps.before.end(), 0);
      std::fill(op.steps.after.begin(), op.steps.after.end(), 0);
    }
  }
  const ValueId sum = make.add(std::move(op), {x, make.constant(std::move(weights))});
  return is_none(make, zero) ? sum : moved(make, sum, zero, std::move(sums));
}

ValueId multiplied_bytes(const Maker& make, MatMul op, ValueId x, ValueId zero, Tensor weights) {
  Shape shape = weights.type.shape;
  const std::size_t rank = shape.size();
  const std::int64_t rows = shape[rank - 2], columns = shape[rank - 1];
  shape[rank - 2] = 1;
  shape[rank - 1] = op.transpose_b ? rows : columns;
  Tensor sums = Tensor::zeros({DType::i32, shape});
  for (std::int64_t i = 0; i < weights.count(); ++i) {
    const std::int64_t matrix = i / (rows * columns), at = op.transpose_b ? i / columns % rows : i % columns;
    sums.as<std::int32_t>()[static_cast<std::size_t>(matrix * shape[rank - 1] + at)] +=
        weights.as<std::int8_t>()[static_cast<std::size_t>(i)];
  }
  const ValueId sum = make.add(op, {x, make.constant(std::move(weights))});
  return is_none(make, zero) ? sum : moved(make, sum, zero, std::move(sums));
}

}  // namespace kiln::graph
