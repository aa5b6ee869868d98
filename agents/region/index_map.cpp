#include "agents/region/index_map.h"

namespace kiln::agents {
namespace {

// Which dimension of `shape` a stride of `step` elements walks along: the one with stride <= step < stride * extent.
std::size_t dimension_of(std::int64_t step, const graph::Shape& shape, const std::vector<std::int64_t>& strides) {
  for (std::size_t j = 0; j < shape.size(); ++j)
    if (shape[j] > 1 && strides[j] <= step && step < strides[j] * shape[j] && step % strides[j] == 0) return j;
  throw Unfoldable{};
}

bool same_elements(const graph::Shape& a, const graph::Shape& b) {
  return graph::element_count(a) == graph::element_count(b);
}

}  // namespace

std::size_t IterationSpace::add(std::int64_t extent, int group) {
  extents_.push_back(extent);
  groups_.push_back(group);
  dimensions_.push_back(count_);
  return count_++;
}

void IterationSpace::split(const Split& cut) {
  const auto at = static_cast<std::ptrdiff_t>(cut.axis);
  const int group = groups_[cut.axis];
  const std::size_t dimension = dimensions_[cut.axis];
  extents_[cut.axis] /= cut.inner;
  extents_.insert(extents_.begin() + at + 1, cut.inner);
  groups_.insert(groups_.begin() + at + 1, group);
  dimensions_.insert(dimensions_.begin() + at + 1, dimension);
}

Affine IterationSpace::constant(std::int64_t value) const {
  return {value, std::vector<std::int64_t>(extents_.size(), 0)};
}

Affine IterationSpace::index(std::size_t dimension) const {
  Affine out = constant(0);
  std::int64_t stride = 1;
  for (std::size_t axis = extents_.size(); axis-- > 0;) {
    if (dimensions_[axis] != dimension) continue;
    if (extents_[axis] > 1) out.strides[axis] = stride;
    stride *= extents_[axis];
  }
  return out;
}

Affine plus(const Affine& a, const Affine& b, std::int64_t factor_of_b) {
  Affine out = a;
  out.offset += factor_of_b * b.offset;
  for (std::size_t i = 0; i < out.strides.size(); ++i) out.strides[i] += factor_of_b * b.strides[i];
  return out;
}

Affine linear(const IterationSpace& space, const IndexMap& map, const graph::Shape& shape) {
  const std::vector<std::int64_t> strides = graph::row_major_strides(shape);
  Affine out = space.constant(0);
  for (std::size_t d = 0; d < shape.size(); ++d) out = plus(out, map[d], strides[d]);
  return out;
}

IndexMap delinearize(const IterationSpace& space, const Affine& position, const graph::Shape& shape) {
  const std::vector<std::int64_t> strides = graph::row_major_strides(shape);
  IndexMap out(shape.size(), space.constant(0));
  std::vector<std::int64_t> last(shape.size(), 0);  // the largest index that each dimension reaches
  if (position.offset < 0) throw Unfoldable{};
  for (std::size_t j = 0; j < shape.size(); ++j)
    if (shape[j] > 1) last[j] = out[j].offset = position.offset / strides[j] % shape[j];
  for (std::size_t axis = 0; axis < position.strides.size(); ++axis) {
    const std::int64_t step = position.strides[axis];
    if (step == 0) continue;
    if (step < 0) throw Unfoldable{};
    const std::size_t j = dimension_of(step, shape, strides);
    const std::int64_t factor = step / strides[j], extent = space.extents()[axis];
    if (factor * extent > shape[j]) {  // it runs past this dimension: the rest of it belongs to outer ones
      const std::int64_t inner = shape[j] / factor;
      if (shape[j] % factor != 0 || inner < 2 || inner >= extent || extent % inner != 0) throw Unfoldable{};
      throw Split{axis, inner};
    }
    out[j].strides[axis] = factor;
    last[j] += factor * (extent - 1);
  }
  for (std::size_t j = 0; j < shape.size(); ++j)
    if (last[j] >= shape[j]) throw Unfoldable{};  // a carry into the next dimension is not affine
  return out;
}

IndexMap broadcast_map(const IterationSpace& space, const IndexMap& result, const graph::Shape& operand,
                       const graph::Shape& result_shape) {
  IndexMap out(operand.size(), space.constant(0));
  const std::size_t skip = result_shape.size() - operand.size();
  for (std::size_t d = 0; d < operand.size(); ++d)
    if (operand[d] == result_shape[skip + d]) out[d] = result[skip + d];
  return out;
}

IndexMap pull(const IterationSpace& space, const graph::Op& view, const IndexMap& output,
              const graph::Shape& input_shape, const graph::Shape& output_shape) {
  if (std::holds_alternative<graph::Reshape>(view))
    return delinearize(space, linear(space, output, output_shape), input_shape);
  if (std::holds_alternative<graph::Expand>(view)) return broadcast_map(space, output, input_shape, output_shape);
  IndexMap input(input_shape.size(), space.constant(0));
  if (const auto* transpose = std::get_if<graph::Transpose>(&view)) {
    for (std::size_t d = 0; d < output.size(); ++d)
      input[static_cast<std::size_t>(transpose->permutation[d])] = output[d];
    return input;
  }
  if (const auto* slice = std::get_if<graph::Slice>(&view)) {
    for (std::size_t d = 0; d < output.size(); ++d)
      input[d] = plus(space.constant(slice->starts[d]), output[d], slice->steps[d]);
    return input;
  }
  throw Unfoldable{};
}

IndexMap push(const IterationSpace& space, const graph::Op& view, const IndexMap& input,
              const graph::Shape& input_shape, const graph::Shape& output_shape) {
  if (!same_elements(input_shape, output_shape)) throw Unfoldable{};
  if (const auto* transpose = std::get_if<graph::Transpose>(&view)) {
    IndexMap output;
    for (const std::int32_t d : transpose->permutation) output.push_back(input[static_cast<std::size_t>(d)]);
    return output;
  }
  const bool ordered = std::holds_alternative<graph::Reshape>(view) || std::holds_alternative<graph::Expand>(view);
  if (!ordered) throw Unfoldable{};  // a slice that keeps every element may still reverse them
  return delinearize(space, linear(space, input, input_shape), output_shape);
}

}  // namespace kiln::agents
