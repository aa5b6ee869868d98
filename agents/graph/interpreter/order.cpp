// Nodes that go along one dimension: scans, arguments of extrema, top-k, scatter.
#include <algorithm>
#include <numeric>

#include "agents/graph/interpreter/array.h"
#include "agents/graph/interpreter/monoid.h"
#include "runtime/base/error.h"

namespace kiln::graph::interpreter {
namespace {

// The lines along one dimension: element i of line l at start(l) + i * inner.
struct Lines {
  std::int64_t count, extent, inner;

  Lines(const Shape& shape, std::int32_t axis) {
    const auto at = shape.begin() + axis;
    inner = element_count({at + 1, shape.end()});
    extent = *at;
    count = element_count({shape.begin(), at}) * inner;
  }
  [[nodiscard]] std::int64_t start(std::int64_t line, std::int64_t length) const {
    return line / inner * length * inner + line % inner;
  }
};

// Whether a comes before b in the order from the best on; NaN is beyond every number.
template <class T>
bool better(bool largest, T a, T b) {
  if (b != b) return false;
  if (a != a) return true;
  return largest ? a > b : a < b;
}

template <class T>
T combined(Combine how, T old, T update) {
  switch (how) {
    case Combine::replace: return update;
    case Combine::add: return combine(Monoid::sum, old, update);
    case Combine::mul: return combine(Monoid::prod, old, update);
    case Combine::max: return combine(Monoid::max, old, update);
    case Combine::min: return combine(Monoid::min, old, update);
  }
  return update;
}

}  // namespace

Array run(const Scan& op, const Inputs& in, const TensorType& out, const Context& context) {
  const Lines lines(out.shape, op.axis);
  return std::visit(
      [&](const auto& x) {
        using T = typename std::decay_t<decltype(x)>::value_type;
        std::vector<T> y(x.size());
        parallel(context, lines.count, 64, [&](std::int64_t begin, std::int64_t end) {
          for (std::int64_t line = begin; line < end; ++line) {
            T value = initial<T>(op.monoid);
            for (std::int64_t step = 0; step < lines.extent; ++step) {
              const std::int64_t i = op.reverse ? lines.extent - 1 - step : step;
              const auto at = static_cast<std::size_t>(lines.start(line, lines.extent) + i * lines.inner);
              if (op.exclusive) y[at] = value;
              value = combine(op.monoid, value, x[at]);
              if (!op.exclusive) y[at] = value;
            }
          }
        });
        round_to(out.dtype, context.arithmetic, y.data(), y.size());
        return Array{out, std::move(y)};
      },
      in[0]->elements);
}

Array run(const Arg& op, const Inputs& in, const TensorType& out, const Context& context) {
  const Lines lines(in[0]->type.shape, op.axis);
  std::vector<std::int64_t> y(static_cast<std::size_t>(lines.count));
  std::visit(
      [&](const auto& x) {
        parallel(context, lines.count, 64, [&](std::int64_t begin, std::int64_t end) {
          for (std::int64_t line = begin; line < end; ++line) {
            const auto at = [&](std::int64_t i) {
              return x[static_cast<std::size_t>(lines.start(line, lines.extent) + i * lines.inner)];
            };
            std::int64_t best = 0;
            for (std::int64_t i = 1; i < lines.extent; ++i)
              if (better(op.largest, at(i), at(best)) || (op.last && !better(op.largest, at(best), at(i)))) best = i;
            y[static_cast<std::size_t>(line)] = best;
          }
        });
      },
      in[0]->elements);
  return {out, std::move(y)};
}

std::vector<Array> run(const TopK& op, const Inputs& in, const std::vector<TensorType>& out, const Context& context) {
  const Lines lines(in[0]->type.shape, op.axis);
  std::vector<std::int64_t> places(static_cast<std::size_t>(lines.count * op.k));
  return std::visit(
      [&](const auto& x) {
        std::decay_t<decltype(x)> values(places.size());
        parallel(context, op.k == 0 ? 0 : lines.count, 16, [&](std::int64_t begin, std::int64_t end) {
          std::vector<std::int64_t> order(static_cast<std::size_t>(lines.extent));
          for (std::int64_t line = begin; line < end; ++line) {
            const auto at = [&](std::int64_t i) {
              return x[static_cast<std::size_t>(lines.start(line, lines.extent) + i * lines.inner)];
            };
            std::iota(order.begin(), order.end(), 0);
            std::partial_sort(order.begin(), order.begin() + op.k, order.end(), [&](std::int64_t a, std::int64_t b) {
              return better(op.largest, at(a), at(b)) || (!better(op.largest, at(b), at(a)) && a < b);
            });
            for (std::int64_t i = 0; i < op.k; ++i) {
              const auto to = static_cast<std::size_t>(lines.start(line, op.k) + i * lines.inner);
              places[to] = order[static_cast<std::size_t>(i)];
              values[to] = at(places[to]);
            }
          }
        });
        return std::vector<Array>{{out[0], std::move(values)}, {out[1], std::move(places)}};
      },
      in[0]->elements);
}

Array run(const Scatter& op, const Inputs& in, const TensorType& out, const Context& context) {
  const std::vector<std::int64_t> rows = checked_indices(*in[1], out.shape[0]);
  const std::int64_t width = element_count({out.shape.begin() + 1, out.shape.end()});
  return std::visit(
      [&](const auto& data) {
        using Vector = std::decay_t<decltype(data)>;
        Vector y = data;
        const Vector& updates = std::get<Vector>(in[2]->elements);
        for (std::size_t k = 0; k < rows.size(); ++k)
          for (std::int64_t c = 0; c < width; ++c) {
            auto& element = y[static_cast<std::size_t>(rows[k] * width + c)];
            element = combined(op.combine, element,
                               updates[k * static_cast<std::size_t>(width) + static_cast<std::size_t>(c)]);
          }
        round_to(out.dtype, context.arithmetic, y.data(), y.size());
        return Array{out, std::move(y)};
      },
      in[0]->elements);
}

}  // namespace kiln::graph::interpreter
