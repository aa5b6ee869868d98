// Sums of products of quantised tensors as what a processor computes fast: bytes times bytes in i32, exact, with what
// zero points add taken off the sums. For constant weights whose values less their zero points fit i8.
#pragma once

#include <functional>
#include <optional>
#include <vector>

#include "agents/graph/graph.h"

namespace kiln::graph {

// How nodes and constants are added: an importer folds what it can, a rewrite keeps track of its pass.
struct Maker {
  std::function<ValueId(Op op, std::vector<ValueId> inputs)> add;
  std::function<ValueId(Tensor tensor)> constant;
  std::function<TensorType(ValueId id)> type;
  std::function<std::optional<double>(ValueId id)> scalar;  // the value of a one-element constant
};

// x less its zero point, convolved with `weights` (i8), as i32; x is of 8 bits, `zero` one element of its type, or -1
// for none. The padding is what stands for zero: where that is another number, x is padded with it first.
[[nodiscard]] ValueId convolved_bytes(const Maker& make, Convolution op, ValueId x, ValueId zero, Tensor weights);

// The same of the matrix product of x [..., K] with `weights` [..., K, N], transposed or not; op.transpose_a is as it
// is.
[[nodiscard]] ValueId multiplied_bytes(const Maker& make, MatMul op, ValueId x, ValueId zero, Tensor weights);

}  // namespace kiln::graph
