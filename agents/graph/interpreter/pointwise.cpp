// Pointwise expressions, evaluated node by node over runs of elements that stay in the first-level cache.
#include <algorithm>
#include <cmath>
#include <limits>

#include "agents/graph/interpreter/array.h"
#include "runtime/base/error.h"

namespace kiln::graph::interpreter {
namespace {

constexpr std::int64_t kRun = 512;

using Lane = std::variant<std::vector<double>, std::vector<float>, std::vector<std::int64_t>>;

template <class T>
T unary_float(ExprOp op, T x) {
  switch (op) {
    case ExprOp::neg: return -x;
    case ExprOp::abs: return std::fabs(x);
    case ExprOp::sign: return x > 0 ? T(1) : x < 0 ? T(-1) : x;
    case ExprOp::sqrt: return std::sqrt(x);
    case ExprOp::rsqrt: return T(1) / std::sqrt(x);
    case ExprOp::reciprocal: return T(1) / x;
    case ExprOp::exp: return std::exp(x);
    case ExprOp::log: return std::log(x);
    case ExprOp::tanh: return std::tanh(x);
    case ExprOp::erf: return std::erf(x);
    case ExprOp::sigmoid: return T(1) / (T(1) + std::exp(-x));
    case ExprOp::sin: return std::sin(x);
    case ExprOp::cos: return std::cos(x);
    case ExprOp::floor: return std::floor(x);
    case ExprOp::ceil: return std::ceil(x);
    case ExprOp::round: return std::nearbyint(x);
    case ExprOp::tan: return std::tan(x);
    case ExprOp::asin: return std::asin(x);
    case ExprOp::acos: return std::acos(x);
    case ExprOp::atan: return std::atan(x);
    case ExprOp::sinh: return std::sinh(x);
    case ExprOp::cosh: return std::cosh(x);
    case ExprOp::asinh: return std::asinh(x);
    case ExprOp::acosh: return std::acosh(x);
    case ExprOp::atanh: return std::atanh(x);
    case ExprOp::expm1: return std::expm1(x);
    case ExprOp::log1p: return std::log1p(x);
    default:
      throw Error(ErrorCode::invalid_input,
                  "cannot evaluate '" + std::string(name(op)) + "' on floats: it is not defined there");
  }
}

std::int64_t unary_integer(ExprOp op, std::int64_t x) {
  switch (op) {
    case ExprOp::neg: return static_cast<std::int64_t>(-static_cast<std::uint64_t>(x));
    case ExprOp::abs: return x < 0 ? static_cast<std::int64_t>(-static_cast<std::uint64_t>(x)) : x;
    case ExprOp::sign: return (x > 0) - (x < 0);
    case ExprOp::logical_not: return x == 0;
    case ExprOp::bit_not: return ~x;
    case ExprOp::floor: case ExprOp::ceil: case ExprOp::round: return x;
    default:
      throw Error(ErrorCode::invalid_input,
                  "cannot evaluate '" + std::string(name(op)) + "' on integers: it is not defined there");
  }
}

// The sign follows the divisor, as in Python and ONNX Mod with fmod = 0.
template <class T>
T modulo_float(T a, T b) {
  const T r = std::fmod(a, b);
  return r != 0 && (r < 0) != (b < 0) ? r + b : r;
}

template <class T>
T binary_float(ExprOp op, T a, T b) {
  switch (op) {
    case ExprOp::add: return a + b;
    case ExprOp::sub: return a - b;
    case ExprOp::mul: return a * b;
    case ExprOp::div: return a / b;
    case ExprOp::pow: return std::pow(a, b);
    case ExprOp::min: return (b < a || b != b) && a == a ? b : a;
    case ExprOp::max: return (b > a || b != b) && a == a ? b : a;
    case ExprOp::mod: return modulo_float(a, b);
    case ExprOp::fmod: return std::fmod(a, b);
    default:
      throw Error(ErrorCode::invalid_input,
                  "cannot evaluate '" + std::string(name(op)) + "' on floats: it is not defined there");
  }
}

// Exact in 64 bits, wrapping; division by zero has no value and stops the evaluation.
std::int64_t divide(std::int64_t a, std::int64_t b, bool is_unsigned) {
  if (b == 0) throw Error(ErrorCode::invalid_input, "cannot divide an integer: the divisor is zero");
  if (is_unsigned) return static_cast<std::int64_t>(static_cast<std::uint64_t>(a) / static_cast<std::uint64_t>(b));
  if (b == -1) return unary_integer(ExprOp::neg, a);
  return a / b;
}

std::int64_t modulo(std::int64_t a, std::int64_t b, bool is_unsigned) {
  if (b == 0) throw Error(ErrorCode::invalid_input, "cannot divide an integer: the divisor is zero");
  if (is_unsigned) return static_cast<std::int64_t>(static_cast<std::uint64_t>(a) % static_cast<std::uint64_t>(b));
  if (b == -1) return 0;
  const std::int64_t r = a % b;
  return r != 0 && (r < 0) != (b < 0) ? r + b : r;
}

std::int64_t power(std::int64_t base, std::int64_t exponent) {
  if (exponent < 0) return base == 1 ? 1 : base == -1 ? (exponent % 2 == 0 ? 1 : -1) : 0;
  std::uint64_t result = 1;
  for (auto factor = static_cast<std::uint64_t>(base); exponent > 0; exponent >>= 1, factor *= factor)
    if ((exponent & 1) != 0) result *= factor;
  return static_cast<std::int64_t>(result);
}

std::int64_t remainder(std::int64_t a, std::int64_t b, bool is_unsigned) {
  if (b == 0) throw Error(ErrorCode::invalid_input, "cannot divide an integer: the divisor is zero");
  if (is_unsigned) return static_cast<std::int64_t>(static_cast<std::uint64_t>(a) % static_cast<std::uint64_t>(b));
  return b == -1 ? 0 : a % b;
}

// The carrier of a narrow unsigned type holds its bits with zeros above, so that one width serves all; the caller
// wraps.
std::int64_t shift(ExprOp op, std::int64_t a, std::int64_t by) {
  if (by < 0 || by > 63) return 0;
  const auto bits = static_cast<std::uint64_t>(a);
  return static_cast<std::int64_t>(op == ExprOp::shift_left ? bits << by : bits >> by);
}

std::int64_t binary_integer(ExprOp op, std::int64_t a, std::int64_t b, bool is_unsigned) {
  const auto u = static_cast<std::uint64_t>(a);
  const auto v = static_cast<std::uint64_t>(b);
  const bool less = is_unsigned ? u < v : a < b;
  switch (op) {
    case ExprOp::add: return static_cast<std::int64_t>(u + v);
    case ExprOp::sub: return static_cast<std::int64_t>(u - v);
    case ExprOp::mul: return static_cast<std::int64_t>(u * v);
    case ExprOp::div: return divide(a, b, is_unsigned);
    case ExprOp::mod: return modulo(a, b, is_unsigned);
    case ExprOp::fmod: return remainder(a, b, is_unsigned);
    case ExprOp::shift_left: case ExprOp::shift_right: return shift(op, a, b);
    case ExprOp::pow: return power(a, b);
    case ExprOp::min: return less ? a : b;
    case ExprOp::max: return less ? b : a;
    case ExprOp::equal: return a == b;
    case ExprOp::less: return less;
    case ExprOp::less_equal: return less || a == b;
    case ExprOp::logical_and: case ExprOp::bit_and: return a & b;
    case ExprOp::logical_or: case ExprOp::bit_or: return a | b;
    case ExprOp::logical_xor: case ExprOp::bit_xor: return a ^ b;
    default:
      throw Error(ErrorCode::invalid_input,
                  "cannot evaluate '" + std::string(name(op)) + "' on integers: it is not defined there");
  }
}

// Truncates toward zero and saturates; NaN gives zero.
std::int64_t to_integer(double x, DType type) {
  std::byte bytes[8];
  const double whole = std::isnan(x) ? 0 : std::trunc(x);
  store_double(type, bytes, 0, whole);
  if (type == DType::i64 || type == DType::u64) {
    std::int64_t out;
    std::copy_n(bytes, 8, reinterpret_cast<std::byte*>(&out));
    return out;
  }
  return static_cast<std::int64_t>(load_double(type, bytes, 0));
}

template <class To, class From>
To convert(From x, DType from, DType to) {
  if constexpr (std::is_integral_v<To>) {
    if (to == DType::boolean) return x != From(0) ? 1 : 0;
    if constexpr (std::is_integral_v<From>) return x;
    return to_integer(static_cast<double>(x), to);
  } else {
    if constexpr (std::is_integral_v<From>)
      if (from == DType::u64) return static_cast<To>(static_cast<std::uint64_t>(x));
    return static_cast<To>(x);
  }
}

// How one operand is read over the output: contiguous, one value, or by a table of offsets.
struct Source {
  const Array* array;
  bool contiguous;
  std::vector<std::int64_t> at;
};

std::vector<Source> sources_of(const Inputs& in, const Shape& shape) {
  std::vector<Source> out;
  for (const ArrayRef& input : in) {
    const bool contiguous = element_count(input->type.shape) == element_count(shape);
    const bool scalar = element_count(input->type.shape) == 1;
    out.push_back({input.get(), contiguous, {}});
    if (!contiguous && !scalar) out.back().at = offsets(shape, broadcast_strides(input->type.shape, shape));
  }
  return out;
}

class Evaluator {
 public:
  Evaluator(const Expr& expr, const std::vector<Source>& sources, Arithmetic arithmetic)
      : expr_(expr), sources_(sources), arithmetic_(arithmetic) {
    for (const ExprNode& node : expr.nodes)
      lanes_.push_back(make_elements(node.type, arithmetic, static_cast<std::size_t>(kRun)));
  }

