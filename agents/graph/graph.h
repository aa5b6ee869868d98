// The op graph: a workload, or the body of a region. Static single assignment; few primitive kinds; shapes static.
//
// Invariants, checked by validate(): (1) every value is a graph input, a constant, or the output of exactly one node;
// (2) nodes are in topological order; (3) output types equal what infer_types() gives; (4) names of inputs and outputs
// are unique.
// Thread rule: a value; constants are shared and immutable, so copies are cheap and may be read concurrently.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "agents/graph/expr.h"
#include "agents/graph/types.h"

namespace kiln::graph {

using ValueId = std::int32_t;

// One element of the output per element of the broadcast inputs (NumPy rules). expr.results.size() outputs.
struct Pointwise { Expr expr; };
// log_sum_exp is log(sum(e^x)), computed without overflow; it and the mean are of reductions only, but for a window's
// mean.
enum class Monoid : std::uint8_t { sum, mean, max, min, prod, log_sum_exp };
struct Reduce { Monoid monoid; std::vector<std::int32_t> axes; bool keep_dims; };
struct Softmax { std::int32_t axis; bool log; };
// Inputs: x, scale, and optionally bias, which broadcast to x; normalises over the dimensions axis..rank-1. Divides by
// the root of the biased variance plus epsilon; not centred: of the mean square plus epsilon (RMSNorm), with no mean
// taken off.
struct LayerNorm { std::int32_t axis; double epsilon; bool centred = true; };
// NumPy matmul over the last two dimensions, leading dimensions broadcast. transpose_x swaps the last two of that
// input. Integers of 8 bits, of either sign on each side, are summed in i32, which wraps; other types in their own.
struct MatMul { bool transpose_a; bool transpose_b; };
// Inputs: q [..., S, D], k [..., T, D], v [..., T, E], optional mask broadcast to [..., S, T] and added to the scaled
// scores. Output [..., S, E] = softmax(q k^T * scale + mask) v. causal: position j > i + (T - S) is excluded.
// guarded: a row whose softmax is not a number, as where every key is excluded, weighs nothing: 0 v instead of NaN.
struct Attention { double scale; bool causal; bool guarded = false; };
// Inputs: data, indices (integer; negative counts from the end). ONNX Gather.
struct Gather { std::int32_t axis; };
// How a kernel moves over the last dimensions of a tensor: one entry per such dimension. `before` and `after` are the
// elements of padding, zero or more.
struct Steps { Shape strides; Shape dilations; Shape before; Shape after; };
// Inputs: x [N, C, spatial...], w [M, C / groups, kernel...]; output [N, M, spatial...] = cross-correlation, zeros in
// the padding. transposed: w [C, M / groups, kernel...] and each input element adds w, times itself, to the output;
// padding is cut off the output, whose extents are stride (in - 1) + dilation (kernel - 1) + 1 + extra - before -
// after. Integers of 8 bits are summed in i32, as a MatMul's are.
struct Convolution { Steps steps; std::int64_t groups; bool transposed; Shape extra; };
// The monoid over windows of the last kernel.size() dimensions of x; `extents` are the output's there. Padding takes no
// part, but for counts_padding in the divisor of a mean: it counts what of the window lies inside the padded input.
// positions: a second output, i64: where in x, counted row-major over the whole tensor, a maximum stands (the first
// one).
struct Window { Monoid monoid; Shape kernel; Steps steps; Shape extents; bool counts_padding; bool positions; };
// Inputs: x, value (one element of the type of x). One entry per dimension.
struct Pad { Shape before; Shape after; };
// out[i] along the axis is the monoid (no mean) of x[0..i]; exclusive: of x[0..i-1]; reverse: from the end.
struct Scan { Monoid monoid; std::int32_t axis; bool exclusive; bool reverse; };
// The index, i64, of the largest (or smallest) element; of equals the first, or the last. A NaN is beyond all numbers.
struct Arg { bool largest; std::int32_t axis; bool keep_dims; bool last; };
// Outputs: the k largest (or smallest) values along the axis in order, and their indices, i64. Of equals the lower
// index comes first; k = extent is a sort.
struct TopK { std::int32_t axis; std::int64_t k; bool largest; };
// Inputs: data [R, ...], indices [K] (integer; negative counts from the end), updates [K, ...]. Output: data, whose row
// indices[k] became, or was combined with, updates[k], in order of k.
enum class Combine : std::uint8_t { replace, add, mul, max, min };
struct Scatter { Combine combine; };
// One direction of a recurrent layer over T steps of a batch of B, with H hidden and G gates in the order of ONNX (rnn:
// 1; gru: z r h; lstm: i o f c). Inputs: x [T, B, G H], which is X W^T + its bias; r [G H, H]; the recurrent bias [G
// H]; the initial hidden state [B, H]; lengths [B] (i64); for lstm the initial cell [B, H] and peepholes [3 H] (i o f).
// Outputs: hidden states [T, B, H], zero beyond a length; the last hidden state [B, H]; for lstm the last cell [B, H].
// reverse: each row runs from its length - 1 down to 0. activations: of one operand, as many as ONNX gives (1, 2, 3).
// reset_after: gru's linear_before_reset. clip: gates are cut to [-clip, clip] before activation; 0 means no.
enum class Cell : std::uint8_t { rnn, gru, lstm };
struct Recurrent {
  Cell cell;
  bool reverse;
  bool reset_after;
  bool input_forget;
  double clip;
  std::vector<Expr> activations;
};
// Views: no arithmetic; they cost nothing when a region folds them into its indexing.
struct Reshape { Shape shape; };
struct Transpose { std::vector<std::int32_t> permutation; };  // output dimension i is input dimension permutation[i]
struct Slice { Shape starts; Shape extents; std::vector<std::int64_t> steps; };  // one entry per dimension
struct Concat { std::int32_t axis; };
struct Expand { Shape shape; };  // the result's shape

using Op = std::variant<Pointwise, Reduce, Softmax, LayerNorm, MatMul, Attention, Gather, Reshape, Transpose, Slice,
                        Concat, Expand, Convolution, Window, Pad, Scan, Arg, TopK, Scatter, Recurrent>;

[[nodiscard]] std::string_view kind_name(const Op& op);  // "pointwise", "matmul", ...
[[nodiscard]] bool is_view(const Op& op);  // Reshape, Transpose, Slice, Expand; a Concat moves data

struct Node {
  Op op;
  std::vector<ValueId> inputs;
  std::vector<ValueId> outputs;
  std::string origin;  // where it came from, for people: "/encoder/layer.0/MatMul (MatMul)"
};

struct Value {
  std::string name;
  TensorType type;
};

// Immutable bytes with shared ownership: a folded constant, or a window of the imported file.
class Constant {
 public:
  Constant() : Constant(nullptr, {}) {}
  Constant(std::shared_ptr<const void> owner, std::span<const std::byte> bytes);

