// GridSample: the input at places that are computed, as gathers of rows of channels with weights (Jaderberg et al.,
// "Spatial Transformer Networks", 2015).
#include "agents/graph/onnx/lowering.h"

namespace kiln::graph::onnx {
namespace {

using Outputs = std::vector<ValueId>;

enum class Padding { zeros, border, reflection };

struct Sampler {
  const Call& call;
  ValueId rows;  // [N H W, C]
  ValueId first;  // the first row of each image: [N, 1, 1]
  std::int64_t height, width;
  Padding padding;
  bool aligned;
  DType type;

  [[nodiscard]] ValueId apply(ExprOp op, ValueId a, double b) const { return call.apply(op, a, b); }
  [[nodiscard]] ValueId clamp(ValueId x, double high) const {
    return apply(ExprOp::min, apply(ExprOp::max, x, 0.0), high);
  }

  // From [-1, 1] to elements: the ends are the centres of the outermost elements, or their outer edges.
  [[nodiscard]] ValueId place(ValueId g, std::int64_t extent) const {
    const auto n = static_cast<double>(extent);
    const ValueId moved = apply(ExprOp::add, g, 1.0);
    if (aligned) return apply(ExprOp::mul, moved, (n - 1) / 2);
    return apply(ExprOp::mul, apply(ExprOp::sub, apply(ExprOp::mul, moved, n), 1.0), 0.5);
  }

  // Mirrored at the centres, or edges, of the outermost elements until it lies between them.
  [[nodiscard]] ValueId reflect(ValueId x, std::int64_t extent) const {
    const double low = aligned ? 0 : -0.5, span = static_cast<double>(extent) - (aligned ? 1 : 0);
    if (span <= 0) return apply(ExprOp::mul, x, 0.0);
    const ValueId turned = call.apply(ExprOp::mod, apply(ExprOp::sub, x, low), 2 * span);
    const ValueId back = call.apply(ExprOp::sub, call.scalar(2 * span, type), turned);
    return apply(ExprOp::add, call.apply(ExprOp::min, turned, back), low);
  }

  [[nodiscard]] ValueId inside(ValueId x, std::int64_t extent) const {
    if (padding == Padding::border) return clamp(x, static_cast<double>(extent - 1));
    return padding == Padding::reflection ? clamp(reflect(x, extent), static_cast<double>(extent - 1)) : x;
  }

  // Whether a whole-numbered place is an element, as 1 or 0.
  [[nodiscard]] ValueId exists(ValueId x, std::int64_t extent) const {
    const ValueId low = call.apply(ExprOp::less, call.scalar(-0.5, type), x);
    const ValueId high = apply(ExprOp::less, x, static_cast<double>(extent) - 0.5);
    return call.cast(call.apply(ExprOp::logical_and, low, high), type);
  }

