#include "agents/graph/types.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <limits>

#include "runtime/base/error.h"

namespace kiln::graph {
namespace {

struct DTypeRow {
  std::string_view name;
  std::size_t bytes;
};
// In the order of the enumeration.
constexpr std::array<DTypeRow, 17> kDTypes = {{{"f64", 8},
                                               {"f32", 4},
                                               {"f16", 2},
                                               {"bf16", 2},
                                               {"f8e4m3fn", 1},
                                               {"f8e4m3fnuz", 1},
                                               {"f8e5m2", 1},
                                               {"f8e5m2fnuz", 1},
                                               {"i64", 8},
                                               {"i32", 4},
                                               {"i16", 2},
                                               {"i8", 1},
                                               {"u64", 8},
                                               {"u32", 4},
                                               {"u16", 2},
                                               {"u8", 1},
                                               {"bool", 1}}};

constexpr std::int64_t kElementLimit = std::int64_t(1) << 40;

// Binary interchange formats of IEEE 754 with `mantissa` stored bits; rounds to nearest even in one step, since a
// detour over float would round twice.
std::uint16_t narrow(double value, int exponent_bits, int mantissa) {
  const int bias = (1 << (exponent_bits - 1)) - 1;
  const auto sign = static_cast<std::uint32_t>(std::signbit(value) ? 1u << (exponent_bits + mantissa) : 0u);
  const auto infinity = static_cast<std::uint32_t>((1u << exponent_bits) - 1u) << mantissa;
  if (std::isnan(value)) return static_cast<std::uint16_t>(sign | infinity | (1u << (mantissa - 1)));
  if (std::isinf(value)) return static_cast<std::uint16_t>(sign | infinity);
  if (value == 0) return static_cast<std::uint16_t>(sign);
  const int smallest = 1 - bias;
  const int exponent = std::max(std::ilogb(value), smallest);
  if (exponent > bias) return static_cast<std::uint16_t>(sign | infinity);
  // In units of the last place; a carry out of the mantissa runs into the exponent field, as it should.
  const auto units = static_cast<std::uint32_t>(std::nearbyint(std::ldexp(std::fabs(value), mantissa - exponent)));
  const std::uint32_t bits = (static_cast<std::uint32_t>(exponent - smallest) << mantissa) + units;
  return static_cast<std::uint16_t>(sign | std::min(bits, infinity));
}

double widen(std::uint16_t bits, int exponent_bits, int mantissa) {
  const int bias = (1 << (exponent_bits - 1)) - 1;
  const int field = (bits >> mantissa) & ((1 << exponent_bits) - 1);
  const int fraction = bits & ((1 << mantissa) - 1);
  const double sign = (bits >> (exponent_bits + mantissa)) != 0 ? -1.0 : 1.0;
  if (field == (1 << exponent_bits) - 1)
    return fraction != 0 ? std::numeric_limits<double>::quiet_NaN() : sign * std::numeric_limits<double>::infinity();
  if (field == 0) return sign * std::ldexp(fraction, 1 - bias - mantissa);
  return sign * std::ldexp(fraction + (1 << mantissa), field - bias - mantissa);
}

// The formats of Micikevicius et al., "FP8 formats for deep learning", 2022, and of Noune et al., "8-bit numerical
// formats for deep neural networks", 2022 (uz). `top` is the encoding of the largest number.
struct Float8 {
  int mantissa, bias;
  std::uint8_t top, nan;
  bool unsigned_zero;
};

Float8 float8(DType type) {
  switch (type) {
    case DType::f8e4m3fn: return {3, 7, 0x7e, 0x7f, false};
    case DType::f8e4m3fnuz: return {3, 8, 0x7f, 0x80, true};
    case DType::f8e5m2: return {2, 15, 0x7b, 0x7f, false};
    default: return {2, 16, 0x7f, 0x80, true};
  }
}

double widen8(std::uint8_t bits, DType type) {
  const Float8 f = float8(type);
  const int magnitude = bits & 0x7f;
  const double sign = bits > 0x7f ? -1.0 : 1.0;
  if (f.unsigned_zero ? bits == f.nan : magnitude > f.top)
    return type == DType::f8e5m2 && magnitude == 0x7c ? sign * std::numeric_limits<double>::infinity()
                                                      : std::numeric_limits<double>::quiet_NaN();
  const int field = magnitude >> f.mantissa, fraction = magnitude & ((1 << f.mantissa) - 1);
  if (field == 0) return sign * std::ldexp(fraction, 1 - f.bias - f.mantissa);
  return sign * std::ldexp(fraction + (1 << f.mantissa), field - f.bias - f.mantissa);
}

// As the ONNX operator Cast with saturate = 1: beyond the largest number is that number; infinity is too, but for uz a
// NaN.
std::uint8_t narrow8(double value, DType type) {
  const Float8 f = float8(type);
  const bool negative = std::signbit(value);
  const auto with_sign = [&](std::uint32_t magnitude) {
    if (magnitude == 0 && f.unsigned_zero) return std::uint8_t(0);
    return static_cast<std::uint8_t>(magnitude | (negative ? 0x80u : 0u));
  };
  if (std::isnan(value) || (std::isinf(value) && f.unsigned_zero)) return f.unsigned_zero ? f.nan : with_sign(f.nan);
  if (std::fabs(value) >= widen8(f.top, type)) return with_sign(f.top);
  if (value == 0) return with_sign(0);
  const int smallest = 1 - f.bias;
  const int exponent = std::max(std::ilogb(value), smallest);
  const auto units = static_cast<std::uint32_t>(std::nearbyint(std::ldexp(std::fabs(value), f.mantissa - exponent)));
  const std::uint32_t magnitude = (static_cast<std::uint32_t>(exponent - smallest) << f.mantissa) + units;
  return with_sign(std::min<std::uint32_t>(magnitude, f.top));
}

template <class T>
T load(const std::byte* base, std::int64_t index) {
  T value;
  std::memcpy(&value, base + static_cast<std::size_t>(index) * sizeof(T), sizeof(T));
  return value;
}

template <class T>
void store(std::byte* base, std::int64_t index, T value) {
  std::memcpy(base + static_cast<std::size_t>(index) * sizeof(T), &value, sizeof(T));
}

template <class T>
T saturate(double value) {
  if (std::isnan(value)) return 0;
  const double rounded = std::nearbyint(value);
  // 2^63 is no int64_t although the double nearest to its maximum is; hence >=.
  if (rounded >= static_cast<double>(std::numeric_limits<T>::max())) return std::numeric_limits<T>::max();
  if (rounded <= static_cast<double>(std::numeric_limits<T>::min())) return std::numeric_limits<T>::min();
  return static_cast<T>(rounded);
}

}  // namespace

std::string_view name(DType type) { return kDTypes[static_cast<std::size_t>(type)].name; }

DType dtype_from_name(std::string_view text) {
  for (std::size_t i = 0; i < kDTypes.size(); ++i)
    if (kDTypes[i].name == text) return static_cast<DType>(i);
  throw Error(ErrorCode::invalid_input,
              "cannot read the element type '" + std::string(text) + "': there is none of that name");
}

std::size_t size_of(DType type) { return kDTypes[static_cast<std::size_t>(type)].bytes; }
bool is_float(DType type) { return type <= DType::f8e5m2fnuz; }
bool is_float8(DType type) { return type >= DType::f8e4m3fn && type <= DType::f8e5m2fnuz; }
bool is_integer(DType type) { return type > DType::f8e5m2fnuz && type < DType::boolean; }

std::int64_t element_count(const Shape& shape) {
  std::int64_t count = 1;
  bool empty = false;
  for (const std::int64_t extent : shape) {
    if (extent < 0)
      throw Error(ErrorCode::invalid_input, "cannot use the shape " + to_string(shape) + ": an extent is negative");
    if (extent == 0) {
      empty = true;
    } else if (extent > kElementLimit / count) {
      throw Error(ErrorCode::limit, "cannot use the shape " + to_string(shape) + ": it has more than 2^40 elements");
    } else {
      count *= extent;
    }
  }
  return empty ? 0 : count;
}

std::string to_string(const Shape& shape) {
  std::string text = "[";
  for (std::size_t i = 0; i < shape.size(); ++i) text += (i == 0 ? "" : ", ") + std::to_string(shape[i]);
  return text + "]";
}

std::vector<std::int64_t> row_major_strides(const Shape& shape) {
  std::vector<std::int64_t> strides(shape.size(), 1);
  for (std::size_t i = shape.size(); i-- > 1;) strides[i - 1] = strides[i] * std::max<std::int64_t>(shape[i], 1);
  return strides;
}

Shape broadcast(const Shape& a, const Shape& b) {
  const std::size_t rank = std::max(a.size(), b.size());
  Shape out(rank, 1);
  for (std::size_t i = 0; i < rank; ++i) {
    const std::int64_t x = i < a.size() ? a[a.size() - 1 - i] : 1;
    const std::int64_t y = i < b.size() ? b[b.size() - 1 - i] : 1;
    if (x != y && x != 1 && y != 1)
      throw Error(ErrorCode::invalid_input, "cannot broadcast " + to_string(a) + " with " + to_string(b) +
                                                ": extents " + std::to_string(x) + " and " + std::to_string(y) +
                                                " differ");
    out[rank - 1 - i] = x == 1 ? y : x;
  }
  return out;
}

Tensor Tensor::zeros(TensorType type) {
  const auto bytes = static_cast<std::size_t>(element_count(type.shape)) * size_of(type.dtype);
  return {std::move(type), std::vector<std::byte>(bytes)};
}

double load_double(DType type, const std::byte* base, std::int64_t index) {
  switch (type) {
    case DType::f64: return load<double>(base, index);
    case DType::f32: return static_cast<double>(load<float>(base, index));
    case DType::f16: return widen(load<std::uint16_t>(base, index), 5, 10);
    case DType::bf16: return widen(load<std::uint16_t>(base, index), 8, 7);
    case DType::f8e4m3fn: case DType::f8e4m3fnuz: case DType::f8e5m2: case DType::f8e5m2fnuz:
      return widen8(load<std::uint8_t>(base, index), type);
    case DType::i64: return static_cast<double>(load<std::int64_t>(base, index));
    case DType::i32: return load<std::int32_t>(base, index);
    case DType::i16: return load<std::int16_t>(base, index);
    case DType::i8: return load<std::int8_t>(base, index);
    case DType::u64: return static_cast<double>(load<std::uint64_t>(base, index));
    case DType::u32: return load<std::uint32_t>(base, index);
    case DType::u16: return load<std::uint16_t>(base, index);
    case DType::u8: return load<std::uint8_t>(base, index);
    case DType::boolean: return load<std::uint8_t>(base, index) != 0 ? 1 : 0;
  }
  return 0;
}

void store_double(DType type, std::byte* base, std::int64_t index, double value) {
  switch (type) {
    case DType::f64: return store(base, index, value);
    case DType::f32: return store(base, index, static_cast<float>(value));
    case DType::f16: return store(base, index, narrow(value, 5, 10));
    case DType::bf16: return store(base, index, narrow(value, 8, 7));
    case DType::f8e4m3fn: case DType::f8e4m3fnuz: case DType::f8e5m2: case DType::f8e5m2fnuz:
      return store(base, index, narrow8(value, type));
    case DType::i64: return store(base, index, saturate<std::int64_t>(value));
    case DType::i32: return store(base, index, saturate<std::int32_t>(value));
    case DType::i16: return store(base, index, saturate<std::int16_t>(value));
    case DType::i8: return store(base, index, saturate<std::int8_t>(value));
    case DType::u64: return store(base, index, saturate<std::uint64_t>(value));
    case DType::u32: return store(base, index, saturate<std::uint32_t>(value));
    case DType::u16: return store(base, index, saturate<std::uint16_t>(value));
    case DType::u8: return store(base, index, saturate<std::uint8_t>(value));
    case DType::boolean: return store(base, index, static_cast<std::uint8_t>(value != 0 ? 1 : 0));
  }
}

}  // namespace kiln::graph
