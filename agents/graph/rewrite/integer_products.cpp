// QDQ: a product or a convolution of a dequantised tensor with weights that are multiples of a scale is an exact sum of
// products of bytes, times both scales:  sum (q - zero) s_x w s_w = s_x s_w sum (q - zero) w  (Jacob et al.,
// "Quantization and training of neural networks for efficient integer-arithmetic-only inference", CVPR 2018, 2.2).
// Equal in real numbers; in floating point the sum loses its roundings, which is why what is quantised again from it
// may come out a step apart where it lies next to a tie.
//
// Weights arrive as float32, their dequantisation folded: they are recognised by being float32(q s) with one s per
// column or output channel, bit for bit.
#include <algorithm>
#include <cmath>

#include "agents/graph/byte_sums.h"
#include "agents/graph/rewrite/rules.h"
#include "agents/graph/rewrite/sweep.h"

namespace kiln::graph::rewrite {
namespace {

// A sum of this many products of bytes stays within i32.
constexpr std::int64_t kMostTerms = (std::int64_t{1} << 31) / (255 * 128);

// ---- weights

// The greatest scale of which all values are multiples by integers of i8, rounded to float32 once each; of nothing but
// zeros it is 1. `values` are those of one channel.
std::optional<float> scale_of(const std::vector<float>& values) {
  float least = 0, most = 0;
  for (const float v : values) {
    if (!std::isfinite(v)) return std::nullopt;
    const float size = std::fabs(v);
    most = std::max(most, size);
    if (size > 0 && (least == 0 || size < least)) least = size;
  }
  if (least == 0) return 1.0f;
  for (int q = 1; q <= 128; ++q) {  // what the least value is a multiple by
    const double guess = static_cast<double>(least) / q;
    if (static_cast<double>(most) / guess > 128.5) return std::nullopt;
    const auto near_multiple = [&](float v) {
      const double multiple = static_cast<double>(v) / guess;
      return std::fabs(multiple - std::nearbyint(multiple)) < 0x1p-14;  // two roundings of 128
    };
    if (!std::all_of(values.begin(), values.end(), near_multiple)) continue;
    const double whole = std::nearbyint(static_cast<double>(most) / guess);
    auto scale = static_cast<float>(static_cast<double>(most) / whole);
    for (int step = 0; step < 2; ++step) scale = std::nextafter(scale, 0.0f);
    for (int step = 0; step < 5; ++step, scale = std::nextafter(scale, HUGE_VALF)) {
      const auto is_multiple = [&](float v) {
        const double multiple = std::nearbyint(static_cast<double>(v) / static_cast<double>(scale));
        return multiple >= -128 && multiple <= 127 && static_cast<float>(multiple) * scale == v;
      };
      if (scale > 0 && std::all_of(values.begin(), values.end(), is_multiple)) return scale;
    }
  }
  return std::nullopt;
}

struct Bytes {
  Tensor weights;             // i8
  std::vector<float> scales;  // per channel
};

// A constant whose element i belongs to channel i / apart % channels.
std::optional<Bytes> bytes_of(const Sweep& pass, ValueId id, std::int64_t channels, std::int64_t apart) {
  const auto& constant = pass.graph.constants[static_cast<std::size_t>(id)];
  const TensorType& type = pass.graph.type(id);
  if (!constant || type.dtype != DType::f32 || channels == 0) return std::nullopt;
  const std::int64_t count = element_count(type.shape);
  std::vector<std::vector<float>> values(static_cast<std::size_t>(channels));
  const auto channel = [&](std::int64_t i) { return static_cast<std::size_t>(i / apart % channels); };
  const auto value = [&](std::int64_t i) {
    return static_cast<float>(load_double(type.dtype, constant->bytes.data(), i));
  };
  for (std::int64_t i = 0; i < count; ++i) values[channel(i)].push_back(value(i));
  Bytes out{Tensor::zeros({DType::i8, type.shape}), {}};
  for (const std::vector<float>& of_channel : values) {
    const std::optional<float> scale = scale_of(of_channel);
    if (!scale) return std::nullopt;
    out.scales.push_back(*scale);
  }
  for (std::int64_t i = 0; i < count; ++i)
    out.weights.as<std::int8_t>()[static_cast<std::size_t>(i)] =
        static_cast<std::int8_t>(std::nearbyint(value(i) / out.scales[channel(i)]));
  return out;
}

// ---- what is dequantised

struct Dequantised {
  ValueId q = -1, zero = -1, scale = -1;  // of 8 bits; of its type or -1; f32; both of one element
  std::vector<Op> views;                  // reshapes and transpositions of it, first to last
};

// The operand of a cast of `id` from `from` (or anything, if not given) to its type.
std::optional<ValueId> uncast(const Sweep& pass, ValueId id) {
  const auto operands = pass.operands(id, ExprOp::cast);
  return operands.size() == 1 ? std::optional(operands[0]) : std::nullopt;
}

bool is_byte(const Sweep& pass, ValueId id) {
  const DType type = pass.graph.type(id).dtype;
  return type == DType::i8 || type == DType::u8;
}

bool is_one(const Sweep& pass, ValueId id) { return element_count(pass.graph.type(id).shape) == 1; }

// The zero point, an i32, as a value of the bytes' own type.
std::optional<ValueId> as_byte(Sweep& pass, ValueId zero, DType type) {
  if (const std::optional<double> point = pass.scalar(zero)) {
    const double least = type == DType::u8 ? 0 : -128;
    if (*point < least || *point > least + 255) return std::nullopt;
    return pass.add_scalar(*point, type);
  }
  const std::optional<ValueId> own = uncast(pass, zero);
  if (!own || pass.graph.type(*own).dtype != type) return std::nullopt;
  return pass.graph.type(*own).shape.empty() ? *own : pass.add(Reshape{{}}, {*own}, "zero point");
}

std::optional<Dequantised> dequantised(Sweep& pass, ValueId id) {
  Dequantised out;
  for (const Node* view = pass.maker(id); view != nullptr; view = pass.maker(id)) {
    if (!std::holds_alternative<Reshape>(view->op) && !std::holds_alternative<Transpose>(view->op)) break;
    out.views.insert(out.views.begin(), view->op);
    id = view->inputs[0];
  }
  auto factors = pass.operands(id, ExprOp::mul);
  if (factors.size() != 2) return std::nullopt;
  if (is_one(pass, factors[0])) std::swap(factors[0], factors[1]);
  const std::optional<ValueId> integers = uncast(pass, factors[0]);
  if (!integers || pass.graph.type(*integers).dtype != DType::i32 || !is_one(pass, factors[1])) return std::nullopt;
  out.scale = factors[1];
  const auto difference = pass.operands(*integers, ExprOp::sub);
  const std::optional<ValueId> q = uncast(pass, difference.empty() ? *integers : difference[0]);
  if (!q || !is_byte(pass, *q)) return std::nullopt;
  out.q = *q;
  if (pass.graph.type(*q).shape != pass.graph.type(id).shape) return std::nullopt;
  if (!difference.empty()) {
    if (!is_one(pass, difference[1])) return std::nullopt;
    const std::optional<ValueId> zero = as_byte(pass, difference[1], pass.graph.type(*q).dtype);
    if (!zero) return std::nullopt;
    out.zero = *zero;
  }
  return out;
}

// ---- the product

// Both scales, in the shape in which the second one broadcasts to the sums.
ValueId joint_scale(Sweep& pass, ValueId scale, const std::vector<float>& scales, Shape shape,
                    const std::string& origin) {
  const std::optional<double> known = pass.scalar(scale);
  if (std::all_of(scales.begin(), scales.end(), [&](float s) { return s == scales[0]; })) shape = {};
  Tensor factors = Tensor::zeros({DType::f32, shape});
  for (std::size_t i = 0; i < factors.as<float>().size(); ++i)
    factors.as<float>()[i] = static_cast<float>(static_cast<double>(scales[i]) * known.value_or(1));
  const ValueId constant = pass.add_constant(std::move(factors));
  if (known) return constant;
  const ValueId one = pass.graph.type(scale).shape.empty() ? scale : pass.add(Reshape{{}}, {scale}, origin);
  return binary(pass, ExprOp::mul, constant, one, origin);
}

Maker maker_of(Sweep& pass, const std::string& origin) {
  return {[&pass, origin](Op op, std::vector<ValueId> inputs) {
            return pass.add(std::move(op), std::move(inputs), origin);
          },
          [&pass](Tensor tensor) { return pass.add_constant(std::move(tensor)); },
          [&pass](ValueId id) { return pass.graph.type(id); }, [&pass](ValueId id) { return pass.scalar(id); }};
}

std::optional<ValueId> rule(Sweep& pass, const Node& node) {
  const auto* product = std::get_if<MatMul>(&node.op);
  const auto* convolution = std::get_if<Convolution>(&node.op);
  if ((product == nullptr && convolution == nullptr) || (convolution != nullptr && convolution->transposed))
    return std::nullopt;
  const TensorType result = pass.graph.type(node.outputs[0]);
  const Shape w = pass.graph.type(node.inputs[1]).shape;
  if (result.dtype != DType::f32 || !pass.graph.is_constant(node.inputs[1]) || element_count(result.shape) == 0)
    return std::nullopt;
  const std::int64_t channels = convolution != nullptr ? w[0] : w[w.size() - (product->transpose_b ? 2 : 1)];
  const std::int64_t below = element_count(w) / std::max<std::int64_t>(1, w[0]);
  const std::int64_t terms = convolution != nullptr ? below : w[w.size() - (product->transpose_b ? 1 : 2)];
  if (terms == 0 || terms > kMostTerms) return std::nullopt;
  const std::optional<Dequantised> x = dequantised(pass, node.inputs[0]);
  if (!x) return std::nullopt;
  std::optional<Bytes> bytes =
      bytes_of(pass, node.inputs[1], channels, convolution != nullptr ? below : product->transpose_b ? terms : 1);
  if (!bytes) return std::nullopt;
  ValueId q = x->q;
  for (const Op& view : x->views) q = pass.add(view, {q}, node.origin);
  const Maker make = maker_of(pass, node.origin);
  Tensor& weights = bytes->weights;
  const ValueId sum = convolution != nullptr ? convolved_bytes(make, *convolution, q, x->zero, std::move(weights))
                                             : multiplied_bytes(make, *product, q, x->zero, std::move(weights));
  Shape along = {channels};
  if (convolution != nullptr) along.resize(w.size() - 1, 1);
  const ValueId factor = joint_scale(pass, x->scale, bytes->scales, along, node.origin);
  return elementwise(pass, {sum, factor}, DType::f32, DType::f32, node.origin,
                     [](Expr& e, const auto& in) { return e.apply(ExprOp::mul, in[0], in[1]); });
}

}  // namespace

int integer_products(Graph& graph, Log& log) {
  return sweep(graph, [&](Sweep& pass, const Node& node) {
    const auto out = rule(pass, node);
    if (out) log.push_back("integer_product: " + node.origin);
    return out;
  });
}

}  // namespace kiln::graph::rewrite
