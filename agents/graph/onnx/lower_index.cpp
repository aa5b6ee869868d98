// Operators that pick elements by indices, computed or constant: all become one Gather over flat positions.
#include <algorithm>
#include <numeric>

#include "agents/graph/onnx/lowering.h"

namespace kiln::graph::onnx {
namespace {

using Outputs = std::vector<ValueId>;

ValueId gather_flat(const Call& call, ValueId data, ValueId at) {
  return call.add(Gather{0}, {call.reshape(data, {element_count(call.type(data).shape)}), at});
}

// The elements of x along `axis` at constant places.
ValueId pick(const Call& call, ValueId x, std::size_t axis, const std::vector<std::int64_t>& places) {
  const auto count = static_cast<std::int64_t>(places.size());
  return call.add(Gather{static_cast<std::int32_t>(axis)}, {x, call.ints(places, {count})});
}

Outputs gather_elements(const Call& call) {
  const Shape& shape = call.type(call.in(0)).shape;
  const auto axis = static_cast<std::size_t>(call.axis(call.get_int("axis", 0), shape.size()));
  return {gather_flat(call, call.in(0), flat_position(call, call.in(1), shape, axis))};
}

// The batch dimensions become part of the index, so that one gather serves all.
Outputs gather_nd(const Call& call) {
  const ValueId data = call.in(0);
  const Shape shape = call.type(data).shape, index = call.type(call.in(1)).shape;
  const std::int64_t batch = call.get_int("batch_dims", 0);
  const auto b = static_cast<std::ptrdiff_t>(batch);
  if (batch < 0 || batch >= static_cast<std::int64_t>(std::min(shape.size(), index.size())) ||
      !std::equal(shape.begin(), shape.begin() + b, index.begin()))
    malformed("its batch_dims do not fit its data and indices");
  ValueId at = tuple_position(call, call.in(1), {shape.begin() + b, shape.end()});
  const auto inner = shape.begin() + b + static_cast<std::ptrdiff_t>(index.back());
  const std::int64_t rows = element_count({shape.begin(), inner});
  if (batch > 0) {
    const std::int64_t count = element_count({shape.begin(), shape.begin() + b});
    if (count > kMadeElements) refuse("it has more than 2^24 batches");
    std::vector<std::int64_t> starts(static_cast<std::size_t>(count));
    for (std::int64_t i = 0; i < count; ++i) starts[static_cast<std::size_t>(i)] = i * (rows / count);
    Shape along(call.type(at).shape.size(), 1);
    std::copy_n(shape.begin(), b, along.begin());
    at = call.apply(ExprOp::add, at, call.ints(starts, along));
  }
  Shape to = {rows};
  to.insert(to.end(), inner, shape.end());
  return {call.add(Gather{0}, {call.reshape(data, to), at})};
}

Outputs one_hot(const Call& call) {
  const auto depth = call.constant_integer(1);
  if (depth < 1 || depth > kMadeElements) malformed("its depth is not from 1 to 2^24");
  const Shape from = call.type(call.in(0)).shape;
  const std::int32_t axis = call.axis(call.get_int("axis", -1), from.size() + 1);
  Shape spread = from;
  spread.insert(spread.begin() + axis, 1);
  const ValueId index = call.reshape(from_start(call, call.in(0), depth), spread);
  const ValueId hit =
      call.apply(ExprOp::equal, index, call.count_along(depth, static_cast<std::size_t>(axis), spread.size()));
  const auto level = [&](std::int64_t i) {
    return call.reshape(call.add(Slice{{i}, {1}, {1}}, {call.in(2)}), {});
  };
  if (call.type(call.in(2)).shape != Shape{2}) malformed("its values are not two");
  return {call.apply(ExprOp::select, hit, level(1), level(0))};
}

// Within the first lengths[b] elements of the time axis i becomes lengths[b] - 1 - i; the rest stays.
Outputs reverse_sequence(const Call& call) {
  const ValueId x = call.in(0);
  const Shape shape = call.type(x).shape;
  const auto batch = static_cast<std::size_t>(call.axis(call.get_int("batch_axis", 1), shape.size()));
  const auto time = static_cast<std::size_t>(call.axis(call.get_int("time_axis", 0), shape.size()));
  if (batch == time) malformed("its batch and time axis are one");
  Shape rows(shape.size(), 1);
  rows[batch] = shape[batch];
  const ValueId step = call.count_along(shape[time], time, shape.size());
  const ValueId length = call.reshape(call.cast(call.in(1), DType::i64), rows);
  const ValueId mirrored = call.apply(ExprOp::sub, call.apply(ExprOp::sub, length, step), call.ints({1}, {}));
  const ValueId from = call.apply(ExprOp::select, call.apply(ExprOp::less, step, length), mirrored, step);
  return {gather_flat(call, x, flat_position(call, call.expand(from, shape), shape, time))};
}

// Which elements stay must be known, since it makes the shape.
Outputs compress(const Call& call) {
  ValueId x = call.in(0);
  std::size_t axis = 0;
  if (call.attribute("axis", ::onnx::AttributeProto::INT) != nullptr) {
    axis = static_cast<std::size_t>(call.axis(call.get_int("axis", 0), call.type(x).shape.size()));
  } else {
    x = call.reshape(x, {element_count(call.type(x).shape)});
  }
  const ValueId condition = call.in(1);
  if (!call.state.graph.is_constant(condition))
    refuse("its input 1 depends on the model's inputs, and shapes are static here");
  if (call.type(condition).dtype != DType::boolean || call.type(condition).shape.size() != 1)
    malformed("its condition is not a list of booleans");
  const auto bytes = call.state.graph.constants[static_cast<std::size_t>(condition)]->bytes;
  std::vector<std::int64_t> places;
  for (std::size_t i = 0; i < bytes.size(); ++i)
    if (bytes[i] != std::byte{0}) places.push_back(static_cast<std::int64_t>(i));
  if (!places.empty() && places.back() >= call.type(x).shape[axis]) malformed("its condition is longer than its axis");
  return {pick(call, x, axis, places)};
}

Outputs eye_like(const Call& call) {
  const TensorType& like = call.type(call.in(0));
  if (like.shape.size() != 2) malformed("its input is no matrix");
  if (element_count(like.shape) > kMadeElements) refuse("it has more than 2^24 elements");
  const auto* dtype = call.attribute("dtype", ::onnx::AttributeProto::INT);
  Tensor eye = Tensor::zeros({dtype != nullptr ? dtype_of(static_cast<int>(dtype->i())) : like.dtype, like.shape});
  const std::int64_t above = call.get_int("k", 0);
  for (std::int64_t row = 0; row < like.shape[0]; ++row)
    if (above > -like.shape[0] && above < like.shape[1] && row + above >= 0 && row + above < like.shape[1])
      store_double(eye.type.dtype, eye.bytes.data(), row * like.shape[1] + row + above, 1);
  return {call.constant(std::move(eye))};
}

Outputs tile(const Call& call) {
  const ValueId x = call.in(0);
  const Shape shape = call.type(x).shape;
  const auto repeats = call.constant_ints(1);
  if (repeats.size() != shape.size()) malformed("its repeats are not one per dimension");
  Shape apart, spread, joined;
  for (std::size_t d = 0; d < shape.size(); ++d) {
    if (repeats[d] < 0 || repeats[d] > INT32_MAX) malformed("a repeat is negative or too large");
    apart.insert(apart.end(), {1, shape[d]});
    spread.insert(spread.end(), {repeats[d], shape[d]});
    joined.push_back(element_count({repeats[d], shape[d]}));
  }
  return {call.reshape(call.expand(call.reshape(x, apart), spread), joined)};
}

// Where element i of a padded axis comes from.
std::int64_t padded_source(const std::string& mode, std::int64_t i, std::int64_t extent) {
  if (mode == "edge") return std::clamp<std::int64_t>(i, 0, extent - 1);
  const std::int64_t period = mode == "wrap" ? extent : std::max<std::int64_t>(1, 2 * (extent - 1));
  const std::int64_t at = (i % period + period) % period;
  return at < extent ? at : period - at;  // reflect; wrap never gets there
}

// begin and end of each dimension, from the attribute or, since operator set 11, inputs 1 and 3.
std::vector<std::int64_t> pads_of(const Call& call, std::size_t rank) {
  const auto given = call.state.opset < 11 ? call.get_ints("pads") : std::optional(call.constant_ints(1));
  std::vector<std::int64_t> pads(2 * rank, 0), axes(rank);
  std::iota(axes.begin(), axes.end(), 0);
  if (call.state.opset >= 18 && call.has(3)) axes = call.constant_ints(3);
  if (!given || given->size() != 2 * axes.size()) malformed("its pads are not two per axis");
  for (std::size_t i = 0; i < axes.size(); ++i) {
    const auto axis = static_cast<std::size_t>(call.axis(axes[i], rank));
    for (const std::size_t end : {std::size_t(0), std::size_t(1)}) {
      const std::int64_t value = (*given)[end * axes.size() + i];
      if (value < -INT32_MAX || value > INT32_MAX) malformed("its padding is out of range");
      pads[end * rank + axis] = value;
    }
  }
  return pads;
}

// Padding below zero cuts off.
ValueId cropped(const Call& call, ValueId x, std::vector<std::int64_t>& pads) {
  const Shape shape = call.type(x).shape;
  Slice slice{Shape(shape.size(), 0), shape, std::vector<std::int64_t>(shape.size(), 1)};
  bool cuts = false;
  for (std::size_t d = 0; d < shape.size(); ++d) {
    std::int64_t& before = pads[d];
    std::int64_t& after = pads[shape.size() + d];
    cuts = cuts || before < 0 || after < 0;
    slice.starts[d] = std::max<std::int64_t>(0, -before);
    slice.extents[d] = shape[d] + std::min<std::int64_t>(0, before) + std::min<std::int64_t>(0, after);
    if (slice.extents[d] < 0) malformed("its padding cuts off more than there is");
    if (slice.extents[d] == 0) slice.starts[d] = 0;
    before = std::max<std::int64_t>(0, before);
    after = std::max<std::int64_t>(0, after);
  }
  if (!cuts) return x;
  return call.add(slice, {x});
}

Outputs pad(const Call& call) {
  ValueId x = call.in(0);
  const std::size_t rank = call.type(x).shape.size();
  auto pads = pads_of(call, rank);
  x = cropped(call, x, pads);
  const Shape shape = call.type(x).shape;
  const std::string mode = call.get_text("mode", "constant");
  if (std::all_of(pads.begin(), pads.end(), [](std::int64_t p) { return p == 0; })) return {x};
  if (mode == "constant") {
    const auto middle = pads.begin() + static_cast<std::ptrdiff_t>(rank);
    const DType type = call.type(x).dtype;
    ValueId value = call.scalar(call.state.opset < 11 ? call.get_float("value", 0) : 0, type);
    if (call.state.opset >= 11 && call.has(2)) value = call.reshape(call.in(2), {});
    return {call.add(Pad{{pads.begin(), middle}, {middle, pads.end()}}, {x, value})};
  }
  if (mode != "reflect" && mode != "edge" && mode != "wrap") malformed("its mode '" + mode + "' is unknown");
  for (std::size_t d = 0; d < rank; ++d) {
    const std::int64_t before = pads[d], extent = before + shape[d] + pads[rank + d];
    if (extent == shape[d]) continue;
    if (shape[d] == 0) malformed("it pads an empty dimension by its own elements");
    if (extent > kMadeElements) refuse("a padded dimension has more than 2^24 elements");
    std::vector<std::int64_t> places(static_cast<std::size_t>(extent));
    for (std::int64_t i = 0; i < extent; ++i)
      places[static_cast<std::size_t>(i)] = padded_source(mode, i - before, shape[d]);
    x = pick(call, x, d, places);
  }
  return {x};
}

}  // namespace

ValueId from_start(const Call& call, ValueId index, std::int64_t extent) {
  const ValueId wide = call.cast(index, DType::i64);
  const ValueId below = call.apply(ExprOp::less, wide, call.ints({0}, {}));
  return call.apply(ExprOp::select, below, call.apply(ExprOp::add, wide, call.ints({extent}, {})), wide);
}

ValueId flat_position(const Call& call, ValueId index, const Shape& shape, std::size_t axis) {
  const Shape own = call.type(index).shape;
  if (own.size() != shape.size()) malformed("its indices have another rank than its data");
  const std::vector<std::int64_t> strides = row_major_strides(shape);
  ValueId at = call.apply(ExprOp::mul, from_start(call, index, shape[axis]), call.ints({strides[axis]}, {}));
  for (std::size_t d = 0; d < shape.size(); ++d) {
    if (d == axis || own[d] == 1) continue;
    if (own[d] > shape[d]) malformed("its indices reach past dimension " + std::to_string(d) + " of its data");
    at = call.apply(ExprOp::add, at, call.count_along(own[d], d, shape.size(), strides[d]));
  }
  return at;
}

ValueId tuple_position(const Call& call, ValueId index, const Shape& shape) {
  const Shape own = call.type(index).shape;
  if (own.empty() || own.back() < 1 || own.back() > static_cast<std::int64_t>(shape.size()))
    malformed("its indices name more dimensions than its data has");
  const auto depth = static_cast<std::size_t>(own.back());
  const Shape leading(own.begin(), own.end() - 1);
  const std::vector<std::int64_t> strides = row_major_strides({shape.begin(), shape.begin() + own.back()});
  ValueId at = -1;
  for (std::size_t d = 0; d < depth; ++d) {
    Slice part{Shape(own.size(), 0), own, std::vector<std::int64_t>(own.size(), 1)};
    part.starts.back() = element_count(own) == 0 ? 0 : static_cast<std::int64_t>(d);
    part.extents.back() = 1;
    const ValueId one = call.reshape(call.add(part, {index}), leading);
    const ValueId step = call.apply(ExprOp::mul, from_start(call, one, shape[d]), call.ints({strides[d]}, {}));
    at = at < 0 ? step : call.apply(ExprOp::add, at, step);
  }
  return at;
}

std::vector<OperatorRow> index_operators() {
  return {{"GatherElements", gather_elements},
          {"GatherND", gather_nd},
          {"OneHot", one_hot},
          {"ReverseSequence", reverse_sequence},
          {"Compress", compress},
          {"EyeLike", eye_like},
          {"Tile", tile},
          {"Pad", pad}};
}

}  // namespace kiln::graph::onnx