  void run(std::int64_t begin, std::int64_t count) {
    for (std::size_t i = 0; i < expr_.nodes.size(); ++i)
      std::visit([&](auto& out) { node(expr_.nodes[i], out, begin, static_cast<std::size_t>(count)); }, lanes_[i]);
  }

  [[nodiscard]] const Lane& lane(std::int32_t node) const { return lanes_[static_cast<std::size_t>(node)]; }

 private:
  template <class T>
  const std::vector<T>& argument(const ExprNode& node, std::size_t i) const {
    return std::get<std::vector<T>>(lanes_[static_cast<std::size_t>(node.args[i])]);
  }

  template <class T>
  void node(const ExprNode& node, std::vector<T>& out, std::int64_t begin, std::size_t count) {
    if (node.op == ExprOp::operand) return read(sources_[static_cast<std::size_t>(node.operand)], out, begin, count);
    if (node.op == ExprOp::constant) {
      std::fill_n(out.begin(), count,
                  is_integer(node.type) ? static_cast<T>(node.integer) : static_cast<T>(node.value));
    } else if (node.op == ExprOp::cast) {
      cast(node, out, count);
    } else if (node.op == ExprOp::select) {
      const auto& condition = argument<std::int64_t>(node, 0);
      const auto &yes = argument<T>(node, 1), &no = argument<T>(node, 2);
      for (std::size_t i = 0; i < count; ++i) out[i] = condition[i] != 0 ? yes[i] : no[i];
    } else if (arity(node.op) == 1) {
      unary(node, out, count);
    } else {
      binary(node, out, count);
    }
    round_to(node.type, arithmetic_, out.data(), count);
  }

