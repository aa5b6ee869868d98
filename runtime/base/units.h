// Quantities with a unit. Plain 64-bit numbers inside; mixing them does not compile.
#pragma once

#include <compare>
#include <cstdint>

namespace kiln {

template <class Tag>
struct Quantity {
  std::int64_t value = 0;

  friend constexpr auto operator<=>(Quantity, Quantity) = default;
  friend constexpr Quantity operator+(Quantity a, Quantity b) { return {a.value + b.value}; }
  friend constexpr Quantity operator-(Quantity a, Quantity b) { return {a.value - b.value}; }
  constexpr Quantity& operator+=(Quantity other) {
    value += other.value;
    return *this;
  }
};

using Nanos = Quantity<struct NanosTag>;  // durations and monotonic times, nanoseconds
using Bytes = Quantity<struct BytesTag>;

[[nodiscard]] constexpr double seconds(Nanos t) { return static_cast<double>(t.value) * 1e-9; }

}  // namespace kiln
