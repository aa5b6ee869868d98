#include "agents/graph/rewrite/score_masks.h"

#include <algorithm>
#include <cmath>
#include <set>

namespace kiln::graph::rewrite {
namespace {

constexpr int kMostSteps = 12;  // additions and reshapes of one attention

Shape batch_of(const Shape& shape) { return {shape.begin(), shape.end() - 2}; }

bool same_matrix(const Shape& a, const Shape& b) {
  return a.size() >= 2 && b.size() >= 2 && std::equal(a.end() - 2, a.end(), b.end() - 2);
}

Shape broadcast_shape(const Shape& a, const Shape& b) {
  Shape out(std::max(a.size(), b.size()), 1);
  for (const Shape* s : {&a, &b})
    for (std::size_t d = 0; d < s->size(); ++d) {
      std::int64_t& extent = out[out.size() - s->size() + d];
      extent = std::max(extent, (*s)[d]);
    }
  return out;
}

// Where an element of `whole`, by its row-major index, lies in a tensor that broadcasts to it.
std::int64_t broadcast_index(std::int64_t at, const Shape& whole, const Shape& from) {
  std::int64_t index = 0, stride = 1;
  for (std::size_t d = 0; d < whole.size(); ++d) {
    const std::int64_t position = at % whole[whole.size() - 1 - d];
    at /= whole[whole.size() - 1 - d];
    if (d >= from.size()) continue;
    const std::int64_t extent = from[from.size() - 1 - d];
    if (extent > 1) index += position * stride;
    stride *= extent;
  }
  return index;
}

// Adds to `out` what is on the way from `id` to the product; as it was when there is no such way.
bool follow(const Sweep& pass, ValueId id, const IsProduct& is_product, int steps, MaskedScores& out) {
  if (is_product(id)) {
    out.product = id;
    return true;
  }
  if (steps == 0) return false;
  const std::vector<MaskLevel> before = out.levels;
  if (pass.made_by<Reshape>(id) != nullptr) {
    const ValueId from = pass.maker(id)->inputs[0];
    if (!same_matrix(pass.graph.type(from).shape, before.back().shape)) return false;
    out.levels.push_back({pass.graph.type(from).shape, -1});
    if (follow(pass, from, is_product, steps - 1, out)) return true;
  }
  const std::vector<ValueId> sum = pass.operands(id, ExprOp::add);
  for (std::size_t i = 0; i < sum.size(); ++i) {
    if (pass.graph.type(sum[i]) != pass.graph.type(id)) continue;
    out.levels = before;
    if (out.levels.back().mask >= 0) out.levels.push_back({before.back().shape, -1});
    out.levels.back().mask = sum[1 - i];
    if (follow(pass, sum[i], is_product, steps - 1, out)) return true;
  }
  out.levels = before;
  return false;
}

}  // namespace

std::optional<MaskedScores> masked_scores(const Sweep& pass, ValueId id, const IsProduct& is_product) {
  MaskedScores out;
  out.levels.push_back({pass.graph.type(id).shape, -1});
  if (!follow(pass, id, is_product, kMostSteps, out)) return std::nullopt;
  return out;
}

std::optional<Shape> common_batch(const std::vector<MaskLevel>& levels) {
  const Shape first = batch_of(levels.front().shape);
  if (std::all_of(levels.begin(), levels.end(), [&](const MaskLevel& l) { return batch_of(l.shape) == first; }))
    return first;
  std::set<std::int64_t> strides = {1};  // where some level's dimension ends, counted from the last
  for (const MaskLevel& level : levels) {
    std::int64_t stride = 1;
    for (std::size_t d = level.shape.size() - 2; d-- > 0;) strides.insert(stride *= level.shape[d]);
  }
  Shape out;
  for (auto at = strides.begin(); std::next(at) != strides.end(); ++at) {
    if (*at == 0 || *std::next(at) % *at != 0) return std::nullopt;
    out.insert(out.begin(), *std::next(at) / *at);
  }
  return out;
}

ValueId in_batch(Sweep& pass, ValueId value, const Shape& of, const Shape& batch, const std::string& origin) {
  const Shape& from = pass.graph.type(value).shape;
  if (of == batch || from.size() <= 2) return value;  // the last dimensions are not looked at
  Shape to(from.end() - 2, from.end());
  std::size_t next = batch.size();
  for (std::size_t d = 0; d < of.size() && d + 2 < from.size(); ++d) {
    const bool broadcasts = from[from.size() - 3 - d] == 1;
    for (std::int64_t left = of[of.size() - 1 - d]; left > 1; left /= batch[next]) {
      --next;
      to.insert(to.begin(), broadcasts ? 1 : batch[next]);
    }
  }
  if (to == from) return value;
  if (pass.graph.is_constant(value)) return pass.reshaped_constant(value, to);
  return pass.add(Reshape{to}, {value}, origin);
}

std::optional<ValueId> sum_of_masks(Sweep& pass, const std::vector<ValueId>& masks) {
  Shape shape;
  for (const ValueId mask : masks) shape = broadcast_shape(shape, pass.graph.type(mask).shape);
  if (element_count(shape) > kMostMaskElements) return std::nullopt;
  const DType type = pass.graph.type(masks.front()).dtype;
  Tensor out = Tensor::zeros({type, shape});
  for (std::int64_t at = 0; at < out.count(); ++at) {
    double sum = 0;
    bool finite = true;
    for (const ValueId mask : masks) {
      const TensorType& from = pass.graph.type(mask);
      const double value =
          load_double(from.dtype, pass.graph.constants[static_cast<std::size_t>(mask)]->bytes.data(),
                      broadcast_index(at, shape, from.shape));
      finite = finite && std::isfinite(value);
      sum += value;
    }
    store_double(type, out.bytes.data(), at, sum);
    const double stored = load_double(type, out.bytes.data(), at);
    if (std::isnan(stored) || (finite && !std::isfinite(stored))) return std::nullopt;
  }
  return pass.add_constant(std::move(out));
}

}  // namespace kiln::graph::rewrite
