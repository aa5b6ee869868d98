// Convolution as a matrix product over panels of output elements: the panel is gathered from the input as it is needed
// (im2col, Chellapilla et al. 2006, without the copy of the whole matrix). A transposed convolution is the product of
// w^T with the input, whose columns are then added up where they fall.
#include <algorithm>

#include "agents/graph/interpreter/array.h"
#include "agents/graph/interpreter/product.h"

namespace kiln::graph::interpreter {
namespace {

std::int64_t product_of(const Shape& shape, std::size_t begin) {
  return element_count({shape.begin() + static_cast<std::ptrdiff_t>(begin), shape.end()});
}

// Where the elements of a kernel fall: per dimension, at index * stride + tap * dilation - before.
class Taps {
 public:
  Taps(const Convolution& op, const Shape& moved, const Shape& kernel, const Shape& from)
      : steps_(op.steps), moved_(moved.begin() + 2, moved.end()), kernel_(kernel.begin() + 2, kernel.end()),
        from_(from.begin() + 2, from.end()) {}

  [[nodiscard]] std::int64_t count() const { return element_count(kernel_); }

  // The offset of `tap` for the element `index` of the extents moved over; -1 in the padding.
  [[nodiscard]] std::int64_t at(std::int64_t index, std::int64_t tap) const {
    std::int64_t offset = 0, scale = 1;
    for (std::size_t d = kernel_.size(); d-- > 0;) {
      const std::int64_t place =
          index % moved_[d] * steps_.strides[d] + tap % kernel_[d] * steps_.dilations[d] - steps_.before[d];
      if (place < 0 || place >= from_[d]) return -1;
      offset += place * scale;
      scale *= from_[d];
      index /= moved_[d];
      tap /= kernel_[d];
    }
    return offset;
  }

 private:
  const Steps& steps_;
  Shape moved_, kernel_, from_;
};

// What one image and one group of channels has to do with.
struct Sizes {
  std::int64_t images, groups, in_channels, out_channels;  // channels of one group
  std::int64_t in_elements, out_elements;                  // of one channel
};

Sizes sizes_of(const Convolution& op, const Shape& x, const Shape& out) {
  return {x[0], op.groups, x[1] / op.groups, out[1] / op.groups, product_of(x, 2), product_of(out, 2)};
}

template <class T>
std::vector<T> convolve(const Convolution& op, const Array& x, const Array& w, const Shape& out,
                        const Context& context) {
  const Sizes s = sizes_of(op, x.type.shape, out);
  const Taps taps(op, out, w.type.shape, x.type.shape);
  const std::int64_t k = s.in_channels * taps.count();
  const std::int64_t panels = (s.out_elements + kPanelColumns - 1) / kPanelColumns;
  std::vector<T> result(static_cast<std::size_t>(element_count(out)));
  const std::int64_t tasks = s.out_channels == 0 ? 0 : s.images * s.groups * panels;
  parallel(context, tasks, 1, [&](std::int64_t first, std::int64_t last) {
    std::vector<T> panel(static_cast<std::size_t>(k * kPanelColumns));
    for (std::int64_t task = first; task < last; ++task) {
      const std::int64_t part = task / panels, group = part % s.groups, begin = task % panels * kPanelColumns;
      const std::int64_t width = std::min(kPanelColumns, s.out_elements - begin);
      std::fill(panel.begin(), panel.end(), T(0));
      const T* image = x.as<T>().data() + part * s.in_channels * s.in_elements;
      for (std::int64_t tap = 0; tap < taps.count(); ++tap)
        for (std::int64_t j = 0; j < width; ++j) {
          const std::int64_t at = taps.at(begin + j, tap);
          if (at < 0) continue;
          for (std::int64_t c = 0; c < s.in_channels; ++c)
            panel[static_cast<std::size_t>((c * taps.count() + tap) * kPanelColumns + j)] =
                image[c * s.in_elements + at];
        }
      const Matrix<T> weights{w.as<T>().data() + group * s.out_channels * k, k, 1};
      multiply_panel(weights, panel.data(), result.data() + part * s.out_channels * s.out_elements + begin,
                     s.out_elements, s.out_channels, width, k);
    }
  });
  return result;
}

// One task makes one output channel's every tap for all input elements of an image, and adds them where they fall.
template <class T>
std::vector<T> convolve_transposed(const Convolution& op, const Array& x, const Array& w, const Shape& out,
                                   const Context& context) {
  const Sizes s = sizes_of(op, x.type.shape, out);
  const Taps taps(op, x.type.shape, w.type.shape, out);
  const std::int64_t rows = taps.count();
  std::vector<T> result(static_cast<std::size_t>(element_count(out)), T(0));
  parallel(context, s.images * s.groups * s.out_channels, 1, [&](std::int64_t first, std::int64_t last) {
    std::vector<T> panel(static_cast<std::size_t>(s.in_channels * kPanelColumns));
    std::vector<T> products(static_cast<std::size_t>(rows * kPanelColumns));
    for (std::int64_t task = first; task < last; ++task) {
      const std::int64_t part = task / s.out_channels, group = part % s.groups, channel = task % s.out_channels;
      const T* image = x.as<T>().data() + part * s.in_channels * s.in_elements;
      // w is [C, M / groups, taps]: tap t of input channel c stands at (c * (M / groups) + channel) * taps + t.
      const Matrix<T> weights{w.as<T>().data() + (group * s.in_channels * s.out_channels + channel) * rows, 1,
                              s.out_channels * rows};
      T* target = result.data() + task * s.out_elements;
      for (std::int64_t begin = 0; begin < s.in_elements; begin += kPanelColumns) {
        const std::int64_t width = std::min(kPanelColumns, s.in_elements - begin);
        for (std::int64_t c = 0; c < s.in_channels; ++c)
          for (std::int64_t j = 0; j < kPanelColumns; ++j)
            panel[static_cast<std::size_t>(c * kPanelColumns + j)] =
                j < width ? image[c * s.in_elements + begin + j] : T(0);
        multiply_panel(weights, panel.data(), products.data(), kPanelColumns, rows, width, s.in_channels);
        for (std::int64_t tap = 0; tap < rows; ++tap)
          for (std::int64_t j = 0; j < width; ++j) {
            const std::int64_t at = taps.at(begin + j, tap);
            if (at >= 0) target[at] += products[static_cast<std::size_t>(tap * kPanelColumns + j)];
          }
      }
    }
  });
  return result;
}

}  // namespace

Array run(const Convolution& op, const Inputs& in, const TensorType& out, const Context& context) {
  return std::visit(
      [&](const auto& x) {
        using T = typename std::decay_t<decltype(x)>::value_type;
        std::vector<T> y = op.transposed ? convolve_transposed<T>(op, *in[0], *in[1], out.shape, context)
                                         : convolve<T>(op, *in[0], *in[1], out.shape, context);
        round_to(out.dtype, context.arithmetic, y.data(), y.size());
        return Array{out, std::move(y)};
      },
      in[0]->elements);
}

}  // namespace kiln::graph::interpreter