  template <class T>
  void read(const Source& source, std::vector<T>& out, std::int64_t begin, std::size_t count) {
    const std::vector<T>& from = source.array->as<T>();
    if (source.contiguous) {
      std::copy_n(from.begin() + begin, count, out.begin());
    } else if (source.at.empty()) {
      std::fill_n(out.begin(), count, from[0]);
    } else {
      for (std::size_t i = 0; i < count; ++i)
        out[i] = from[static_cast<std::size_t>(source.at[static_cast<std::size_t>(begin) + i])];
    }
  }

  template <class T>
  void cast(const ExprNode& node, std::vector<T>& out, std::size_t count) {
    const DType from = expr_.nodes[static_cast<std::size_t>(node.args[0])].type;
    std::visit(
        [&](const auto& x) {
          for (std::size_t i = 0; i < count; ++i) out[i] = convert<T>(x[i], from, node.type);
        },
        lanes_[static_cast<std::size_t>(node.args[0])]);
  }

  template <class T>
  void unary(const ExprNode& node, std::vector<T>& out, std::size_t count) {
    const auto& x = argument<T>(node, 0);
    if constexpr (std::is_integral_v<T>) {
      for (std::size_t i = 0; i < count; ++i) out[i] = unary_integer(node.op, x[i]);
    } else {
      for (std::size_t i = 0; i < count; ++i) out[i] = unary_float(node.op, x[i]);
    }
  }

