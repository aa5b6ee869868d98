#include "agents/graph/interpreter/array.h"

#include <algorithm>
#include <cstring>

#include "runtime/base/parallel.h"

namespace kiln::graph::interpreter {
namespace {

std::int64_t load_integer(DType type, const std::byte* base, std::size_t index) {
  const auto read = [&](auto zero) {
    std::memcpy(&zero, base + index * sizeof zero, sizeof zero);
    return static_cast<std::int64_t>(zero);
  };
  switch (type) {
    case DType::i64: return read(std::int64_t{});
    case DType::i32: return read(std::int32_t{});
    case DType::i16: return read(std::int16_t{});
    case DType::i8: return read(std::int8_t{});
    case DType::u64: return read(std::uint64_t{});
    case DType::u32: return read(std::uint32_t{});
    case DType::u16: return read(std::uint16_t{});
    case DType::boolean: return read(std::uint8_t{}) != 0 ? 1 : 0;
    default: return read(std::uint8_t{});
  }
}

std::int64_t wrap(DType type, std::int64_t value) {
  switch (type) {
    case DType::i32: return static_cast<std::int32_t>(value);
    case DType::i16: return static_cast<std::int16_t>(value);
    case DType::i8: return static_cast<std::int8_t>(value);
    case DType::u32: return static_cast<std::uint32_t>(value);
    case DType::u16: return static_cast<std::uint16_t>(value);
    case DType::u8: return static_cast<std::uint8_t>(value);
    default: return value;
  }
}

}  // namespace

Elements make_elements(DType type, Arithmetic arithmetic, std::size_t count) {
  if (!is_float(type)) return std::vector<std::int64_t>(count);
  if (arithmetic == Arithmetic::fp64 || type == DType::f64) return std::vector<double>(count);
  return std::vector<float>(count);
}

Array from_bytes(const TensorType& type, const std::byte* bytes, Arithmetic arithmetic) {
  const auto count = static_cast<std::size_t>(element_count(type.shape));
  Array array{type, make_elements(type.dtype, arithmetic, count)};
  if (auto* integers = std::get_if<std::vector<std::int64_t>>(&array.elements)) {
    for (std::size_t i = 0; i < count; ++i) (*integers)[i] = load_integer(type.dtype, bytes, i);
    return array;
  }
  std::visit(
      [&](auto& out) {
        using T = typename std::decay_t<decltype(out)>::value_type;
        if (type.dtype == DType::f32) {
          for (std::size_t i = 0; i < count; ++i) {
            float value;
            std::memcpy(&value, bytes + i * sizeof value, sizeof value);
            out[i] = static_cast<T>(value);
          }
        } else {
          for (std::size_t i = 0; i < count; ++i)
            out[i] = static_cast<T>(load_double(type.dtype, bytes, static_cast<std::int64_t>(i)));
        }
      },
      array.elements);
  return array;
}

Tensor to_tensor(const Array& array) {
  TensorType type = array.type;
  if (std::holds_alternative<std::vector<double>>(array.elements)) type.dtype = DType::f64;
  Tensor out = Tensor::zeros(type);
  std::visit(
      [&](const auto& from) {
        using T = typename std::decay_t<decltype(from)>::value_type;
        if (size_of(type.dtype) == sizeof(T) && (is_float(type.dtype) == std::is_floating_point_v<T>)) {
          if (!from.empty()) std::memcpy(out.bytes.data(), from.data(), from.size() * sizeof(T));
          return;
        }
        // Integers of narrower types are exact as doubles.
        for (std::size_t i = 0; i < from.size(); ++i)
          store_double(type.dtype, out.bytes.data(), static_cast<std::int64_t>(i), static_cast<double>(from[i]));
      },
      array.elements);
  return out;
}

void round_to(DType type, Arithmetic arithmetic, float* values, std::size_t count) {
  if (arithmetic == Arithmetic::fp64 || size_of(type) > 2) return;
  std::byte bits[2];
  for (std::size_t i = 0; i < count; ++i) {
    store_double(type, bits, 0, static_cast<double>(values[i]));
    values[i] = static_cast<float>(load_double(type, bits, 0));
  }
}

void round_to(DType, Arithmetic, double*, std::size_t) {}

void round_to(DType type, Arithmetic, std::int64_t* values, std::size_t count) {
  if (type == DType::i64 || type == DType::u64 || type == DType::boolean) return;
  for (std::size_t i = 0; i < count; ++i) values[i] = wrap(type, values[i]);
}

void parallel(const Context& context, std::int64_t count, std::int64_t grain,
              const std::function<void(std::int64_t, std::int64_t)>& body) {
  if (context.threads <= 1) return body(0, count);
  kiln::parallel(context.threads, count, grain, body);
}

std::vector<std::int64_t> offsets(const Shape& shape, const std::vector<std::int64_t>& strides, std::int64_t offset) {
  std::vector<std::int64_t> out(static_cast<std::size_t>(element_count(shape)));
  if (out.empty()) return out;
  Shape index(shape.size(), 0);
  std::int64_t at = offset;
  for (std::int64_t& entry : out) {
    entry = at;
    for (std::size_t d = shape.size(); d-- > 0;) {
      at += strides[d];
      if (++index[d] < shape[d]) break;
      at -= strides[d] * shape[d];
      index[d] = 0;
    }
  }
  return out;
}

std::vector<std::int64_t> broadcast_strides(const Shape& from, const Shape& to) {
  const auto own = row_major_strides(from);
  std::vector<std::int64_t> strides(to.size(), 0);
  for (std::size_t i = 0; i < from.size(); ++i)
    if (from[from.size() - 1 - i] != 1) strides[to.size() - 1 - i] = own[from.size() - 1 - i];
  return strides;
}

}  // namespace kiln::graph::interpreter