  // SHA-256 in hex. Computed once for all copies, since weights are gigabytes; any thread may ask.
  [[nodiscard]] const std::string& digest() const;

  std::shared_ptr<const void> owner;
  std::span<const std::byte> bytes;

 private:
  struct Digest;
  std::shared_ptr<Digest> digest_;
};

// A range that generated test inputs must keep to, inclusive; set for integer and boolean inputs.
struct Domain { std::int64_t low; std::int64_t high; };

struct Graph {
  std::string name;
  std::vector<Value> values;
  std::vector<std::optional<Constant>> constants;  // parallel to values
  std::vector<Node> nodes;
  std::vector<ValueId> inputs;
  std::vector<ValueId> outputs;

  ValueId add_value(std::string value_name, TensorType type);
  ValueId add_input(std::string value_name, TensorType type);
  ValueId add_constant(std::string value_name, Tensor tensor);
  // Infers the output types, appends the node and its new values, and returns them. Error(invalid_input) names
  // `origin`.
  std::vector<ValueId> add_node(Op op, std::vector<ValueId> node_inputs, std::string origin);

  [[nodiscard]] const TensorType& type(ValueId id) const { return values[static_cast<std::size_t>(id)].type; }
  [[nodiscard]] bool is_constant(ValueId id) const { return constants[static_cast<std::size_t>(id)].has_value(); }
};

[[nodiscard]] std::vector<TensorType> infer_types(const Op& op, const std::vector<TensorType>& inputs);
void validate(const Graph& graph);  // throws Error(invalid_input) naming the node

// For each graph input the range of values that keeps every Gather index inside its axis; {0,1} for other integers.
// nullopt for floating-point inputs.
[[nodiscard]] std::vector<std::optional<Domain>> input_domains(const Graph& graph);

}  // namespace kiln::graph