  template <class T>
  void binary(const ExprNode& node, std::vector<T>& out, std::size_t count) {
    const DType type = expr_.nodes[static_cast<std::size_t>(node.args[0])].type;
    if constexpr (std::is_integral_v<T>) {
      if (is_float(type))
        return std::visit([&](const auto& a) { compare(node, a, out, count); },
                          lanes_[static_cast<std::size_t>(node.args[0])]);
      const auto &a = argument<T>(node, 0), &b = argument<T>(node, 1);
      for (std::size_t i = 0; i < count; ++i) out[i] = binary_integer(node.op, a[i], b[i], type == DType::u64);
    } else {
      const auto &a = argument<T>(node, 0), &b = argument<T>(node, 1);
      for (std::size_t i = 0; i < count; ++i) out[i] = binary_float(node.op, a[i], b[i]);
    }
  }

  template <class T>
  void compare(const ExprNode& node, const std::vector<T>& a, std::vector<std::int64_t>& out, std::size_t count) {
    const auto& b = argument<T>(node, 1);
    for (std::size_t i = 0; i < count; ++i)
      out[i] = node.op == ExprOp::equal ? a[i] == b[i] : node.op == ExprOp::less ? a[i] < b[i] : a[i] <= b[i];
  }

  const Expr& expr_;
  const std::vector<Source>& sources_;
  Arithmetic arithmetic_;
  std::vector<Lane> lanes_;
};

}  // namespace

std::vector<Array> run(const Pointwise& op, const Inputs& in, const std::vector<TensorType>& out,
                       const Context& context) {
  const Shape& shape = out[0].shape;
  const std::int64_t count = element_count(shape);
  std::vector<Array> results;
  for (const TensorType& type : out)
    results.push_back({type, make_elements(type.dtype, context.arithmetic, static_cast<std::size_t>(count))});
  if (count == 0) return results;
  const std::vector<Source> sources = sources_of(in, shape);
  parallel(context, count, 64 * kRun, [&](std::int64_t begin, std::int64_t end) {
    Evaluator evaluator(op.expr, sources, context.arithmetic);
    for (std::int64_t at = begin; at < end; at += kRun) {
      const std::int64_t length = std::min(kRun, end - at);
      evaluator.run(at, length);
      for (std::size_t r = 0; r < results.size(); ++r)
        std::visit(
            [&](auto& to) {
              std::copy_n(std::get<std::decay_t<decltype(to)>>(evaluator.lane(op.expr.results[r])).begin(), length,
                          to.begin() + at);
            },
            results[r].elements);
    }
  });
  return results;
}

}  // namespace kiln::graph::interpreter
