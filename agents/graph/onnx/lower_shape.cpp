// Operators that move elements or change their shape.
#include <algorithm>
#include <numeric>

#include "agents/graph/onnx/lowering.h"

namespace kiln::graph::onnx {
namespace {

using Outputs = std::vector<ValueId>;

Outputs identity(const Call& call) { return {call.in(0)}; }

Outputs reshape(const Call& call) {
  const ValueId x = call.in(0);
  const Shape& from = call.type(x).shape;
  Shape to = call.constant_ints(1);
  if (to.size() > static_cast<std::size_t>(kRankLimit)) refuse("its shape has too many dimensions");
  const bool copies_zero = call.get_int("allowzero", 0) == 0;
  std::ptrdiff_t open = -1;
  for (std::size_t i = 0; i < to.size(); ++i) {
    if (to[i] == 0 && copies_zero) {
      if (i >= from.size()) malformed("its shape copies dimension " + std::to_string(i) + " of " + to_string(from));
      to[i] = from[i];
    } else if (to[i] == -1) {
      if (open >= 0) malformed("its shape has two open dimensions");
      open = static_cast<std::ptrdiff_t>(i);
      to[i] = 1;
    }
  }
  if (open >= 0) {
    const std::int64_t rest = element_count(to);
    if (rest == 0 || element_count(from) % rest != 0)
      malformed("the open dimension of its shape has no extent that fits " + to_string(from));
    to[static_cast<std::size_t>(open)] = element_count(from) / rest;
  }
  return {call.reshape(x, to)};
}

Outputs flatten(const Call& call) {
  const Shape& shape = call.type(call.in(0)).shape;
  const auto rank = static_cast<std::int64_t>(shape.size());
  std::int64_t axis = call.get_int("axis", 1);
  if (axis < -rank || axis > rank)
    malformed("axis " + std::to_string(axis) + " is outside a rank of " + std::to_string(rank));
  if (axis < 0) axis += rank;
  return {call.reshape(call.in(0), {element_count({shape.begin(), shape.begin() + axis}),
                                    element_count({shape.begin() + axis, shape.end()})})};
}

Outputs transpose(const Call& call) {
  const std::size_t rank = call.type(call.in(0)).shape.size();
  std::vector<std::int32_t> permutation(rank);
  if (const auto given = call.get_ints("perm")) {
    if (given->size() != rank) malformed("its permutation has another length than the rank " + std::to_string(rank));
    for (std::size_t i = 0; i < rank; ++i) permutation[i] = call.axis((*given)[i], rank);
  } else {
    std::iota(permutation.rbegin(), permutation.rend(), 0);
  }
  return {call.transpose(call.in(0), permutation)};
}

Outputs squeeze(const Call& call) {
  const Shape& from = call.type(call.in(0)).shape;
  std::vector<bool> dropped(from.size(), false);
  if (const auto axes = call.ints_by_opset("axes", 13, 1)) {
    for (const std::int64_t a : *axes) {
      const auto axis = static_cast<std::size_t>(call.axis(a, from.size()));
      if (from[axis] != 1) malformed("dimension " + std::to_string(axis) + " of " + to_string(from) + " is not 1");
      dropped[axis] = true;
    }
  } else {
    for (std::size_t i = 0; i < from.size(); ++i) dropped[i] = from[i] == 1;
  }
  Shape to;
  for (std::size_t i = 0; i < from.size(); ++i)
    if (!dropped[i]) to.push_back(from[i]);
  return {call.reshape(call.in(0), to)};
}

Outputs unsqueeze(const Call& call) {
  const Shape& from = call.type(call.in(0)).shape;
  const auto axes = call.ints_by_opset("axes", 13, 1);
  if (!axes) malformed("it names no axes");
  const std::size_t rank = from.size() + axes->size();
  if (rank > static_cast<std::size_t>(kRankLimit)) refuse("its result has too many dimensions");
  Shape to(rank, 0);
  for (const std::int64_t a : *axes) to[static_cast<std::size_t>(call.axis(a, rank))] = 1;
  auto next = from.begin();
  for (std::int64_t& extent : to) {
    if (extent == 1) continue;
    if (next == from.end()) malformed("an axis stands twice");
    extent = *next++;
  }
  if (next != from.end()) malformed("an axis stands twice");
  return {call.reshape(call.in(0), to)};
}

Outputs expand(const Call& call) {
  const Shape shape = broadcast(call.type(call.in(0)).shape, call.constant_ints(1));
  return {call.expand(call.in(0), shape)};
}

Outputs concat(const Call& call) {
  std::vector<ValueId> inputs;
  for (std::size_t i = 0; i < call.inputs.size(); ++i) inputs.push_back(call.in(i));
  const std::int32_t axis = call.axis(call.get_int("axis", 0), call.type(call.in(0)).shape.size());
  if (inputs.size() == 1) return inputs;
  return {call.add(Concat{axis}, inputs)};
}

Outputs gather(const Call& call) {
  return {call.add(Gather{call.axis(call.get_int("axis", 0), call.type(call.in(0)).shape.size())},
                   {call.in(0), call.in(1)})};
}

Slice whole(const Shape& shape) { return {Shape(shape.size(), 0), shape, std::vector<std::int64_t>(shape.size(), 1)}; }

ValueId sliced(const Call& call, Slice slice) {
  const Shape& from = call.type(call.in(0)).shape;
  const bool all = slice.extents == from &&
                   std::all_of(slice.steps.begin(), slice.steps.end(), [](std::int64_t s) { return s == 1; });
  if (all) return call.in(0);
  return call.add(std::move(slice), {call.in(0)});
}

// One axis of a Slice: negative counts from the end, both ends are clamped (ONNX operator Slice, since version 10).
void slice_axis(Slice& slice, std::size_t axis, std::int64_t extent, std::int64_t start, std::int64_t end,
                std::int64_t step) {
  if (step == 0) malformed("a step is zero");
  step = std::clamp<std::int64_t>(step, -INT32_MAX, INT32_MAX);
  if (start < 0) start += extent;
  if (end < 0) end = end < -extent ? -1 : end + extent;
  start = step > 0 ? std::clamp<std::int64_t>(start, 0, extent)
                   : std::clamp<std::int64_t>(start, 0, std::max<std::int64_t>(extent - 1, 0));
  end = step > 0 ? std::clamp<std::int64_t>(end, 0, extent) : std::clamp<std::int64_t>(end, -1, extent);
  const std::int64_t distance = step > 0 ? end - start : start - end;
  const std::int64_t stride = step > 0 ? step : -step;
  slice.extents[axis] = distance <= 0 || extent == 0 ? 0 : (distance + stride - 1) / stride;
  slice.starts[axis] = slice.extents[axis] == 0 ? 0 : start;
  slice.steps[axis] = step;
}

Outputs slice(const Call& call) {
  const Shape& shape = call.type(call.in(0)).shape;
  const bool inputs = call.state.opset >= 10;
  const auto need = [&](const char* name, std::size_t i) {
    const auto values = inputs ? std::optional(call.constant_ints(i)) : call.get_ints(name);
    if (!values) malformed("it has no " + std::string(name));
    return *values;
  };
  const auto starts = need("starts", 1), ends = need("ends", 2);
  const auto axes = inputs ? call.ints_by_opset("axes", 10, 3) : call.get_ints("axes");
  const auto steps = inputs ? call.ints_by_opset("steps", 10, 4) : std::nullopt;
  if (ends.size() != starts.size() || (axes && axes->size() != starts.size()) ||
      (steps && steps->size() != starts.size()))
    malformed("its starts, ends, axes and steps differ in number");
  Slice out = whole(shape);
  for (std::size_t i = 0; i < starts.size(); ++i) {
    const auto axis =
        static_cast<std::size_t>(call.axis(axes ? (*axes)[i] : static_cast<std::int64_t>(i), shape.size()));
    slice_axis(out, axis, shape[axis], std::max(starts[i], -INT64_MAX / 2), std::max(ends[i], -INT64_MAX / 2),
               steps ? (*steps)[i] : 1);
  }
  return {sliced(call, std::move(out))};
}

std::vector<std::int64_t> split_sizes(const Call& call, std::int64_t extent) {
  if (const auto given = call.ints_by_opset("split", 13, 1)) return *given;
  const std::int64_t parts = call.node.output_size();
  if (parts < 1 || call.get_int("num_outputs", parts) != parts) malformed("its number of outputs is not num_outputs");
  if (call.state.opset < 18 && extent % parts != 0)
    malformed("an extent of " + std::to_string(extent) + " does not split into " + std::to_string(parts) +
              " equal parts");
  const std::int64_t size = (extent + parts - 1) / parts;
  std::vector<std::int64_t> sizes(static_cast<std::size_t>(parts), size);
  sizes.back() = extent - size * (parts - 1);
  return sizes;
}

Outputs split(const Call& call) {
  const Shape& shape = call.type(call.in(0)).shape;
  const auto axis = static_cast<std::size_t>(call.axis(call.get_int("axis", 0), shape.size()));
  const auto sizes = split_sizes(call, shape[axis]);
  if (sizes.size() != static_cast<std::size_t>(call.node.output_size()))
    malformed("it has another number of outputs than parts");
  Outputs out;
  std::int64_t begin = 0;
  for (const std::int64_t size : sizes) {
    if (size < 0 || size > shape[axis] - begin)
      malformed("its parts do not fit an extent of " + std::to_string(shape[axis]));
    Slice part = whole(shape);
    part.starts[axis] = size == 0 ? 0 : begin;
    part.extents[axis] = size;
    out.push_back(sliced(call, std::move(part)));
    begin += size;
  }
  if (begin != shape[axis]) malformed("its parts do not cover an extent of " + std::to_string(shape[axis]));
  return out;
}

std::int64_t block_size(const Call& call) {
  const std::int64_t block = call.get_int("blocksize", 0);
  if (block < 1 || block > INT16_MAX || call.type(call.in(0)).shape.size() != 4)
    malformed("its blocksize is not from 1 to 32767, or its input is no image");
  return block;
}

// Channels to the pixels of blocks; the block's rows and columns stand before (DCR) or after (CRD) the channels.
Outputs depth_to_space(const Call& call) {
  const std::int64_t b = block_size(call);
  const Shape s = call.type(call.in(0)).shape;
  const std::string mode = call.get_text("mode", "DCR");
  if (s[1] % b != 0 || s[1] / b % b != 0) malformed("its blocks do not divide its channels");
  const std::int64_t c = s[1] / b / b;
  const bool crd = mode == "CRD";
  if (!crd && mode != "DCR") malformed("its mode '" + mode + "' is unknown");
  const ValueId apart =
      call.reshape(call.in(0), crd ? Shape{s[0], c, b, b, s[2], s[3]} : Shape{s[0], b, b, c, s[2], s[3]});
  const ValueId moved = call.transpose(
      apart, crd ? std::vector<std::int32_t>{0, 1, 4, 2, 5, 3} : std::vector<std::int32_t>{0, 3, 4, 1, 5, 2});
  return {call.reshape(moved, {s[0], c, s[2] * b, s[3] * b})};
}

Outputs space_to_depth(const Call& call) {
  const std::int64_t b = block_size(call);
  const Shape s = call.type(call.in(0)).shape;
  if (s[2] % b != 0 || s[3] % b != 0) malformed("its blocks do not divide its image");
  const ValueId apart = call.reshape(call.in(0), {s[0], s[1], s[2] / b, b, s[3] / b, b});
  return {call.reshape(call.transpose(apart, {0, 3, 5, 1, 2, 4}), {s[0], s[1] * b * b, s[2] / b, s[3] / b})};
}

}  // namespace

std::vector<OperatorRow> shape_operators() {
  return {{"Identity", identity},
          {"Reshape", reshape},
          {"Flatten", flatten},
          {"Transpose", transpose},
          {"Squeeze", squeeze},
          {"Unsqueeze", unsqueeze},
          {"Expand", expand},
          {"Concat", concat},
          {"Gather", gather},
          {"Slice", slice},
          {"Split", split},
          {"DepthToSpace", depth_to_space},
          {"SpaceToDepth", space_to_depth}};
}

}  // namespace kiln::graph::onnx
