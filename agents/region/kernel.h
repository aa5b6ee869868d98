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
#include "agents/graph/graph.h"
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
// Where some access does not go along the row in even steps, as the scale per channel of a group norm does not, the row
// has the dimensions `along`, whose product is `length`, and accesses have a stride for each of them.
struct RowKernel {
  graph::Shape outer;
  std::int64_t length = 1;
  graph::Shape along{};  // empty: one dimension
  std::vector<Access> reads;
  graph::Expr expr;
  std::vector<Access> writes;
  std::vector<bool> write_per_row;  // parallel to writes
};

// Whether a read gives each row elements of its own, and not those that all rows have in common.
[[nodiscard]] bool is_own(const RowKernel& kernel, const Access& read);
// Whether an access moves along the row.
[[nodiscard]] bool varies_along(const RowKernel& kernel, const Access& access);
// The dimensions of a row, innermost last: `along`, or the one of `length` elements.
[[nodiscard]] graph::Shape along_of(const RowKernel& kernel);

// What a product or a convolution sums up of its own results for the kernels after it, which need not read them for
// that: rows that are reduced to a few values each. Read `observed` of the rows, whose buffer is -1, is node `element`
// of the epilogue. A convolution's row is all results of one or several neighbouring channels of an image, in the
// order of rows; a product's is one column, of all its rows of a matrix without a batch.
struct Statistics {
  RowKernel rows;
  std::int32_t observed = 0;
  std::int32_t element = 0;
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
  std::optional<Statistics> statistics{};
};

// A product of which one operand streams through and the other stays on chip: that with more rows (a) or columns (b)
// has `many` of them, the other `few`.
struct Streamed {
  bool is_b = false;  // many columns
  std::int64_t many = 1, few = 1;
  Access stream;  // strides: batch..., many, k
  Access kept;    // strides: batch..., few, k
  // Neighbours along k, or along the many, that one access may move of the operand that streams, as widest_vector() of
  // a row; 0 where those are not neighbours in memory. And of the operand that is kept along k; 1 where they are not.
  std::int64_t vector_along_k = 0, vector_across = 0, kept_vector = 1;
};
[[nodiscard]] Streamed streamed(const MatmulKernel& kernel);

