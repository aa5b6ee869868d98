// One pass over a graph that replaces single-output nodes by others. Private to agents/graph/rewrite.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "agents/graph/graph.h"

namespace kiln::graph::rewrite {

// The operation when the expression is one operation over its operands in order.
[[nodiscard]] std::optional<ExprOp> single_of(const Pointwise& pointwise);

// Whether a value that broadcasts is the same all along the last `dimensions`.
[[nodiscard]] bool stands_still(const Shape& shape, std::size_t dimensions);

// What a rule sees: the nodes that the pass has written so far, which hold everything the current node depends on.
class Sweep {
 public:
  explicit Sweep(Graph& graph);

  // The node that makes `id`, or nullptr for inputs and constants. Valid until the next add().
  [[nodiscard]] const Node* maker(ValueId id) const;
  template <class T>
  [[nodiscard]] const T* made_by(ValueId id) const {
    const Node* node = maker(id);
    return node == nullptr ? nullptr : std::get_if<T>(&node->op);
  }
  // The operation when `id` is made by a pointwise node of one operation over its inputs in order.
  [[nodiscard]] std::optional<ExprOp> single(ValueId id) const;
  // Node inputs when `id` is that operation, else empty.
  [[nodiscard]] std::vector<ValueId> operands(ValueId id, ExprOp op) const;
  [[nodiscard]] std::optional<double> scalar(ValueId id) const;  // the value of a one-element constant
  [[nodiscard]] int uses(ValueId id) const { return uses_[static_cast<std::size_t>(id)]; }  // before the pass
  ValueId add(Op op, std::vector<ValueId> inputs, std::string origin);
  ValueId add_scalar(double value, DType type);            // a constant of no dimensions
  ValueId add_constant(Tensor tensor);
  ValueId reshaped_constant(ValueId id, Shape shape);      // the same bytes under another shape
  // The one output of a graph of constants, evaluated in double precision and rounded once to `type`; nothing when an
  // element is not finite.
  std::optional<ValueId> add_evaluated(const Graph& constants, DType type);
  [[nodiscard]] bool all_equal(ValueId id, double value) const;  // whether a constant holds nothing but `value`

  Graph& graph;

 private:
  ValueId grow(ValueId id);
  friend int sweep(Graph&, const std::function<std::optional<ValueId>(Sweep&, const Node&)>&);
  std::vector<std::int32_t> maker_;
  std::vector<int> uses_;
};

// One pointwise node over `inputs`, each converted to `computed`; its result is of type `result`.
using Body = std::function<std::int32_t(Expr&, const std::vector<std::int32_t>&)>;
ValueId elementwise(Sweep& pass, const std::vector<ValueId>& inputs, DType computed, DType result,
                    const std::string& origin, const Body& body);
ValueId binary(Sweep& pass, ExprOp op, ValueId a, ValueId b, const std::string& origin);

// The rule returns the value that takes the place of the node's first output, which must have its type, or nullopt to
// keep the node. Returns how many were replaced; what is no longer read stays until remove_dead().
using Rule = std::function<std::optional<ValueId>(Sweep&, const Node&)>;
int sweep(Graph& graph, const Rule& rule);

}  // namespace kiln::graph::rewrite
