// The monoids of reductions, windows and scans over a carrier's type. Private to agents/graph/interpreter.
#pragma once

#include <cstdint>
#include <limits>
#include <type_traits>

#include "agents/graph/graph.h"

namespace kiln::graph::interpreter {

template <class T>
T initial(Monoid monoid) {
  using Limit = std::numeric_limits<T>;
  switch (monoid) {
    case Monoid::max: return Limit::has_infinity ? -Limit::infinity() : Limit::lowest();
    case Monoid::min: return Limit::has_infinity ? Limit::infinity() : Limit::max();
    case Monoid::prod: return 1;
    default: return 0;
  }
}

// A NaN wins in max and min, as in NumPy, so that it cannot hide.
template <class T>
T combine(Monoid monoid, T a, T b) {
  switch (monoid) {
    case Monoid::max: return (b > a || b != b) ? b : a;
    case Monoid::min: return (b < a || b != b) ? b : a;
    case Monoid::prod:
      if constexpr (std::is_integral_v<T>)
        return static_cast<T>(static_cast<std::uint64_t>(a) * static_cast<std::uint64_t>(b));
      return a * b;
    default:
      if constexpr (std::is_integral_v<T>)
        return static_cast<T>(static_cast<std::uint64_t>(a) + static_cast<std::uint64_t>(b));
      return a + b;
  }
}

template <class T>
T finish(Monoid monoid, T value, std::size_t count) {
  if (monoid != Monoid::mean) return value;
  if constexpr (std::is_integral_v<T>) return count == 0 ? 0 : value / static_cast<T>(count);
  return value / static_cast<T>(count);
}

}  // namespace kiln::graph::interpreter
