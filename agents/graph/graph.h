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
enum class Monoid : std::uint8_t { sum, mean, max, min, prod };
struct Reduce { Monoid monoid; std::vector<std::int32_t> axes; bool keep_dims; };
struct Softmax { std::int32_t axis; bool log; };
// Inputs: x, scale, and optionally bias; normalises over the dimensions axis..rank-1. Biased variance plus epsilon.
struct LayerNorm { std::int32_t axis; double epsilon; };
// NumPy matmul over the last two dimensions, leading dimensions broadcast. transpose_x swaps the last two of that input.
struct MatMul { bool transpose_a; bool transpose_b; };
// Inputs: q [..., S, D], k [..., T, D], v [..., T, E], optional mask broadcast to [..., S, T] and added to the scaled
// scores. Output [..., S, E] = softmax(q k^T * scale + mask) v. causal: position j > i + (T - S) is excluded.
struct Attention { double scale; bool causal; };
// Inputs: data, indices (integer; negative counts from the end). ONNX Gather.
struct Gather { std::int32_t axis; };
// Views: no arithmetic; they cost nothing when a region folds them into its indexing.
struct Reshape { Shape shape; };
struct Transpose { std::vector<std::int32_t> permutation; };  // output dimension i is input dimension permutation[i]
struct Slice { Shape starts; Shape extents; std::vector<std::int64_t> steps; };  // one entry per dimension
struct Concat { std::int32_t axis; };
struct Expand { Shape shape; };  // the result's shape

using Op = std::variant<Pointwise, Reduce, Softmax, LayerNorm, MatMul, Attention, Gather, Reshape, Transpose, Slice,
                        Concat, Expand>;

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
struct Constant {
  std::shared_ptr<const void> owner;
  std::span<const std::byte> bytes;
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
  // Infers the output types, appends the node and its new values, and returns them. Error(invalid_input) names `origin`.
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
