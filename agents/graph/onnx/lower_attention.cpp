// Attention and RotaryEmbedding, as operator set 23 has them.
#include <cmath>
#include <limits>

#include "agents/graph/onnx/lowering.h"

namespace kiln::graph::onnx {
namespace {

using Outputs = std::vector<ValueId>;

// [B, H, S, D]; of [B, S, H D] with `heads` from the attributes.
ValueId by_heads(const Call& call, ValueId x, std::int64_t heads) {
  const Shape shape = call.type(x).shape;
  if (shape.size() == 4) return x;
  if (shape.size() != 3) malformed("an input has neither three nor four dimensions");
  if (heads < 1 || shape[2] % heads != 0)
    malformed("its heads do not divide the last dimension of " + to_string(shape));
  return call.transpose(call.reshape(x, {shape[0], shape[1], heads, shape[2] / heads}), {0, 2, 1, 3});
}

// Booleans say what to keep: as numbers to add, 0 and minus infinity.
ValueId additive(const Call& call, ValueId mask, DType type) {
  if (call.type(mask).dtype != DType::boolean) return call.cast(mask, type);
  return call.apply(ExprOp::select, mask, call.scalar(0, type),
                    call.scalar(-std::numeric_limits<double>::infinity(), type));
}

// Position j > i + past is excluded.
ValueId causal_mask(const Call& call, std::int64_t s, std::int64_t t, std::int64_t past, DType type) {
  if (element_count({s, t}) > kMadeElements) refuse("its causal mask has more than 2^24 elements");
  Tensor mask = Tensor::zeros({type, {s, t}});
  for (std::int64_t i = 0; i < s; ++i)
    for (std::int64_t j = i + past + 1; j < t; ++j)
      store_double(type, mask.bytes.data(), i * t + j, -std::numeric_limits<double>::infinity());
  return call.constant(std::move(mask));
}

// The scores' mask with the dimension of heads as [key heads, groups], or as ones where all heads share it.
ValueId grouped_mask(const Call& call, ValueId mask, std::int64_t key_heads, std::int64_t groups) {
  Shape shape = call.type(mask).shape;
  if (shape.size() < 3) return mask;
  const auto heads = shape.end() - 3;
  if (*heads != 1 && *heads != key_heads * groups)
    malformed("its mask " + to_string(shape) + " does not fit its heads");
  const bool own = *heads != 1;
  *heads = own ? key_heads : 1;
  shape.insert(heads + 1, own ? groups : 1);
  return call.reshape(mask, shape);
}

struct Heads {
  ValueId q, k, v;
  std::int64_t past;
};

// k and v with what the cache holds before them.
Heads heads_of(const Call& call) {
  Heads h{by_heads(call, call.in(0), call.get_int("q_num_heads", 0)),
          by_heads(call, call.in(1), call.get_int("kv_num_heads", 0)),
          by_heads(call, call.in(2), call.get_int("kv_num_heads", 0)), 0};
  if (call.has(4) != call.has(5)) malformed("it has a past key or a past value, not both");
  if (!call.has(4)) return h;
  if (call.type(call.in(4)).shape.size() != 4) malformed("its past key has not four dimensions");
  h.past = call.type(call.in(4)).shape[2];
  h.k = call.add(Concat{2}, {call.in(4), h.k});
  h.v = call.add(Concat{2}, {call.in(5), h.v});
  return h;
}

Outputs attention(const Call& call) {
  if (call.has(6)) refuse("it masks by nonpad_kv_seqlen");
  if (call.wants(3)) refuse("it gives the scores of its queries and keys");
  if (call.get_float("softcap", 0) != 0) refuse("it caps its scores (softcap)");
  const Heads h = heads_of(call);
  const Shape q = call.type(h.q).shape, k = call.type(h.k).shape, v = call.type(h.v).shape;
  const DType type = call.type(h.q).dtype;
  if (k[1] < 1 || q[1] % k[1] != 0 || v[1] != k[1])
    malformed("its query heads are no multiple of its key and value heads");
  const std::int64_t groups = q[1] / k[1];
  // Attention's own causality counts from the ends of queries and keys; where that differs it is a mask.
  bool causal = call.get_int("is_causal", 0) != 0;
  ValueId mask = call.has(3) ? additive(call, call.in(3), type) : -1;
  if (causal && k[2] - q[2] != h.past) {
    const ValueId triangle = causal_mask(call, q[2], k[2], h.past, type);
    mask = mask < 0 ? triangle : call.apply(ExprOp::add, mask, triangle);
    causal = false;
  }
  std::vector<ValueId> inputs = {h.q, h.k, h.v};
  if (groups > 1) {
    inputs = {call.reshape(h.q, {q[0], k[1], groups, q[2], q[3]}), call.reshape(h.k, {k[0], k[1], 1, k[2], k[3]}),
              call.reshape(h.v, {v[0], v[1], 1, v[2], v[3]})};
    if (mask >= 0) mask = grouped_mask(call, mask, k[1], groups);
  }
  if (mask >= 0) inputs.push_back(mask);
  const double scale = call.get_float("scale", 1 / std::sqrt(static_cast<double>(q[3])));
  ValueId y = call.reshape(call.add(Attention{scale, causal}, inputs), {q[0], q[1], q[2], v[3]});
  if (call.type(call.in(0)).shape.size() == 3)
    y = call.reshape(call.transpose(y, {0, 2, 1, 3}), {q[0], q[2], q[1] * v[3]});
  return {y, h.k, h.v};
}

// Elements begin, begin + step ... of the last dimension, `extent` of them.
ValueId last_part(const Call& call, ValueId x, std::int64_t begin, std::int64_t extent, std::int64_t step) {
  const Shape& shape = call.type(x).shape;
  Slice slice{Shape(shape.size(), 0), shape, std::vector<std::int64_t>(shape.size(), 1)};
  slice.starts.back() = extent == 0 ? 0 : begin;
  slice.extents.back() = extent;
  slice.steps.back() = step;
  return call.add(std::move(slice), {x});
}

// A row of the cache for each position, over all heads: [B, 1, S, D / 2].
ValueId rotary_table(const Call& call, std::size_t input) {
  ValueId table = call.in(input);
  if (call.has(3)) table = call.add(Gather{0}, {table, call.in(3)});
  const Shape shape = call.type(table).shape;
  if (shape.size() != 3) malformed("its tables have not one row for each position");
  return call.reshape(table, {shape[0], 1, shape[1], shape[2]});
}

// Su et al., "RoFormer", 2021. The pairs are the halves of what is rotated or, interleaved, neighbours.
Outputs rotary_embedding(const Call& call) {
  const ValueId x = by_heads(call, call.in(0), call.get_int("num_heads", 0));
  const Shape shape = call.type(x).shape;
  const std::int64_t whole = shape.back(), given = call.get_int("rotary_embedding_dim", 0);
  const std::int64_t width = given == 0 ? whole : given, half = width / 2;
  if (width < 2 || width % 2 != 0 || width > whole) malformed("what it rotates is odd, or wider than a head");
  const bool neighbours = call.get_int("interleaved", 0) != 0;
  const ValueId first = last_part(call, x, 0, half, neighbours ? 2 : 1);
  const ValueId second = last_part(call, x, neighbours ? 1 : half, half, neighbours ? 2 : 1);
  const ValueId cosine = rotary_table(call, 1), sine = rotary_table(call, 2);
  const auto product = [&](ValueId a, ValueId b) { return call.apply(ExprOp::mul, a, b); };
  const ValueId real = call.apply(ExprOp::sub, product(first, cosine), product(second, sine));
  const ValueId imaginary = call.apply(ExprOp::add, product(first, sine), product(second, cosine));
  Shape part = shape;
  part.back() = half;
  if (call.type(real).shape != part) malformed("its tables do not fit its input");
  ValueId y = -1;
  if (neighbours) {
    Shape apart = part, joined = part;
    apart.push_back(1);
    joined.back() = width;
    y = call.reshape(call.add(Concat{4}, {call.reshape(real, apart), call.reshape(imaginary, apart)}), joined);
  } else {
    y = call.add(Concat{3}, {real, imaginary});
  }
  if (width < whole) y = call.add(Concat{3}, {y, last_part(call, x, width, whole - width, 1)});
  const Shape original = call.type(call.in(0)).shape;
  return {original.size() == 4 ? y : call.reshape(call.transpose(y, {0, 2, 1, 3}), original)};
}

}  // namespace

std::vector<OperatorRow> attention_operators() {
  return {{"Attention", attention}, {"RotaryEmbedding", rotary_embedding}};
}

}  // namespace kiln::graph::onnx