// Strides over [batch..., rows, columns]: q [S, D], k [T, D], v [T, E], mask [S, T], out [S, E].
struct AttentionKernel {
  graph::Shape batch;
  std::int64_t s = 1, t = 1, d = 1, e = 1;
  double scale = 1;
  bool causal = false, guarded = false;
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

// Cross-correlation over the spatial extents: out[n, g, m, o] = sum over c and k of x[n, g, c, o * stride + k *
// dilation - before] * w[g, m, c, k], zero in the padding. Transposed: x[n, g, c, i] adds w[g, m, c, k] times itself to
// out[n, g, m, i * stride + k * dilation - before]. `m` and `c` are channels of one group. The epilogue's operand 0 is
// the sum, operand 1 + i is reads[i] over [n, g, m, out...].
struct ConvolutionKernel {
  std::int64_t n = 1, groups = 1, m = 1, c = 1;
  graph::Shape in, window, out;  // spatial extents of x, w and the result
  graph::Steps steps;
  bool transposed = false;
  Access x;  // strides: n, groups, c, in...
  Access w;  // strides: groups, m, c, window...
  bool w_is_weight = false;
  std::vector<Access> reads;
  graph::Expr epilogue;
  std::vector<Access> writes;  // strides: n, groups, m, out...; parallel to epilogue.results
  std::optional<Statistics> statistics{};
};

// The monoid over windows of the last dimensions (graph::Window), or a copy with padding around it (graph::Pad). The
// result is dense; absent when nobody reads it.
struct WindowKernel {
  graph::Window op;
  std::int64_t outer = 1;
  graph::Shape in;  // extents that the window moves over
  Access x;         // strides: outer, in...
  std::optional<Access> values, positions;
};
struct PadKernel {
  graph::Pad op;
  graph::Shape in, out;
  Access x;      // strides: in...
  Access value;  // one element
  Access write;
};

// Lines of `length` elements along one dimension: a scan (as long), the place of an extremum (one element), or the k
// first of an order with their places. An element is the prologue's result, whose operand i is reads[i]; of all but
// scans it is operand 0 itself. Results are dense over [before, extent along the line, after].
struct LineKernel {
  std::variant<graph::Scan, graph::Arg, graph::TopK> op;
  std::int64_t before = 1, length = 1, after = 1;
  std::vector<Access> reads;  // strides: before, length, after
  graph::Expr prologue;
  std::optional<Access> values, places;
};
[[nodiscard]] graph::DType element_type(const LineKernel& kernel);

// data [rows, inner] whose rows indices[k] are combined with updates[k, inner], in order of k; all dense.
struct ScatterKernel {
  graph::Combine combine = graph::Combine::replace;
  std::int64_t rows = 1, inner = 1, count = 1;
  Access data, indices, updates, write;
};

// graph::Recurrent over dense inputs, in its order, and dense outputs; an output that nobody reads is absent.
struct RecurrentKernel {
  graph::Recurrent op;
  std::int64_t steps = 1, batch = 1, hidden = 1;
  std::vector<Access> inputs;
  std::vector<std::optional<Access>> outputs;
};

using Kernel = std::variant<PointwiseKernel, RowKernel, MatmulKernel, AttentionKernel, GatherKernel, ConcatKernel,
                            ConvolutionKernel, WindowKernel, PadKernel, LineKernel, ScatterKernel, RecurrentKernel>;

// Whether a node is a window without padding, over few elements that it shares with few others: pointwise and row
// kernels read them where its result is needed.
[[nodiscard]] bool has_fixed_taps(const graph::Graph& g, const graph::Node& node);

// Null for a kernel that has none.
[[nodiscard]] const Statistics* statistics_of(const Kernel& kernel);

// The family that a template.toml's `anchor` names: "pointwise", "row", "matmul", "attention", "gather", "concat",
// "convolution", "window", "pad", "line", "scatter", "recurrent".
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

// What a product computes for nobody: its rows and columns come in blocks of 16, and a batch of short rows, which
// folded views can make of a long matrix, fills none. 0 for other kernels.
[[nodiscard]] double wasted_flops(const Kernel& kernel);

// How many neighbours along the innermost dimension one access may move: the largest power of two, at most 16 bytes of
// the narrowest element, that keeps every contiguous access on its own alignment; buffers begin on 16 bytes. A
// pointwise space of rank 1 may end in a part of a vector; rows are whole vectors.
[[nodiscard]] std::int64_t widest_vector(const PointwiseKernel& kernel);
[[nodiscard]] std::int64_t widest_vector(const RowKernel& kernel);
// Of a line whose elements are neighbours in x and in a result as long as it; 1 for any other.
[[nodiscard]] std::int64_t widest_vector(const LineKernel& kernel);

// Operands that are contiguous along another dimension than the results: `reads` are contiguous along `dimension`, the
// writes along the innermost one. nullopt when there is none.
struct Transposed {
  std::size_t dimension = 0;
  std::vector<std::size_t> reads;  // indices into PointwiseKernel::reads
};
[[nodiscard]] std::optional<Transposed> transposed_reads(const PointwiseKernel& kernel);

// The results of a transposed convolution that lie a stride apart meet the same taps of the window: a phase. Per
// spatial dimension how many phases there are, and how many results at most one has. Any other convolution has one.
struct ConvolutionPhases {
  explicit ConvolutionPhases(const ConvolutionKernel& kernel);
  graph::Shape count, out;
};

// "matmul 128x1536x384 + gelu", from the kernel.
[[nodiscard]] std::string describe(const Kernel& kernel);

}  // namespace kiln::agents
