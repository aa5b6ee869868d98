// Nodes that reduce: plain reductions, softmax, layer normalisation. Sums run in index order in the carrier's type.
#include <algorithm>
#include <cmath>
#include <limits>

#include "agents/graph/interpreter/array.h"
#include "agents/graph/interpreter/monoid.h"

namespace kiln::graph::interpreter {
namespace {

// Elements of one row and the first element of every row, for the reduced dimensions.
struct Rows {
  std::vector<std::int64_t> within;
  std::vector<std::int64_t> starts;
};

Rows rows_over(const Shape& shape, const std::vector<bool>& reduced) {
  const auto strides = row_major_strides(shape);
  Shape inner_shape, outer_shape;
  std::vector<std::int64_t> inner_strides, outer_strides;
  for (std::size_t d = 0; d < shape.size(); ++d) {
    (reduced[d] ? inner_shape : outer_shape).push_back(shape[d]);
    (reduced[d] ? inner_strides : outer_strides).push_back(strides[d]);
  }
  return {offsets(inner_shape, inner_strides), offsets(outer_shape, outer_strides)};
}

std::vector<bool> from_axis(const Shape& shape, std::int32_t axis) {
  std::vector<bool> reduced(shape.size(), false);
  for (std::size_t d = static_cast<std::size_t>(axis); d < shape.size(); ++d) reduced[d] = true;
  return reduced;
}

template <class T>
void softmax_row(const std::vector<T>& x, std::vector<T>& y, const Rows& rows, std::int64_t start, bool log) {
  const auto at = [&](std::int64_t offset) { return static_cast<std::size_t>(start + offset); };
  T top = initial<T>(Monoid::max);
  for (const std::int64_t i : rows.within) top = combine(Monoid::max, top, x[at(i)]);
  T sum = 0;
  for (const std::int64_t i : rows.within) sum += std::exp(x[at(i)] - top);
  for (const std::int64_t i : rows.within)
    y[at(i)] = log ? (x[at(i)] - top) - std::log(sum) : std::exp(x[at(i)] - top) / sum;
}

// The maximum is taken out before the exponentials, unless it is infinite, when nothing else counts.
template <class T>
T log_sum_exp(const std::vector<T>& x, const Rows& rows, std::int64_t start) {
  T top = initial<T>(Monoid::max), sum = 0;
  for (const std::int64_t i : rows.within) top = combine(Monoid::max, top, x[static_cast<std::size_t>(start + i)]);
  const T shift = std::fabs(top) < std::numeric_limits<T>::infinity() ? top : T(0);
  for (const std::int64_t i : rows.within) sum += std::exp(x[static_cast<std::size_t>(start + i)] - shift);
  return std::log(sum) + shift;
}

template <class T>
T reduce_row(const Reduce& op, const std::vector<T>& x, const Rows& rows, std::int64_t start) {
  if constexpr (std::is_floating_point_v<T>)
    if (op.monoid == Monoid::log_sum_exp) return log_sum_exp(x, rows, start);
  T value = initial<T>(op.monoid);
  for (const std::int64_t i : rows.within) value = combine(op.monoid, value, x[static_cast<std::size_t>(start + i)]);
  return finish(op.monoid, value, rows.within.size());
}

}  // namespace

Array run(const Reduce& op, const Inputs& in, const TensorType& out, const Context& context) {
  std::vector<bool> reduced(in[0]->type.shape.size(), false);
  for (const std::int32_t axis : op.axes) reduced[static_cast<std::size_t>(axis)] = true;
  const Rows rows = rows_over(in[0]->type.shape, reduced);
  return std::visit(
      [&](const auto& x) {
        using T = typename std::decay_t<decltype(x)>::value_type;
        std::vector<T> y(rows.starts.size());
        parallel(context, static_cast<std::int64_t>(y.size()), 256, [&](std::int64_t begin, std::int64_t end) {
          for (std::int64_t r = begin; r < end; ++r)
            y[static_cast<std::size_t>(r)] = reduce_row(op, x, rows, rows.starts[static_cast<std::size_t>(r)]);
        });
        round_to(out.dtype, context.arithmetic, y.data(), y.size());
        return Array{out, std::move(y)};
      },
      in[0]->elements);
}

Array run(const Softmax& op, const Inputs& in, const TensorType& out, const Context& context) {
  std::vector<bool> reduced(out.shape.size(), false);
  reduced[static_cast<std::size_t>(op.axis)] = true;
  const Rows rows = rows_over(out.shape, reduced);
  Array result{out,
               make_elements(out.dtype, context.arithmetic,
                             in[0]->elements.index() == 2 ? 0 : static_cast<std::size_t>(element_count(out.shape)))};
  std::visit(
      [&](auto& y) {
        using Vector = std::decay_t<decltype(y)>;
        if constexpr (std::is_floating_point_v<typename Vector::value_type>) {
          const Vector& x = std::get<Vector>(in[0]->elements);
          parallel(context, static_cast<std::int64_t>(rows.starts.size()), 64,
                   [&](std::int64_t begin, std::int64_t end) {
                     for (std::int64_t r = begin; r < end; ++r)
                       softmax_row(x, y, rows, rows.starts[static_cast<std::size_t>(r)], op.log);
                   });
          round_to(out.dtype, context.arithmetic, y.data(), y.size());
        }
      },
      result.elements);
  return result;
}

Array run(const LayerNorm& op, const Inputs& in, const TensorType& out, const Context& context) {
  const Rows rows = rows_over(out.shape, from_axis(out.shape, op.axis));
  const auto scale_at = offsets(out.shape, broadcast_strides(in[1]->type.shape, out.shape));
  const auto bias_at = in.size() > 2 ? offsets(out.shape, broadcast_strides(in[2]->type.shape, out.shape)) : scale_at;
  Array result{out, make_elements(out.dtype, context.arithmetic, static_cast<std::size_t>(element_count(out.shape)))};
  std::visit(
      [&](auto& y) {
        using Vector = std::decay_t<decltype(y)>;
        using T = typename Vector::value_type;
        if constexpr (std::is_floating_point_v<T>) {
          const Vector& x = std::get<Vector>(in[0]->elements);
          const Vector& scale = std::get<Vector>(in[1]->elements);
          const auto count = static_cast<T>(rows.within.size());
          parallel(context, static_cast<std::int64_t>(rows.starts.size()), 64,
                   [&](std::int64_t begin, std::int64_t end) {
                     for (std::int64_t r = begin; r < end; ++r) {
                       const std::int64_t start = rows.starts[static_cast<std::size_t>(r)];
                       T sum = 0;
                       for (const std::int64_t i : rows.within) sum += x[static_cast<std::size_t>(start + i)];
                       const T mean = op.centred ? sum / count : T(0);
                       T squares = 0;
                       for (const std::int64_t i : rows.within) {
                         const T d = x[static_cast<std::size_t>(start + i)] - mean;
                         squares += d * d;
                       }
                       const T deviation = std::sqrt(squares / count + static_cast<T>(op.epsilon));
                       for (const std::int64_t i : rows.within) {
                         const auto at = static_cast<std::size_t>(start + i);
                         y[at] = (x[at] - mean) / deviation * scale[static_cast<std::size_t>(scale_at[at])];
                         if (in.size() > 2)
                           y[at] += std::get<Vector>(in[2]->elements)[static_cast<std::size_t>(bias_at[at])];
                       }
                     }
                   });
          round_to(out.dtype, context.arithmetic, y.data(), y.size());
        }
      },
      result.elements);
  return result;
}

}  // namespace kiln::graph::interpreter
