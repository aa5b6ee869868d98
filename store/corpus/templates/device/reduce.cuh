// Reductions over the threads that share a row. The order of the combinations depends on the geometry alone, so the
// result is the same in every run.

// What combines with any value to that value; lowest and highest are the ends of a type's range.
template <class T>
KILN_DEVICE T lowest() {
  if constexpr (is_float<T>::value)
    return -infinity<T>();
  else
    return Limits<T>::low;
}
template <class T>
KILN_DEVICE T highest() {
  if constexpr (is_float<T>::value)
    return infinity<T>();
  else
    return Limits<T>::high;
}

struct Sum {
  template <class T>
  static KILN_DEVICE T identity() {
    return T(0);
  }
  template <class T>
  static KILN_DEVICE T of(T a, T b) {
    return a + b;
  }
};
struct Product {
  template <class T>
  static KILN_DEVICE T identity() {
    return T(1);
  }
  template <class T>
  static KILN_DEVICE T of(T a, T b) {
    return a * b;
  }
};
struct Least {
  template <class T>
  static KILN_DEVICE T identity() {
    return highest<T>();
  }
  template <class T>
  static KILN_DEVICE T of(T a, T b) {
    return op_min(a, b);
  }
};
struct Greatest {
  template <class T>
  static KILN_DEVICE T identity() {
    return lowest<T>();
  }
  template <class T>
  static KILN_DEVICE T of(T a, T b) {
    return op_max(a, b);
  }
};

// The value of the lane whose number differs by `mask`, for any value of 4 or 8 bytes.
template <class T>
KILN_DEVICE T shuffle(T x, u32 mask) {
  if constexpr (sizeof(T) == 8) {
    Words2 w = bit_copy<Words2>(x);
    w.at[0] = shuffle_xor(w.at[0], mask);
    w.at[1] = shuffle_xor(w.at[1], mask);
    return bit_copy<T>(w);
  } else {
    return bit_copy<T>(shuffle_xor(bit_copy<u32>(x), mask));
  }
}

// Over `lanes` neighbouring lanes, a power of two up to 32; each of them gets the result.
template <class Operation, int lanes, class T>
KILN_DEVICE T reduce_lanes(T x) {
#pragma unroll
  for (int mask = lanes / 2; mask > 0; mask /= 2) x = Operation::of(x, shuffle(x, static_cast<u32>(mask)));
  return x;
}

// A slot of shared memory for one partial result.
using Slot = u64;
template <class T>
KILN_DEVICE void put(Slot* slot, T value) {
  *reinterpret_cast<T*>(slot) = value;
}
template <class T>
KILN_DEVICE T take(const Slot* slot) {
  return *reinterpret_cast<const T*>(slot);
}
// Over `count` slots that lie `stride` apart, in order.
template <class Operation, class T>
KILN_DEVICE T combine_slots(const Slot* slots, int count, int stride) {
  T x = take<T>(slots);
  for (int i = 1; i < count; ++i) x = Operation::of(x, take<T>(slots + i * stride));
  return x;
}
