// Scans, arguments of extrema, top-k and scatter.
#include <algorithm>

#include "agents/graph/onnx/lowering.h"

namespace kiln::graph::onnx {
namespace {

using Outputs = std::vector<ValueId>;

template <Monoid monoid>
Outputs scan(const Call& call) {
  const std::int32_t axis = call.axis(call.constant_integer(1), call.type(call.in(0)).shape.size());
  return {
      call.add(Scan{monoid, axis, call.get_int("exclusive", 0) != 0, call.get_int("reverse", 0) != 0}, {call.in(0)})};
}

template <bool largest>
Outputs arg(const Call& call) {
  const std::int32_t axis = call.axis(call.get_int("axis", 0), call.type(call.in(0)).shape.size());
  const bool keep = call.get_int("keepdims", 1) != 0, last = call.get_int("select_last_index", 0) != 0;
  return {call.add(Arg{largest, axis, keep, last}, {call.in(0)})};
}

// One at the first largest element of each row, else zero. Before operator set 13 dimensions axis..rank-1 are one row.
Outputs hardmax(const Call& call) {
  const Shape shape = call.type(call.in(0)).shape;
  const bool modern = call.state.opset >= 13;
  std::int32_t axis = call.axis(call.get_int("axis", modern ? -1 : 1), shape.size());
  ValueId x = call.in(0);
  if (!modern) {
    const auto at = shape.begin() + axis;
    x = call.reshape(x, {element_count({shape.begin(), at}), element_count({at, shape.end()})});
    axis = 1;
  }
  const Shape rows = call.type(x).shape;
  const ValueId best = call.add(Arg{true, axis, true, false}, {x});
  const auto at = static_cast<std::size_t>(axis);
  const ValueId hit = call.apply(ExprOp::equal, best, call.count_along(rows[at], at, rows.size()));
  return {call.reshape(call.cast(hit, call.type(x).dtype), shape)};
}

Outputs top_k(const Call& call) {
  const Shape& shape = call.type(call.in(0)).shape;
  const std::int32_t axis = call.axis(call.get_int("axis", -1), shape.size());
  const std::int64_t k = call.state.opset < 10 ? call.get_int("k", -1) : call.constant_integer(1);
  if (k < 0 || k > shape[static_cast<std::size_t>(axis)])
    malformed("its k is not from 0 to " + std::to_string(shape[static_cast<std::size_t>(axis)]));
  return call.state.add_all(TopK{axis, k, call.get_int("largest", 1) != 0}, {call.in(0)}, call.origin);
}

Combine combine_of(const Call& call) {
  const std::string text = call.get_text("reduction", "none");
  if (text == "none") return Combine::replace;
  if (text == "add") return Combine::add;
  if (text == "mul") return Combine::mul;
  if (text == "max") return Combine::max;
  if (text == "min") return Combine::min;
  malformed("its reduction '" + text + "' is unknown");
}

// Elements of the flattened data at the positions of the flattened indices.
Outputs scatter_elements(const Call& call) {
  const ValueId data = call.in(0), indices = call.in(1), updates = call.in(2);
  const Shape shape = call.type(data).shape;
  if (call.type(indices).shape != call.type(updates).shape) malformed("its indices and updates differ in shape");
  const auto axis = static_cast<std::size_t>(call.axis(call.get_int("axis", 0), shape.size()));
  const ValueId at = flat_position(call, indices, shape, axis);
  const std::int64_t count = element_count(call.type(at).shape);
  const ValueId out = call.add(Scatter{combine_of(call)}, {call.reshape(data, {element_count(shape)}),
                                                           call.reshape(at, {count}), call.reshape(updates, {count})});
  return {call.reshape(out, shape)};
}

Outputs scatter_nd(const Call& call) {
  const ValueId data = call.in(0), indices = call.in(1), updates = call.in(2);
  const Shape shape = call.type(data).shape, index = call.type(indices).shape;
  const ValueId at = tuple_position(call, indices, shape);
  const auto depth = static_cast<std::ptrdiff_t>(index.back());
  const std::int64_t rows = element_count({shape.begin(), shape.begin() + depth});
  const std::int64_t width = element_count({shape.begin() + depth, shape.end()});
  const std::int64_t count = element_count(call.type(at).shape);
  if (element_count(call.type(updates).shape) != count * width) malformed("its updates do not fit its indices");
  const ValueId out = call.add(Scatter{combine_of(call)}, {call.reshape(data, {rows, width}), call.reshape(at, {count}),
                                                           call.reshape(updates, {count, width})});
  return {call.reshape(out, shape)};
}

}  // namespace

std::vector<OperatorRow> order_operators() {
  return {{"CumSum", scan<Monoid::sum>}, {"CumProd", scan<Monoid::prod>}, {"ArgMax", arg<true>}, {"ArgMin", arg<false>},
          {"Hardmax", hardmax}, {"TopK", top_k}, {"Scatter", scatter_elements}, {"ScatterElements", scatter_elements},
          {"ScatterND", scatter_nd}};
}

}  // namespace kiln::graph::onnx
