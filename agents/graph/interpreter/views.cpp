// Nodes that move elements and compute nothing.
#include <algorithm>

#include "agents/graph/interpreter/array.h"
#include "runtime/base/error.h"

namespace kiln::graph::interpreter {
namespace {

Array strided(const Array& in, const TensorType& type, const std::vector<std::int64_t>& strides, std::int64_t offset) {
  const std::vector<std::int64_t> from = offsets(type.shape, strides, offset);
  return std::visit(
      [&](const auto& elements) {
        std::decay_t<decltype(elements)> out(from.size());
        for (std::size_t i = 0; i < from.size(); ++i) out[i] = elements[static_cast<std::size_t>(from[i])];
        return Array{type, std::move(out)};
      },
      in.elements);
}

struct Around {
  std::int64_t outer = 1, axis = 1, inner = 1;
};

Around around(const Shape& shape, std::int32_t axis) {
  Around out;
  for (std::size_t d = 0; d < shape.size(); ++d) {
    std::int64_t& part = d < static_cast<std::size_t>(axis)    ? out.outer
                         : d == static_cast<std::size_t>(axis) ? out.axis
                                                               : out.inner;
    part *= shape[d];
  }
  return out;
}

}  // namespace

std::vector<std::int64_t> checked_indices(const Array& indices, std::int64_t extent) {
  std::vector<std::int64_t> out = indices.as<std::int64_t>();
  for (std::int64_t& index : out) {
    if (index < -extent || index >= extent)
      throw Error(ErrorCode::invalid_input,
                  "index " + std::to_string(index) + " is outside an axis of " + std::to_string(extent));
    if (index < 0) index += extent;
  }
  return out;
}

Array run(const Reshape&, const Inputs& in, const TensorType& out, const Context&) { return {out, in[0]->elements}; }

Array run(const Transpose& op, const Inputs& in, const TensorType& out, const Context&) {
  const auto own = row_major_strides(in[0]->type.shape);
  std::vector<std::int64_t> strides;
  for (const std::int32_t axis : op.permutation) strides.push_back(own[static_cast<std::size_t>(axis)]);
  return strided(*in[0], out, strides, 0);
}

Array run(const Slice& op, const Inputs& in, const TensorType& out, const Context&) {
  auto strides = row_major_strides(in[0]->type.shape);
  std::int64_t offset = 0;
  for (std::size_t d = 0; d < strides.size(); ++d) {
    if (op.extents[d] > 0) offset += op.starts[d] * strides[d];
    strides[d] = op.extents[d] > 1 ? strides[d] * op.steps[d] : 0;
  }
  return strided(*in[0], out, strides, offset);
}

Array run(const Expand&, const Inputs& in, const TensorType& out, const Context&) {
  return strided(*in[0], out, broadcast_strides(in[0]->type.shape, out.shape), 0);
}

Array run(const Concat& op, const Inputs& in, const TensorType& out, const Context& context) {
  Array result{out, make_elements(out.dtype, context.arithmetic, static_cast<std::size_t>(element_count(out.shape)))};
  const Around whole = around(out.shape, op.axis);
  std::visit(
      [&](auto& to) {
        using Vector = std::decay_t<decltype(to)>;
        std::int64_t begin = 0;
        for (const ArrayRef& source : in) {
          const Vector& from = std::get<Vector>(source->elements);
          const std::int64_t run_length = around(source->type.shape, op.axis).axis * whole.inner;
          for (std::int64_t o = 0; o < whole.outer; ++o)
            std::copy_n(from.begin() + o * run_length, run_length, to.begin() + o * whole.axis * whole.inner + begin);
          begin += run_length;
        }
      },
      result.elements);
  return result;
}

Array run(const Gather& op, const Inputs& in, const TensorType& out, const Context&) {
  const Around data = around(in[0]->type.shape, op.axis);
  const std::vector<std::int64_t> indices = checked_indices(*in[1], data.axis);
  return std::visit(
      [&](const auto& from) {
        std::decay_t<decltype(from)> to;
        to.reserve(static_cast<std::size_t>(element_count(out.shape)));
        for (std::int64_t o = 0; o < data.outer; ++o)
          for (const std::int64_t index : indices) {
            const auto begin = from.begin() + (o * data.axis + index) * data.inner;
            to.insert(to.end(), begin, begin + data.inner);
          }
        return Array{out, std::move(to)};
      },
      in[0]->elements);
}

}  // namespace kiln::graph::interpreter
