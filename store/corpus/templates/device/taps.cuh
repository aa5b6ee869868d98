// Which taps of a convolution's window meet a result, along one dimension. A result is q * results + phase: with a
// transposed convolution of stride s the results of one phase, s apart, meet the same taps, and `results` is s; else
// there is one phase, and `results` is 1. Tap first + j * step, for j < count, meets element q * along + base + j *
// next of x (Dumoulin and Visin, "A guide to convolution arithmetic for deep learning", 2016, section 4).

struct Taps {
  int first, step, count;
  int along, base, next;
  int results, phase;
};

KILN_DEVICE int common_divisor(int a, int b) {
  while (b != 0) {
    const int rest = a % b;
    a = b;
    b = rest;
  }
  return a;
}

template <bool transposed>
KILN_DEVICE Taps taps_of(int phase, int window, int stride, int dilation, int before) {
  if constexpr (!transposed) return {0, 1, window, stride, -before, dilation, 1, 0};
  const int common = common_divisor(stride, dilation), step = stride / common;
  int first = 0;
  while (first < step && (phase + before - first * dilation) % stride != 0) ++first;
  const int count = first < step && first < window ? (window - first + step - 1) / step : 0;
  return {first, step, count, 1, (phase + before - first * dilation) / stride, -(dilation / common), stride, phase};
}
