// Windows of a monoid (pooling), and padding.
#include <algorithm>
#include <limits>

#include "agents/graph/interpreter/array.h"
#include "agents/graph/interpreter/monoid.h"

namespace kiln::graph::interpreter {
namespace {

// One window of one plane: per dimension the first place and how many taps of it lie inside x.
struct Plane {
  const Window& op;
  Shape in;  // the extents that the window moves over

  // Calls visit(offset in the plane) for each tap inside x, in row-major order; returns the divisor of a mean.
  template <class Visit>
  std::int64_t over(std::int64_t index, Visit visit) const {
    const std::size_t rank = in.size();
    Shape first(rank), tap(rank, 0);
    std::int64_t counted = 1, taps = 1;
    for (std::size_t d = rank; d-- > 0;) {
      first[d] = index % op.extents[d] * op.steps.strides[d] - op.steps.before[d];
      index /= op.extents[d];
      std::int64_t inside = 0;  // of x with its padding
      for (std::int64_t t = 0; t < op.kernel[d]; ++t)
        inside += first[d] + t * op.steps.dilations[d] < in[d] + op.steps.after[d] ? 1 : 0;
      counted *= inside;
      taps *= op.kernel[d];
    }
    std::int64_t found = 0;
    for (std::int64_t t = 0; t < taps; ++t) {
      std::int64_t rest = t, offset = 0, scale = 1;
      bool inside = true;
      for (std::size_t d = rank; d-- > 0;) {
        const std::int64_t place = first[d] + rest % op.kernel[d] * op.steps.dilations[d];
        rest /= op.kernel[d];
        inside = inside && place >= 0 && place < in[d];
        offset += place * scale;
        scale *= in[d];
      }
      if (!inside) continue;
      ++found;
      visit(offset);
    }
    return op.counts_padding ? counted : found;
  }
};

template <class T>
std::vector<Array> pool(const Window& op, const Array& x, const std::vector<TensorType>& out, const Context& context) {
  const Shape& shape = x.type.shape;
  const Plane plane{op, {shape.end() - static_cast<std::ptrdiff_t>(op.kernel.size()), shape.end()}};
  const std::int64_t in_count = element_count(plane.in), out_count = element_count(op.extents);
  const auto count = static_cast<std::size_t>(element_count(out[0].shape));
  std::vector<T> y(count);
  std::vector<std::int64_t> positions(op.positions ? count : 0);
  parallel(context, static_cast<std::int64_t>(count), 256, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) {
      const std::int64_t base = i / out_count * in_count;
      T value = initial<T>(op.monoid);
      std::int64_t best = -1;
      const std::int64_t divisor = plane.over(i % out_count, [&](std::int64_t offset) {
        const T next = combine(op.monoid, value, x.as<T>()[static_cast<std::size_t>(base + offset)]);
        if (best < 0 || next > value || (next != next && value == value)) best = base + offset;
        value = next;
      });
      y[static_cast<std::size_t>(i)] = finish(op.monoid, value, static_cast<std::size_t>(divisor));
      if (op.positions) positions[static_cast<std::size_t>(i)] = best;
    }
  });
  round_to(out[0].dtype, context.arithmetic, y.data(), y.size());
  std::vector<Array> results = {{out[0], std::move(y)}};
  if (op.positions) results.push_back({out[1], std::move(positions)});
  return results;
}

}  // namespace

std::vector<Array> run(const Window& op, const Inputs& in, const std::vector<TensorType>& out, const Context& context) {
  return std::visit(
      [&](const auto& x) { return pool<typename std::decay_t<decltype(x)>::value_type>(op, *in[0], out, context); },
      in[0]->elements);
}

Array run(const Pad& op, const Inputs& in, const TensorType& out, const Context&) {
  const Shape& shape = in[0]->type.shape;
  const auto strides = row_major_strides(out.shape);
  std::int64_t first = 0;
  for (std::size_t d = 0; d < shape.size(); ++d) first += op.before[d] * strides[d];
  const auto places = offsets(shape, strides, first);
  return std::visit(
      [&](const auto& x) {
        using Vector = std::decay_t<decltype(x)>;
        Vector y(static_cast<std::size_t>(element_count(out.shape)), std::get<Vector>(in[1]->elements)[0]);
        for (std::size_t i = 0; i < places.size(); ++i) y[static_cast<std::size_t>(places[i])] = x[i];
        return Array{out, std::move(y)};
      },
      in[0]->elements);
}

}  // namespace kiln::graph::interpreter
