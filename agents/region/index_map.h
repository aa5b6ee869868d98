// How the elements of a value follow from the indices of an iteration space: one affine form per dimension, carried
// backwards through views to what is read, and forwards through views to where a result is written.
//
// A reshape folds when each dimension of the iteration space falls into one dimension of the other shape. When one has
// to be cut in two for that, a Split is thrown, and the lowering starts again over the finer space; when it cannot be,
// Unfoldable. Both stay inside this room: lower() catches them.
#pragma once

#include <cstdint>
#include <vector>

#include "agents/graph/graph.h"

namespace kiln::agents {

struct Unfoldable {};
struct Split {
  std::size_t axis;     // of the iteration space
  std::int64_t inner;   // extent of the inner part; divides the extent of the axis
};

// offset + sum(index[d] * strides[d]) over the iteration space. Axes of extent 1 have stride 0, so that equal functions
// are equal values.
struct Affine {
  std::int64_t offset = 0;
  std::vector<std::int64_t> strides;
  friend bool operator==(const Affine&, const Affine&) = default;
  friend auto operator<=>(const Affine&, const Affine&) = default;
};
using IndexMap = std::vector<Affine>;  // one per dimension of a value

// The iteration space: named dimensions, each in a group (what a group means is the kernel family's business), each
// possibly cut into several axes, outermost first.
class IterationSpace {
 public:
  // Returns the dimension's number.
  std::size_t add(std::int64_t extent, int group);
  void split(const Split& cut);

  [[nodiscard]] const graph::Shape& extents() const { return extents_; }      // of the axes
  [[nodiscard]] int group(std::size_t axis) const { return groups_[axis]; }
  [[nodiscard]] Affine index(std::size_t dimension) const;  // the dimension's index, from its axes
  [[nodiscard]] Affine constant(std::int64_t value) const;

 private:
  graph::Shape extents_;
  std::vector<int> groups_;
  std::vector<std::size_t> dimensions_;  // per axis
  std::size_t count_ = 0;
};

[[nodiscard]] Affine plus(const Affine& a, const Affine& b, std::int64_t factor_of_b);

// The row-major position of an element of a value of `shape`.
[[nodiscard]] Affine linear(const IterationSpace& space, const IndexMap& map, const graph::Shape& shape);
// The indices into `shape` of a row-major position. Throws Split or Unfoldable.
[[nodiscard]] IndexMap delinearize(const IterationSpace& space, const Affine& position, const graph::Shape& shape);

// The index map of an operand that is broadcast to a result (NumPy rules).
[[nodiscard]] IndexMap broadcast_map(const IterationSpace& space, const IndexMap& result, const graph::Shape& operand,
                                     const graph::Shape& result_shape);

// From a view's output to its input. Throws Split or Unfoldable.
[[nodiscard]] IndexMap pull(const IterationSpace& space, const graph::Op& view, const IndexMap& output,
                            const graph::Shape& input_shape, const graph::Shape& output_shape);
// From a view's input to its output, for views that move every element to exactly one place.
[[nodiscard]] IndexMap push(const IterationSpace& space, const graph::Op& view, const IndexMap& input,
                            const graph::Shape& input_shape, const graph::Shape& output_shape);

}  // namespace kiln::agents
