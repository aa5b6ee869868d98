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

// A sum of float32 numbers: what each addition rounds off is added up beside it, so that the error does not grow with
// the number of terms (Knuth, "The Art of Computer Programming", volume 2, section 4.2.2, theorem B; Ogita, Rump and
// Oishi, "Accurate sum and dot product", 2005).
struct Compensated {
  f32 sum, lost;
};
KILN_DEVICE Compensated added(Compensated a, Compensated b) {
  const f32 sum = rounded_sum(a.sum, b.sum), of_b = rounded_sum(sum, -a.sum), of_a = rounded_sum(sum, -of_b);
  return {sum, a.lost + b.lost + rounded_sum(rounded_sum(a.sum, -of_a), rounded_sum(b.sum, -of_b))};
}
// What is lost of an infinity is no number.
KILN_DEVICE f64 wide_sum(Compensated x) {
  return x.lost == x.lost ? static_cast<f64>(x.sum) + static_cast<f64>(x.lost) : static_cast<f64>(x.sum);
}
KILN_DEVICE f32 sum_of(Compensated x) { return x.lost == x.lost ? x.sum + x.lost : x.sum; }

struct Sum {
  template <class T>
  static KILN_DEVICE T identity() {
    return T(0);
  }
  template <class T>
  static KILN_DEVICE T of(T a, T b) {
    return a + b;
  }
  static KILN_DEVICE Compensated of(Compensated a, Compensated b) { return added(a, b); }
  static KILN_DEVICE Compensated of(Compensated a, f32 b) { return added(a, {b, 0}); }
};

// The sum of `count` numbers, a power of two, as a tree; what they were is lost.
template <int count>
KILN_DEVICE f32 tree_sum(f32 (&x)[count]) {
#pragma unroll
  for (int half = count / 2; half > 0; half /= 2)
#pragma unroll
    for (int i = 0; i < half; ++i) x[i] += x[i + half];
  return x[0];
}

// Mean and variance of a row come out of one look at it: the sums of x - c and of (x - c)^2, where c, one value for the
// row, is like its elements, so that little cancels (Chan, Golub and LeVeque, "Algorithms for computing the sample
// variance", 1983, shifted data). The middle one of three elements is no outlier where two of them are none. It has no
// digit below 2^-8 of the largest of the three: what x - c loses of digits of c would be the same for every x, and no
// sum of many evens out what errs to one side.
KILN_DEVICE f32 shift_of(f32 a, f32 b, f32 c) {
  const f32 middle = op_max(op_min(a, b), op_min(op_max(a, b), c));
  const f32 most = op_max(op_max(op_abs(a), op_abs(b)), op_abs(c));
  const f32 coarse = 0x1.8p15f * bit_copy<f32>(bit_copy<u32>(most) & 0x7f800000u);  // whose last digit is that
  const f32 shift = rounded_sum(rounded_sum(middle, coarse), -coarse);
  return shift - shift == 0 ? shift : 0;  // 0 for an infinity or a NaN
}
// Of a row of `count` elements: the sum of x, and that of the squares of x - mean.
KILN_DEVICE f32 shifted_sum(Compensated first, f32 shift, f64 count) {
  return static_cast<f32>(wide_sum(first) + static_cast<f64>(shift) * count);
}
KILN_DEVICE f32 centred_squares(Compensated first, Compensated second, f64 count) {
  const f64 sum = wide_sum(first);
  return static_cast<f32>(op_max(wide_sum(second) - sum * (sum / count), 0.0));
}
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
// Each thread gets what `count` slots, a power of two up to 32, `stride` apart, have together: every lane takes one of
// them, and the lanes combine as those of a warp do. All threads of the warp take part.
template <int count, class Pass>
KILN_DEVICE void share_slots(Pass& part, const Slot* slots, int thread, int stride) {
  part.take_slots(slots + thread % count * stride, 1, stride);
  part.template reduce_warp<count>();
}
