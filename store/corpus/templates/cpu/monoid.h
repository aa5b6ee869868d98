// What a running result of a line or a window begins with and becomes, by kMonoid. Integers wrap, as the graph's do.

template <class T>
inline T combined(T a, T b) {
  if constexpr (kMonoid == Monoid::max) return greatest(a, b);
  else if constexpr (kMonoid == Monoid::min) return least(a, b);
  else if constexpr (std::is_integral_v<T>)
    return kMonoid == Monoid::prod ? static_cast<T>(std::uint64_t(a) * std::uint64_t(b))
                                   : static_cast<T>(std::uint64_t(a) + std::uint64_t(b));
  else return kMonoid == Monoid::prod ? a * b : a + b;
}

template <class T>
inline bool is_nan(T x) {
  return x != x;
}

constexpr Value initial() {
  using Limits = std::numeric_limits<Value>;
  if (kMonoid == Monoid::max) return Limits::has_infinity ? -Limits::infinity() : Limits::lowest();
  if (kMonoid == Monoid::min) return Limits::has_infinity ? Limits::infinity() : Limits::max();
  return kMonoid == Monoid::prod ? Value(1) : Value(0);
}