  // weight [N, H', W'] times the elements at whole-numbered (y, x): [N, H', W', C].
  [[nodiscard]] ValueId tap(ValueId y, ValueId x, ValueId weight) const {
    y = inside(y, height);
    x = inside(x, width);
    if (padding == Padding::zeros)
      weight = call.apply(ExprOp::mul, weight, call.apply(ExprOp::mul, exists(y, height), exists(x, width)));
    const ValueId row = call.cast(clamp(y, static_cast<double>(height - 1)), DType::i64);
    const ValueId column = call.cast(clamp(x, static_cast<double>(width - 1)), DType::i64);
    const ValueId at = call.apply(
        ExprOp::add, call.apply(ExprOp::add, call.apply(ExprOp::mul, row, call.ints({width}, {})), column), first);
    Shape wide = call.type(weight).shape;
    wide.push_back(1);
    return call.apply(ExprOp::mul, call.add(Gather{0}, {rows, at}), call.reshape(weight, wide));
  }
};

// Keys 1981, equation 4, with a = -0.75: of the taps at -1, 0, 1, 2 around a fraction t.
std::vector<ValueId> cubic_weights(const Sampler& s, ValueId t) {
  const double a = -0.75;
  const auto poly = [&](ValueId d, std::vector<double> coefficients) {
    ValueId out = s.call.scalar(coefficients[0], s.type);
    for (std::size_t i = 1; i < coefficients.size(); ++i)
      out = s.apply(ExprOp::add, s.call.apply(ExprOp::mul, out, d), coefficients[i]);
    return out;
  };
  const auto near = [&](ValueId d) { return poly(d, {a + 2, -(a + 3), 0, 1}); };
  const auto far = [&](ValueId d) { return poly(d, {a, -5 * a, 8 * a, -4 * a}); };
  const ValueId rest = s.call.apply(ExprOp::sub, s.call.scalar(1, s.type), t);
  return {far(s.apply(ExprOp::add, t, 1.0)), near(t), near(rest), far(s.apply(ExprOp::add, rest, 1.0))};
}

Outputs grid_sample(const Call& call) {
  const ValueId x = call.in(0);
  ValueId grid = call.in(1);
  const Shape shape = call.type(x).shape, to = call.type(grid).shape;
  if (shape.size() != 4 || to.size() != 4) refuse("it samples something else than images");
  if (to[3] != 2 || to[0] != shape[0]) malformed("its grid is not two coordinates for each element of each image");
  if (shape[2] < 1 || shape[3] < 1 || shape[2] > INT32_MAX || shape[3] > INT32_MAX)
    malformed("its images are empty or too large");
  const DType type = call.type(x).dtype == DType::f64 ? DType::f64 : DType::f32;
  const std::string mode = call.get_text("mode", "linear"), padding = call.get_text("padding_mode", "zeros");
  const bool is_linear = mode == "bilinear" || mode == "linear", is_cubic = mode == "bicubic" || mode == "cubic";
  if (!is_linear && !is_cubic && mode != "nearest") malformed("its mode '" + mode + "' is unknown");
  if (padding != "zeros" && padding != "border" && padding != "reflection")
    malformed("its padding_mode '" + padding + "' is unknown");
  const ValueId channels_last = call.transpose(call.cast(x, type), {0, 2, 3, 1});
  Sampler s{call, call.reshape(channels_last, {shape[0] * shape[2] * shape[3], shape[1]}),
            call.count_along(shape[0], 0, 3, shape[2] * shape[3]), shape[2], shape[3],
            padding == "zeros" ? Padding::zeros : padding == "border" ? Padding::border : Padding::reflection,
            call.get_int("align_corners", 0) != 0, type};
  const auto coordinate = [&](std::int64_t which, std::int64_t extent) {
    const Slice part{{0, 0, 0, which}, {to[0], to[1], to[2], 1}, {1, 1, 1, 1}};
    const ValueId g = call.reshape(call.add(part, {call.cast(grid, type)}), {to[0], to[1], to[2]});
    const ValueId at = s.place(g, extent);
    return is_cubic ? at : s.inside(at, extent);  // cubic taps come in one by one
  };
  const ValueId column = coordinate(0, s.width), row = coordinate(1, s.height);
  ValueId sum = -1;
  const auto add = [&](ValueId y, ValueId c, ValueId weight) {
    const ValueId part = s.tap(y, c, weight);
    sum = sum < 0 ? part : call.apply(ExprOp::add, sum, part);
  };
  if (!is_linear && !is_cubic) {
    const ValueId y = call.apply(ExprOp::round, row);
    add(y, call.apply(ExprOp::round, column), call.expand(call.scalar(1, type), call.type(y).shape));
  } else {
    const ValueId top = call.apply(ExprOp::floor, row), left = call.apply(ExprOp::floor, column);
    const auto weights = [&](ValueId at, ValueId base) {
      const ValueId t = call.apply(ExprOp::sub, at, base);
      if (is_cubic) return cubic_weights(s, t);
      return std::vector<ValueId>{call.apply(ExprOp::sub, call.scalar(1, type), t), t};
    };
    const auto rows = weights(row, top), columns = weights(column, left);
    const double begin = is_cubic ? -1 : 0;
    for (std::size_t i = 0; i < rows.size(); ++i)
      for (std::size_t j = 0; j < columns.size(); ++j)
        add(s.apply(ExprOp::add, top, begin + static_cast<double>(i)),
            s.apply(ExprOp::add, left, begin + static_cast<double>(j)), call.apply(ExprOp::mul, rows[i], columns[j]));
  }
  return {call.cast(call.transpose(sum, {0, 3, 1, 2}), call.type(x).dtype)};
}

}  // namespace

std::vector<OperatorRow> grid_operators() { return {{"GridSample", grid_sample}}; }

}  // namespace kiln::graph::onnx
