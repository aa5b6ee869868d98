// Col2Im: blocks of an image, one beside the other in columns, added up where they lie over each other. Each element of
// the result is the sum of the taps that meet it, which are views of the padded columns: with strides, one sum for each
// phase of the image. Nothing is multiplied, so infinities and NaNs stay where they are.
#include <algorithm>

#include "agents/graph/onnx/lowering.h"

namespace kiln::graph::onnx {
namespace {

// Sizes along the image's dimensions.
struct Fold {
  Shape image, block, strides, dilations, before;  // `before`: padding
  Shape columns;                                   // blocks along each dimension
  Shape periods;                                   // of the image: its extent in strides, rounded up
};

Fold fold_of(const Call& call) {
  Fold f;
  f.image = call.constant_ints(1);
  f.block = call.constant_ints(2);
  const std::size_t rank = f.image.size();
  if (rank == 0 || f.block.size() != rank) malformed("its image_shape and block_shape are not as long as each other");
  f.strides = spatial_attribute(call, "strides", rank, 1);
  f.dilations = spatial_attribute(call, "dilations", rank, 1);
  const Shape pads = call.get_ints("pads").value_or(Shape(2 * rank, 0));
  if (pads.size() != 2 * rank) malformed("its pads are not two for each dimension of the image");
  constexpr std::int64_t kMost = std::int64_t{1} << 31;
  for (std::size_t d = 0; d < rank; ++d) {
    for (const std::int64_t size : {f.image[d], f.block[d], f.strides[d], f.dilations[d]})
      if (size < 1 || size > kMost) malformed("an extent, stride or dilation is not between 1 and 2^31");
    if (pads[d] < 0 || pads[rank + d] < 0 || pads[d] > kMost || pads[rank + d] > kMost)
      malformed("a pad is not between 0 and 2^31");
    const std::int64_t padded = f.image[d] + pads[d] + pads[rank + d];
    const std::int64_t room = padded - f.dilations[d] * (f.block[d] - 1) - 1;
    if (room < 0) malformed("a block does not fit into the padded image");
    f.before.push_back(pads[d]);
    f.columns.push_back(room / f.strides[d] + 1);
    f.periods.push_back((f.image[d] + f.strides[d] - 1) / f.strides[d]);
  }
  return f;
}

// The next index into `shape`, in row-major order; false after the last.
bool advance(Shape& index, const Shape& shape) {
  for (std::size_t d = shape.size(); d-- > 0; index[d] = 0)
    if (++index[d] < shape[d]) return true;
  return false;
}

std::int64_t product_of(const Shape& shape) {
  std::int64_t product = 1;
  for (const std::int64_t extent : shape)
    if (__builtin_mul_overflow(product, extent, &product)) malformed("its blocks have more than 2^63 elements");
  return product;
}

// The taps that meet the phase, each moved to where its block lies, in sum; -1 when there are none. `columns` is
// [N, C, block..., blocks along each dimension behind `most` of zeros, and zeros...].
ValueId phase_sum(const Call& call, ValueId columns, const Fold& f, const Shape& phase, const Shape& most) {
  const std::size_t rank = f.image.size();
  const Shape whole = call.type(columns).shape;
  Shape result = {whole[0], whole[1]};
  result.insert(result.end(), f.periods.begin(), f.periods.end());
  ValueId sum = -1;
  Shape tap(rank, 0);
  do {
    const auto place = [&](std::size_t d) { return tap[d] * f.dilations[d] - phase[d] - f.before[d]; };  // of block 0
    bool meets = true;
    for (std::size_t d = 0; d < rank; ++d) meets = meets && place(d) % f.strides[d] == 0;
    if (!meets) continue;
    Slice slice{Shape(whole.size(), 0), whole, std::vector<std::int64_t>(whole.size(), 1)};
    for (std::size_t d = 0; d < rank; ++d) {
      slice.starts[2 + d] = tap[d];
      slice.extents[2 + d] = 1;
      slice.starts[2 + rank + d] = most[d] - place(d) / f.strides[d];
      slice.extents[2 + rank + d] = f.periods[d];
    }
    const ValueId term = call.reshape(call.add(slice, {columns}), result);
    sum = sum < 0 ? term : call.apply(ExprOp::add, sum, term);
  } while (advance(tap, f.block));
  return sum;
}

std::vector<ValueId> col2im(const Call& call) {
  const TensorType type = call.type(call.in(0));
  if (type.shape.size() != 3) malformed("its input has not three dimensions");
  if (type.dtype == DType::boolean) refuse("it adds booleans");
  const Fold f = fold_of(call);
  const std::size_t rank = f.image.size();
  const std::int64_t taps = product_of(f.block), images = type.shape[0];
  constexpr std::int64_t kMostTaps = 4096;  // each is a node of the graph
  if (taps > kMostTaps) refuse("its blocks have more than 4096 elements");
  if (product_of(f.strides) > kMostTaps) refuse("its strides make more than 4096 phases");
  if (type.shape[1] % taps != 0 || type.shape[2] != product_of(f.columns))
    malformed("its input " + to_string(type.shape) + " does not fit its image, blocks, strides, dilations and pads");
  const std::int64_t channels = type.shape[1] / taps;

  Shape split = {images, channels};
  split.insert(split.end(), f.block.begin(), f.block.end());
  split.insert(split.end(), f.columns.begin(), f.columns.end());
  Shape most, before(split.size(), 0), after(split.size(), 0);  // the farthest that a tap moves
  bool pads = false;
  for (std::size_t d = 0; d < rank; ++d) {
    const std::int64_t back = (f.before[d] + f.strides[d] - 1) / f.strides[d];  // and the farthest the other way
    most.push_back(std::max<std::int64_t>((f.block[d] - 1) * f.dilations[d] - f.before[d], 0) / f.strides[d]);
    before[2 + rank + d] = most[d];
    after[2 + rank + d] = std::max<std::int64_t>(f.periods[d] + back - f.columns[d], 0);
    pads = pads || before[2 + rank + d] > 0 || after[2 + rank + d] > 0;
  }
  ValueId columns = call.reshape(call.in(0), split);
  if (pads) columns = call.add(Pad{before, after}, {columns, call.scalar(0, type.dtype)});

  Shape of_phase = {images, channels}, side_by_side = {images, channels};
  of_phase.insert(of_phase.end(), f.periods.begin(), f.periods.end());
  Shape with_axis = of_phase;
  with_axis.insert(with_axis.begin() + 2, 1);
  std::vector<ValueId> phases;
  Shape phase(rank, 0);
  do {
    ValueId sum = phase_sum(call, columns, f, phase, most);
    if (sum < 0) sum = call.zeros({type.dtype, of_phase});
    phases.push_back(call.reshape(sum, with_axis));
  } while (advance(phase, f.strides));
  ValueId image = phases[0];
  if (phases.size() > 1) image = call.add(Concat{2}, phases);

  // [N, C, strides..., periods...] to [N, C, period, stride, ...], and off with what lies beyond the image.
  side_by_side.insert(side_by_side.end(), f.strides.begin(), f.strides.end());
  side_by_side.insert(side_by_side.end(), f.periods.begin(), f.periods.end());
  std::vector<std::int32_t> order = {0, 1};
  Slice slice{{0, 0}, {images, channels}, std::vector<std::int64_t>(rank + 2, 1)};
  Shape padded = {images, channels};
  for (std::size_t d = 0; d < rank; ++d) {
    order.push_back(static_cast<std::int32_t>(2 + rank + d));
    order.push_back(static_cast<std::int32_t>(2 + d));
    padded.push_back(f.periods[d] * f.strides[d]);
    slice.starts.push_back(0);
    slice.extents.push_back(f.image[d]);
  }
  image = call.reshape(call.transpose(call.reshape(image, side_by_side), order), padded);
  if (padded != slice.extents) image = call.add(slice, {image});
  return {image};
}

}  // namespace

std::vector<OperatorRow> fold_operators() { return {{"Col2Im", col2im}}; }

}  // namespace kiln::graph::onnx
