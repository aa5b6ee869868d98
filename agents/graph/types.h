// Element types, shapes and dense tensors: the vocabulary of the op graph.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace kiln::graph {

// The 8-bit floats are carried and cast, nothing else. fn: no infinities; uz: no negative zero, whose bits are the NaN.
enum class DType : std::uint8_t {
  f64, f32, f16, bf16, f8e4m3fn, f8e4m3fnuz, f8e5m2, f8e5m2fnuz, i64, i32, i16, i8, u64, u32, u16, u8, boolean
};

[[nodiscard]] std::string_view name(DType type);  // "f32", "bool", ...
[[nodiscard]] DType dtype_from_name(std::string_view text);  // throws Error(invalid_input)
[[nodiscard]] std::size_t size_of(DType type);    // bytes per element
[[nodiscard]] bool is_float(DType type);
[[nodiscard]] bool is_float8(DType type);
[[nodiscard]] bool is_integer(DType type);  // not boolean

// Extents, outermost first. Empty is a scalar. Always static: symbolic dimensions are bound at import.
using Shape = std::vector<std::int64_t>;

[[nodiscard]] std::int64_t element_count(const Shape& shape);  // throws Error(limit) past 2^40
[[nodiscard]] std::string to_string(const Shape& shape);       // "[2, 3]"
[[nodiscard]] std::vector<std::int64_t> row_major_strides(const Shape& shape);  // in elements
// NumPy broadcasting; throws Error(invalid_input) when the shapes do not fit.
[[nodiscard]] Shape broadcast(const Shape& a, const Shape& b);

struct TensorType {
  DType dtype = DType::f32;
  Shape shape;
  friend bool operator==(const TensorType&, const TensorType&) = default;
};

// Dense, row-major, owned.
struct Tensor {
  TensorType type;
  std::vector<std::byte> bytes;

  static Tensor zeros(TensorType type);
  [[nodiscard]] std::int64_t count() const { return element_count(type.shape); }
  template <class T>
  [[nodiscard]] std::span<T> as() {
    return {reinterpret_cast<T*>(bytes.data()), bytes.size() / sizeof(T)};
  }
  template <class T>
  [[nodiscard]] std::span<const T> as() const {
    return {reinterpret_cast<const T*>(bytes.data()), bytes.size() / sizeof(T)};
  }
};

// Element `index` of a tensor's bytes widened to double, and back with rounding to nearest even (saturating for
// integers and 8-bit floats).
[[nodiscard]] double load_double(DType type, const std::byte* base, std::int64_t index);
void store_double(DType type, std::byte* base, std::int64_t index, double value);

}  // namespace kiln::graph
