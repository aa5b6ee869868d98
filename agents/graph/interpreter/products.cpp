// Matrix products and attention.
#include <algorithm>
#include <cmath>
#include <limits>

#include "agents/graph/interpreter/array.h"
#include "agents/graph/interpreter/product.h"

namespace kiln::graph::interpreter {
namespace {

// c[m, n] over the columns of the panel that begins at `begin`.
template <class T>
void product_panel(const Matrix<T>& a, const Matrix<T>& b, T* c, std::int64_t m, std::int64_t n, std::int64_t k,
                   std::int64_t begin) {
  const std::int64_t width = std::min(kPanelColumns, n - begin);
  std::vector<T> panel(static_cast<std::size_t>(k * kPanelColumns), T(0));
  for (std::int64_t p = 0; p < k; ++p)
    for (std::int64_t j = 0; j < width; ++j)
      panel[static_cast<std::size_t>(p * kPanelColumns + j)] = b.base[p * b.rows + (begin + j) * b.columns];
  multiply_panel(a, panel.data(), c + begin, n, m, width, k);
}

Shape leading(const Shape& shape) { return {shape.begin(), shape.end() - 2}; }

// The first element of each matrix of a stack, over the broadcast stack of shape `batch`.
std::vector<std::int64_t> stack_offsets(const Shape& shape, const Shape& batch) {
  const std::int64_t matrix = shape[shape.size() - 2] * shape.back();
  std::vector<std::int64_t> strides = broadcast_strides(leading(shape), batch);
  for (std::int64_t& stride : strides) stride *= matrix;
  return offsets(batch, strides);
}

template <class T>
struct Heads {
  const std::vector<T>&q, &k, &v;
  const std::vector<T>* mask;
  std::vector<std::int64_t> q_at, k_at, v_at, mask_at;
  std::int64_t mask_row = 0, mask_column = 0, s = 0, t = 0, d = 0, e = 0;
};

template <class T>
void attend_row(const Attention& op, const Heads<T>& h, std::size_t head, std::int64_t i, std::vector<T>& scores,
                T* out) {
  const T lowest = -std::numeric_limits<T>::infinity();
  const T* query = h.q.data() + h.q_at[head] + i * h.d;
  T top = lowest;
  for (std::int64_t j = 0; j < h.t; ++j) {
    T score = 0;
    for (std::int64_t p = 0; p < h.d; ++p)
      score += query[p] * h.k[static_cast<std::size_t>(h.k_at[head] + j * h.d + p)];
    score *= static_cast<T>(op.scale);
    if (h.mask != nullptr)
      score += (*h.mask)[static_cast<std::size_t>(h.mask_at[head] + i * h.mask_row + j * h.mask_column)];
    if (op.causal && j > i + (h.t - h.s)) score = lowest;
    scores[static_cast<std::size_t>(j)] = score;
    top = (score > top || score != score) ? score : top;
  }
  T sum = 0;
  for (T& score : scores) sum += score = std::exp(score - top);
  std::fill_n(out, h.e, T(0));
  for (std::int64_t j = 0; j < h.t; ++j) {
    T weight = scores[static_cast<std::size_t>(j)] / sum;
    if (op.guarded && weight != weight) weight = 0;
    for (std::int64_t c = 0; c < h.e; ++c) out[c] += weight * h.v[static_cast<std::size_t>(h.v_at[head] + j * h.e + c)];
  }
}

template <class T>
std::vector<T> attend(const Attention& op, const Inputs& in, const TensorType& out, const Context& context) {
  const Shape batch = leading(out.shape);
  const Shape& k = in[1]->type.shape;
  Heads<T> h{in[0]->as<T>(),
             in[1]->as<T>(),
             in[2]->as<T>(),
             in.size() > 3 ? &in[3]->as<T>() : nullptr,
             stack_offsets(in[0]->type.shape, batch),
             stack_offsets(k, batch),
             stack_offsets(in[2]->type.shape, batch),
             {}};
  h.s = out.shape[out.shape.size() - 2];
  h.e = out.shape.back();
  h.t = k[k.size() - 2];
  h.d = k.back();
  if (h.mask != nullptr) {
    Shape scores = batch;
    scores.push_back(h.s);
    scores.push_back(h.t);
    auto strides = broadcast_strides(in[3]->type.shape, scores);
    h.mask_column = strides.back();
    h.mask_row = strides[strides.size() - 2];
    strides.resize(batch.size());
    h.mask_at = offsets(batch, strides);
  }
  std::vector<T> result(static_cast<std::size_t>(element_count(out.shape)));
  const std::int64_t rows = h.e == 0 ? 0 : static_cast<std::int64_t>(h.q_at.size()) * h.s;
  parallel(context, rows, 32, [&](std::int64_t begin, std::int64_t end) {
    std::vector<T> scores(static_cast<std::size_t>(h.t));
    for (std::int64_t r = begin; r < end; ++r)
      attend_row(op, h, static_cast<std::size_t>(r / h.s), r % h.s, scores, result.data() + r * h.e);
  });
  round_to(out.dtype, context.arithmetic, result.data(), result.size());
  return result;
}

}  // namespace

Array run(const MatMul& op, const Inputs& in, const TensorType& out, const Context& context) {
  const Shape batch = leading(out.shape);
  const Shape& a_shape = in[0]->type.shape;
  const auto a_at = stack_offsets(a_shape, batch);
  const auto b_at = stack_offsets(in[1]->type.shape, batch);
  const std::int64_t m = out.shape[out.shape.size() - 2];
  const std::int64_t n = out.shape.back();
  const std::int64_t k = a_shape[a_shape.size() - (op.transpose_a ? 2 : 1)];
  const std::int64_t panels = (n + kPanelColumns - 1) / kPanelColumns;
  return std::visit(
      [&](const auto& a) {
        using Vector = std::decay_t<decltype(a)>;
        using T = typename Vector::value_type;
        const Vector& b = std::get<Vector>(in[1]->elements);
        Vector c(static_cast<std::size_t>(element_count(out.shape)));
        parallel(context, m == 0 ? 0 : static_cast<std::int64_t>(a_at.size()) * panels, 1,
                 [&](std::int64_t begin, std::int64_t end) {
                   for (std::int64_t task = begin; task < end; ++task) {
                     const auto s = static_cast<std::size_t>(task / panels);
                     const Matrix<T> left{a.data() + a_at[s], op.transpose_a ? 1 : k, op.transpose_a ? m : 1};
                     const Matrix<T> right{b.data() + b_at[s], op.transpose_b ? 1 : n, op.transpose_b ? k : 1};
                     product_panel(left, right, c.data() + static_cast<std::int64_t>(s) * m * n, m, n, k,
                                   task % panels * kPanelColumns);
                   }
                 });
        round_to(out.dtype, context.arithmetic, c.data(), c.size());
        return Array{out, std::move(c)};
      },
      in[0]->elements);
}

Array run(const Attention& op, const Inputs& in, const TensorType& out, const Context& context) {
  if (std::holds_alternative<std::vector<double>>(in[0]->elements)) return {out, attend<double>(op, in, out, context)};
  return {out, attend<float>(op, in, out, context)};
}

}  // namespace kiln::graph::interpreter
