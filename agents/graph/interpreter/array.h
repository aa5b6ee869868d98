// How the interpreter carries values: three element types for all of the graph's. Private to agents/graph/interpreter.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <variant>
#include <vector>

#include "agents/graph/graph.h"
#include "agents/graph/interpreter.h"

namespace kiln::graph::interpreter {

// Floats as double (fp64, or a model's own f64) or float (f32, f16, bf16); integers and booleans as int64_t, a u64 by
// its bits. Values of narrow types are always representable in them.
using Elements = std::variant<std::vector<double>, std::vector<float>, std::vector<std::int64_t>>;

struct Array {
  TensorType type;
  Elements elements;
  template <class T>
  [[nodiscard]] const std::vector<T>& as() const { return std::get<std::vector<T>>(elements); }
};
using ArrayRef = std::shared_ptr<const Array>;

struct Context {
  Arithmetic arithmetic;
  int threads;
};

[[nodiscard]] Elements make_elements(DType type, Arithmetic arithmetic, std::size_t count);
[[nodiscard]] Array from_bytes(const TensorType& type, const std::byte* bytes, Arithmetic arithmetic);
[[nodiscard]] Tensor to_tensor(const Array& array);

// Rounds to the precision of `type` under Arithmetic::model; a no-op for fp64, f64 and f32, whose carriers are exact.
void round_to(DType type, Arithmetic arithmetic, float* values, std::size_t count);
void round_to(DType type, Arithmetic arithmetic, double* values, std::size_t count);
void round_to(DType type, Arithmetic arithmetic, std::int64_t* values, std::size_t count);  // wraps to the width

// Calls body(begin, end) over [0, count) from up to context.threads threads; rethrows the first exception.
void parallel(const Context& context, std::int64_t count, std::int64_t grain,
              const std::function<void(std::int64_t, std::int64_t)>& body);

// One entry per element of `shape`, in row-major order: offset + sum(index * strides).
[[nodiscard]] std::vector<std::int64_t> offsets(const Shape& shape, const std::vector<std::int64_t>& strides,
                                                std::int64_t offset = 0);
// The strides with which an array of shape `from` is read over the broadcast shape `to`.
[[nodiscard]] std::vector<std::int64_t> broadcast_strides(const Shape& from, const Shape& to);

// Indices into an axis of `extent`, those below zero counted from its end. Throws Error(invalid_input) for one outside.
[[nodiscard]] std::vector<std::int64_t> checked_indices(const Array& indices, std::int64_t extent);

// One evaluation per kind; `outputs` gives the types.
using Inputs = std::vector<ArrayRef>;
[[nodiscard]] std::vector<Array> run(const Pointwise& op, const Inputs& in, const std::vector<TensorType>& out,
                                     const Context& context);
[[nodiscard]] Array run(const Reduce& op, const Inputs& in, const TensorType& out, const Context& context);
[[nodiscard]] Array run(const Softmax& op, const Inputs& in, const TensorType& out, const Context& context);
[[nodiscard]] Array run(const LayerNorm& op, const Inputs& in, const TensorType& out, const Context& context);
[[nodiscard]] Array run(const MatMul& op, const Inputs& in, const TensorType& out, const Context& context);
[[nodiscard]] Array run(const Attention& op, const Inputs& in, const TensorType& out, const Context& context);
[[nodiscard]] Array run(const Gather& op, const Inputs& in, const TensorType& out, const Context& context);
[[nodiscard]] Array run(const Reshape& op, const Inputs& in, const TensorType& out, const Context& context);
[[nodiscard]] Array run(const Transpose& op, const Inputs& in, const TensorType& out, const Context& context);
[[nodiscard]] Array run(const Slice& op, const Inputs& in, const TensorType& out, const Context& context);
[[nodiscard]] Array run(const Concat& op, const Inputs& in, const TensorType& out, const Context& context);
[[nodiscard]] Array run(const Expand& op, const Inputs& in, const TensorType& out, const Context& context);
[[nodiscard]] Array run(const Convolution& op, const Inputs& in, const TensorType& out, const Context& context);
[[nodiscard]] std::vector<Array> run(const Window& op, const Inputs& in, const std::vector<TensorType>& out,
                                     const Context& context);
[[nodiscard]] Array run(const Pad& op, const Inputs& in, const TensorType& out, const Context& context);
[[nodiscard]] Array run(const Scan& op, const Inputs& in, const TensorType& out, const Context& context);
[[nodiscard]] Array run(const Arg& op, const Inputs& in, const TensorType& out, const Context& context);
[[nodiscard]] std::vector<Array> run(const TopK& op, const Inputs& in, const std::vector<TensorType>& out,
                                     const Context& context);
[[nodiscard]] Array run(const Scatter& op, const Inputs& in, const TensorType& out, const Context& context);
[[nodiscard]] std::vector<Array> run(const Recurrent& op, const Inputs& in, const std::vector<TensorType>& out,
                                     const Context& context);

}  // namespace kiln::graph::interpreter
