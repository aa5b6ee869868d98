// What a region looks like to a kernel template: an iteration space, strided accesses and a scalar expression. This is
// the seam between the planner (which lowers a region's body) and the writer (which renders a template for it).
//
// An Access reads element  offset + sum(index[d] * strides[d])  of a body input, in elements; stride 0 broadcasts. All
// views of the body (reshape, transpose, slice, expand) are folded into strides, or the region does not lower.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "agents/graph/expr.h"
#include "agents/graph/types.h"
#include "agents/region/region.h"

namespace kiln::agents {

struct Access {
  std::int32_t buffer = 0;  // index into body.inputs (reads) or body.outputs (writes)
  graph::DType type = graph::DType::f32;
  std::int64_t offset = 0;
  std::vector<std::int64_t> strides;  // one per dimension of the iteration space
};

// out_r[i] = expr.results[r] over every i in `space`. Dimensions are coalesced as far as all accesses allow.
struct PointwiseKernel {
  graph::Shape space;
  std::vector<Access> reads;  // operand i of the expression reads reads[i]
  graph::Expr expr;
  std::vector<Access> writes;  // parallel to expr.results
};

// Rows of `length` elements, one per index of `outer`. `expr` may hold row reductions (ExprOp::row_*). Access strides
// are those of outer, then the stride along the row. A result that is constant along the row is written once per row.
// Covers softmax, log-softmax, logsumexp, LayerNorm, RMSNorm, plain reductions, and any chain of them with pointwise.
struct RowKernel {
  graph::Shape outer;
  std::int64_t length = 1;
  std::vector<Access> reads;
  graph::Expr expr;
  std::vector<Access> writes;
  std::vector<bool> write_per_row;  // parallel to writes
};

// acc[b, i, j] = sum_p a[b, i, p] * b[b, p, j];  out_r = epilogue(acc, reads...) with operand 0 = acc and operand 1 + i
// = reads[i] over [batch..., m, n].
struct MatmulKernel {
  graph::Shape batch;
  std::int64_t m = 1, n = 1, k = 1;
  Access a;  // strides: batch..., m, k
  Access b;  // strides: batch..., k, n
  bool b_is_weight = false;  // b may be packed in `prepare`
  std::vector<Access> reads;
  graph::Expr epilogue;
  std::vector<Access> writes;  // strides: batch..., m, n; parallel to epilogue.results
};

// Strides over [batch..., rows, columns]: q [S, D], k [T, D], v [T, E], mask [S, T], out [S, E].
struct AttentionKernel {
  graph::Shape batch;
  std::int64_t s = 1, t = 1, d = 1, e = 1;
  double scale = 1;
  bool causal = false;
  Access q, k, v;
  std::optional<Access> mask;
  Access out;
};

// out[outer, i, inner] = data[outer, indices[i], inner], with a pointwise epilogue: operand 0 = the gathered element,
// operand 1 + i = reads[i] over [outer, index, inner].
struct GatherKernel {
  std::int64_t outer = 1, axis = 1, inner = 1;
  std::int64_t index_count = 1;
  Access data;     // strides: outer, axis, inner
  Access indices;  // strides: index
  std::vector<Access> reads;
  graph::Expr epilogue;
  std::vector<Access> writes;  // strides: outer, index, inner
};

// Several sources side by side along one dimension (Concat): source s covers [begin, begin + extent) of dimension
// `axis`, and its access counts from its own beginning there: index[axis] - begin.
struct ConcatKernel {
  struct Source { Access access; std::int64_t begin = 0; std::int64_t extent = 0; };
  graph::Shape space;
  std::int32_t axis = 0;
  std::vector<Source> sources;
  Access write;
};

using Kernel = std::variant<PointwiseKernel, RowKernel, MatmulKernel, AttentionKernel, GatherKernel, ConcatKernel>;

// The family that a template.toml's `anchor` names: "pointwise", "row", "matmul", "attention", "gather", "concat".
[[nodiscard]] std::string_view anchor(const Kernel& kernel);

// nullopt when the body is not one kernel of any family (the planner then cuts it smaller). Never throws for a valid
// body.
[[nodiscard]] std::optional<Kernel> lower(const Region& region);

// FLOPs (an fma counts two; a transcendental counts one) and the fewest bytes: each buffer read once, written once.
struct Cost {
  double flops = 0;
  double bytes = 0;
};
[[nodiscard]] Cost cost_of(const Region& region);

// How many neighbours along the innermost dimension one access may move: the largest power of two, at most 16 bytes of
// the narrowest element, that keeps every contiguous access on its own alignment; buffers begin on 16 bytes. A
// pointwise space of rank 1 may end in a part of a vector; rows are whole vectors.
[[nodiscard]] std::int64_t widest_vector(const PointwiseKernel& kernel);
[[nodiscard]] std::int64_t widest_vector(const RowKernel& kernel);

// Operands that are contiguous along another dimension than the results: `reads` are contiguous along `dimension`, the
// writes along the innermost one. nullopt when there is none.
struct Transposed {
  std::size_t dimension = 0;
  std::vector<std::size_t> reads;  // indices into PointwiseKernel::reads
};
[[nodiscard]] std::optional<Transposed> transposed_reads(const PointwiseKernel& kernel);

// "matmul 128x1536x384 + gelu", from the kernel.
[[nodiscard]] std::string describe(const Kernel& kernel);

}  // namespace kiln::agents
