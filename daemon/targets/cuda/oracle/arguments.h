#pragma once
// What the oracle's kernels for a GPU are given, by value. Read by the compiler of the host and, as part of the
// kernels' own text, by that of the device: hence no include, and every member 8 bytes.
//
// Arrays are dense and row-major, of one of three carriers as in agents/graph/interpreter: f64, f32, i64. Extents are
// outermost first; `rank` of them count. Strides are in elements.

namespace kiln::targets::cuda::oracle {

using Int = long long;
constexpr int kRank = 8;

// Element types by the numbers of graph::DType, and what an array carries them as.
enum Type : Int {
  type_f64, type_f32, type_f16, type_bf16, type_f8e4m3fn, type_f8e4m3fnuz, type_f8e5m2, type_f8e5m2fnuz,
  type_i64, type_i32, type_i16, type_i8, type_u64, type_u32, type_u16, type_u8, type_bool,
  type_exact = -1  // results are not rounded
};
enum Carrier : Int { carrier_f64, carrier_f32, carrier_i64 };

// By the numbers of graph::Monoid and graph::Combine.
enum Monoid : Int { monoid_sum, monoid_mean, monoid_max, monoid_min, monoid_prod };
enum Combine : Int { combine_replace, combine_add, combine_mul, combine_max, combine_min };

// By the numbers of graph::ExprOp.
enum Op : Int {
  op_operand, op_constant, op_cast,
  op_neg, op_abs, op_sign, op_sqrt, op_rsqrt, op_reciprocal, op_exp, op_log, op_tanh, op_erf, op_sigmoid, op_sin,
  op_cos, op_floor, op_ceil, op_round, op_logical_not,
  op_tan, op_asin, op_acos, op_atan, op_sinh, op_cosh, op_asinh, op_acosh, op_atanh, op_expm1, op_log1p, op_bit_not,
  op_add, op_sub, op_mul, op_div, op_pow, op_min, op_max, op_mod, op_fmod, op_bit_and, op_bit_or, op_bit_xor,
  op_shift_left, op_shift_right, op_equal, op_less, op_less_equal, op_logical_and, op_logical_or, op_logical_xor,
  op_select
};

// What a fault word holds after a value that has no result.
enum Fault : Int { fault_none, fault_division_by_zero, fault_index };

// Elements of the model's types and arrays of carriers, one to one.
struct ConvertArguments { const void* from; void* to; Int type, count; };

struct Step {
  Int op, carrier, type;    // of the result; type: its element type, to which it is rounded when `rounds`
  Int rounds;
  Int from_carrier, from_type;  // of the first argument
  Int args[3];
  Int operand;
  double value;
  Int integer;
};
constexpr int kMostSteps = 192;
struct Operand { const void* base; Int stride[kRank]; };
struct Result { void* base; Int step; };
struct PointwiseArguments {
  const Step* steps;
  const Operand* operands;
  const Result* results;
  Int* fault;
  Int step_count, result_count, count, rank, extent[kRank];
};

// y[row * runs + r] = the monoid over elements [r * run, (r + 1) * run) of row `row`, each mapped first.
enum Map : Int { map_identity, map_exp_minus, map_exp_minus_finite, map_squared_difference };
struct FoldArguments {
  const void *x, *base;  // base: one per row, or null
  void* y;
  Int rows, row_rank, row_extent[kRank], row_stride[kRank];
  Int length, rank, extent[kRank], stride[kRank];
  Int run, runs, monoid, map, divisor, type;
  double infinity;
};

// What becomes of each element (of each row: row_log_sum_exp) once its row's figures are known.
enum RowKind : Int { row_softmax, row_log_softmax, row_normalise, row_log_sum_exp };
struct RowArguments {
  const void *x, *first, *second;  // per row: maximum and sum, or mean (or null) and sum of squares
  const void *scale, *bias;        // null: none
  void* y;
  Int count, rank, extent[kRank], row_stride[kRank], scale_stride[kRank], bias_stride[kRank];
  Int kind, length, type;
  double epsilon, infinity;
};

struct ProductArguments {
  const void *a, *b;
  void* c;
  Int batches, rank, extent[kRank], a_stride[kRank], b_stride[kRank];
  Int m, n, k, a_row, a_column, b_row, b_column, type;
};

// In place: x * scale + mask; causal: minus infinity where column > row + (t - s).
struct ScoreArguments {
  void* x;
  const void* mask;  // null: none
  Int count, rank, extent[kRank], mask_stride[kRank], s, t, causal;
  double scale, infinity;
};

constexpr int kSpace = 3;
struct Space {
  Int in[kSpace], out[kSpace], kernel[kSpace], stride[kSpace], dilation[kSpace], before[kSpace], after[kSpace];
};
constexpr int kChannelsOfThread = 4;  // that a thread makes the elements of
struct ConvolutionArguments {
  const void *x, *w;
  void* y;
  Int images, groups, in_channels, out_channels;  // channels of one group
  Space space;
  Int transposed, type;
};
struct WindowArguments {
  const void* x;
  void* y;
  Int* positions;  // null: not asked for
  Int planes;
  Space space;
  Int monoid, counts_padding, type;
  double infinity;
};

// y[to_offset + index . to_stride] = x[from_offset + index . from_stride]; x_stride all zero: a fill.
struct MoveArguments {
  const void* x;
  void* y;
  Int count, rank, extent[kRank], from_stride[kRank], to_stride[kRank], from_offset, to_offset;
};
struct GatherArguments { const void* x; const Int* indices; void* y; Int* fault; Int count, axis, inner, index_count; };
// y holds the data; rows of `width` elements.
struct ScatterArguments {
  void* y;
  const Int* indices;
  const void* updates;
  Int* fault;
  Int rows, width, update_count, combine, type;
};

// Lines along one dimension: element i of line l at l / inner * length * inner + l % inner + i * inner.
struct ScanArguments {
  const void* x;
  void* y;
  Int lines, length, inner, monoid, exclusive, reverse, type;
  double infinity;
};
struct ArgArguments { const void* x; Int* y; Int lines, length, inner, largest, last; };
struct TopArguments { const void* x; void* y; Int* places; Int lines, length, inner, k, largest; };

// Element i of an input, drawn as daemon/targets/draw.h says, rounded to `type` and multiplied by 2^power.
struct DrawArguments { void* to; Int count, key, family, low, high, type, power; double tiny; };
// Of finite elements of a floating-point type one in four moves to the next number of its type, away from zero or
// towards it (daemon/worker/conditioning.h).
struct NudgeArguments { void* at; Int count, type, seed; };

// What is read off arrays: lane l goes over elements l, l + lanes, l + 2 lanes, ... and leaves its part of the result.
// The lanes are chosen by the number of elements alone (lanes_of, figures.h), so that the result is too.

// Of each lane the first element, or -1, that
enum Find : Int {
  find_poisoned,   // of a has no byte but `poison`
  find_different,  // has other bits in a than in b
  find_unscaled,   // of b is not exactly 2^power times what a has (NaN where that is one)
  find_rescaled    // has other bits in b than 2^power times what a has, rounded to the type
};
struct FindArguments { const void *a, *b; Int* first; Int count, lanes, find, type, poison, power; };
// What `count` lanes left, put together by fewer: the first element found, or Figures.
struct FoldPartsArguments { const void* from; void* to; Int count, lanes; };
// `found` is compared with what would be drawn.
struct RedrawArguments { DrawArguments draw; const void* found; Int* first; Int lanes; };

// A candidate's output and a plain evaluation against the right output, as in daemon/worker/compare.cpp; plain and
// right are multiplied by 2^power first. Squares are of values divided by 2^exponent, lest they leave double's range.
struct CompareArguments {
  const void *got, *plain, *want;
  void* parts;  // Figures of each lane
  Int count, lanes, type, plain_type, want_type, power, got_exponent, plain_exponent, want_exponent;
};
struct Extremes { double worst, plain_worst, largest; Int worst_index, finite, mismatched, first_mismatch; };
struct Squares { double got, plain, want; };
struct Figures {
  Extremes extremes;
  Squares squares;
};

// Of finite elements the largest magnitude, or the sums of squares and fourth powers of what is left of them after a
// division by 2^exponent.
struct MagnitudeArguments { const void* x; void* parts; Int count, lanes, type, exponent; };
struct Powers { double squares, fourths; };

// y = x * 2^power, rounded to `type`.
struct RoundArguments { const void* x; void* y; Int count, from_type, type, power; };

// SipHash-2-4 of each lane's 64-bit words, the last one filled up with zeros.
struct HashArguments { const void* x; Int* leaves; Int bytes, lanes, key0, key1; };

}  // namespace kiln::targets::cuda::oracle
