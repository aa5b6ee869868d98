// What the lowering of every kernel family is made of: a body, an iteration space, and the walk from the results back
// to the body's inputs. Internal to this room; families.h has one function per family.
#pragma once

#include <map>
#include <optional>
#include <utility>
#include <vector>

#include "agents/region/index_map.h"
#include "agents/region/kernel.h"

namespace kiln::agents {

// An access over the axes of the iteration space, before they are coalesced.
struct RawAccess {
  std::int32_t buffer = 0;
  graph::DType type = graph::DType::f32;
  Affine address;
  friend auto operator<=>(const RawAccess&, const RawAccess&) = default;
};

// The body walked once over one iteration space. Members throw Split and Unfoldable.
class Walk {
 public:
  Walk(const Region& region, const IterationSpace& space, int row_group);

  // Says where the elements of `value` are in the iteration space. The first operand of the expression stands for it
  // when `computed` (a matmul's accumulator); else it is walked through.
  void place(graph::ValueId value, IndexMap map, bool computed);
  // Appends the scalar expression of `value`, whose elements are at `map`, for a kernel with a prologue.
  void compute(graph::ValueId value, const IndexMap& map) { expr.results.push_back(element(value, map)); }
  // Appends the scalar expression of each body output, where it is written, and whether that is once per row. An output
  // that Concat joins is one such for each of its sources.
  void write_outputs();
  // The values that are written side by side into `value`: what Concat joins there, else itself.
  struct Part {
    graph::ValueId value;
    std::size_t axis;    // of `value`
    std::int64_t begin;  // along it
  };
  [[nodiscard]] std::vector<Part> parts_of(graph::ValueId value) const;
  // The strided read behind `value`, when only views lie between it and a body input.
  [[nodiscard]] RawAccess read(graph::ValueId value, const IndexMap& map) const;
  [[nodiscard]] IndexMap identity(std::size_t first_dimension, std::size_t count) const;

  std::vector<RawAccess> reads, writes;
  std::vector<bool> write_per_row;
  graph::Expr expr;

 private:
  [[nodiscard]] const graph::Node* producer(graph::ValueId value) const;
  void place_sources(graph::ValueId value);
  [[nodiscard]] const graph::Shape& shape(graph::ValueId value) const { return body_.type(value).shape; }
  [[nodiscard]] graph::ValueId behind_reshapes(graph::ValueId value) const;
  [[nodiscard]] std::int32_t input_index(graph::ValueId value) const;  // -1: not a body input
  [[nodiscard]] std::optional<IndexMap> placed(graph::ValueId value) const;
  [[nodiscard]] bool varies_along_row(const Affine& a) const;
  [[nodiscard]] Affine row_position() const;
  [[nodiscard]] std::int64_t row_length() const;
  std::int32_t element(graph::ValueId value, const IndexMap& map);
  std::int32_t element_of_node(const graph::Node& node, graph::ValueId value, const IndexMap& map);
  std::int32_t element_of_constant(graph::ValueId value);
  std::int32_t operand_for(const RawAccess& access);
  std::int32_t softmax(const graph::Softmax& op, const graph::Node& node, const IndexMap& map);
  std::int32_t log_sum_exp(std::int32_t x);
  std::int32_t layer_norm(const graph::LayerNorm& op, const graph::Node& node, const IndexMap& map);
  std::int32_t window(const graph::Window& op, const graph::Node& node, const IndexMap& map);
  std::int32_t reduce(const graph::Reduce& op, const graph::Node& node, const IndexMap& map);
  void require_whole_row(const IndexMap& map, const graph::Shape& of, const std::vector<std::size_t>& axes) const;

  const graph::Graph& body_;
  const IterationSpace& space_;
  int row_group_;  // axes of this group are the row; -1: no rows
  std::vector<std::int32_t> producers_;  // per value, -1
  std::map<graph::ValueId, IndexMap> places_;
  std::optional<graph::ValueId> computed_;
  std::optional<graph::ValueId> row_source_;  // what a row kernel was placed by
  std::map<std::pair<graph::ValueId, IndexMap>, std::int32_t> known_;
};

// Axes of extent 1 dropped, and neighbours of one group merged where every access allows it.
struct Coalesced {
  graph::Shape extents;
  std::vector<int> groups;
  std::vector<std::vector<std::int64_t>> strides;  // per access
  [[nodiscard]] std::vector<std::size_t> of_group(int group) const;
};
// `order` lists the axes that take part, outermost first, with the group that each now belongs to.
[[nodiscard]] Coalesced coalesce(const IterationSpace& space, const std::vector<std::pair<std::size_t, int>>& order,
                                 const std::vector<const RawAccess*>& accesses);

[[nodiscard]] std::vector<std::size_t> normalized_axes(const std::vector<std::int32_t>& axes, std::size_t rank);

}  // namespace kiln::agents
