#pragma once
// Values of test inputs as functions of (key, index): each element is drawn by itself, and has the same bits whoever
// draws it. Read by the host's compiler (daemon/worker/inputs.cpp) and, as part of the text of the oracle's kernels, by
// that of a GPU; hence nothing but what IEEE 754 defines to the last bit (additions, multiplications, divisions, square
// roots, conversions), compiled without contraction, in place of two libraries' logarithms that differ in the last one.
#ifndef KILN_DEVICE  // the host: kernels have it from their prelude
#include <cmath>
#define KILN_DEVICE inline
#endif

namespace kiln::targets::draw {

using Word = unsigned long long;

// The output function of SplitMix64 (runtime/base/random.h), and what its state advances by.
KILN_DEVICE Word mixed(Word z) {
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
  return z ^ (z >> 31);
}
constexpr Word kStep = 0x9e3779b97f4a7c15ull;

// Words of one element: those of SplitMix64's sequence from `key` that begin at 4 * index, whoever drew before.
class Words {
 public:
  KILN_DEVICE Words(Word key, Word index) : state_(key + 4 * index * kStep) {}
  KILN_DEVICE Word next() { return mixed(state_ += kStep); }
  // 0 <= result < 1, 53 bits.
  KILN_DEVICE double unit() { return static_cast<double>(next() >> 11) * 0x1p-53; }
  KILN_DEVICE long long integer(long long low, long long high) {
    return low + static_cast<long long>(next() % static_cast<Word>(high - low + 1));
  }

 private:
  Word state_;
};

// c0 + c1 x + c2 x^2 + ..., by Horner's rule.
KILN_DEVICE double polynomial(double, double c) { return c; }
template <class... More>
KILN_DEVICE double polynomial(double x, double c, More... more) {
  return c + x * polynomial(x, more...);
}

// Natural logarithm of 0 < x <= 1, to some units in the last place: x = m 2^e with m near 1, and
// log m = 2 artanh((m - 1) / (m + 1)) by its series (Abramowitz and Stegun 4.1.27), whose argument is below 0.172.
KILN_DEVICE double logarithm(double x) {
  double exponent = 0;
  for (; x < 0x1p-16; x *= 0x1p+16) exponent -= 16;
  for (; x < 0.70710678118654752; x *= 2) exponent -= 1;
  const double s = (x - 1) / (x + 1);
  return exponent * 0.69314718055994531 +
         2 * s * polynomial(s * s, 1.0, 1.0 / 3, 1.0 / 5, 1.0 / 7, 1.0 / 9, 1.0 / 11, 1.0 / 13, 1.0 / 15, 1.0 / 17,
                            1.0 / 19, 1.0 / 21, 1.0 / 23);
}

// e^x for 0 <= x <= 25: its series (4.2.1) at x / 64, squared six times.
KILN_DEVICE double exponential_of(double x) {
  double value = polynomial(x * 0x1p-6, 1.0, 1.0, 1.0 / 2, 1.0 / 6, 1.0 / 24, 1.0 / 120, 1.0 / 720, 1.0 / 5040,
                            1.0 / 40320, 1.0 / 362880, 1.0 / 3628800, 1.0 / 39916800, 1.0 / 479001600,
                            1.0 / 6227020800, 1.0 / 87178291200);
  for (int n = 0; n < 6; ++n) value *= value;
  return value;
}

// cos(2 pi turns) for 0 <= turns < 1: by symmetry cos or sin of at most pi / 4, and their series (4.3.65, 4.3.66).
KILN_DEVICE double cosine_of_turns(double turns) {
  const int quarter = static_cast<int>(turns * 4 + 0.5);
  const double x = (turns * 4 - quarter) * 1.57079632679489662;
  const double value = quarter % 2 != 0
                           ? x * polynomial(x * x, 1.0, -1.0 / 6, 1.0 / 120, -1.0 / 5040, 1.0 / 362880, -1.0 / 39916800,
                                            1.0 / 6227020800, -1.0 / 1307674368000, 1.0 / 355687428096000)
                           : polynomial(x * x, 1.0, -1.0 / 2, 1.0 / 24, -1.0 / 720, 1.0 / 40320, -1.0 / 3628800,
                                        1.0 / 479001600, -1.0 / 87178291200, 1.0 / 20922789888000);
  return quarter == 1 || quarter == 2 ? -value : value;
}

// Families of floating-point values; daemon/worker/inputs.h says what each is.
enum Family : long long {
  family_normal, family_uniform, family_shifted, family_heavy_tail, family_integers, family_zeros, family_denormals,
  family_amplified
};

// Box and Muller (1958).
KILN_DEVICE double normal(Words& words) {
  const double radius = sqrt(-2 * logarithm(1 - words.unit()));
  return radius * cosine_of_turns(words.unit());
}

KILN_DEVICE double heavy_tail(Words& words) {
  const double magnitude = exponential_of(logarithm(1 - words.unit()) * (-1 / 1.5)) - 1;  // Pareto's, by inversion
  const double capped = magnitude < 1e4 ? magnitude : 1e4;
  return words.integer(0, 1) == 0 ? capped : -capped;
}

// Beyond what e^x holds in float32 (88.7) for one element in six.
constexpr double kAmplification = 64;

// One element. `tiny`: the scale of denormals.
KILN_DEVICE double drawn(Words words, long long family, double tiny) {
  switch (family) {
    case family_uniform: return words.unit();
    case family_shifted: return normal(words) + 4;
    case family_heavy_tail: return heavy_tail(words);
    case family_integers: return static_cast<double>(words.integer(-4, 4));
    case family_zeros: return words.integer(0, 63) == 0 ? normal(words) : 0.0;
    case family_denormals: return normal(words) * tiny;
    case family_amplified: return normal(words) * kAmplification;
    default: return normal(words);
  }
}

// One index, or truth: one in four from the ends of the range and from where an index begins to count from the other
// end. What treats these apart is wrong there first, and few draws of a long axis are.
KILN_DEVICE long long drawn_index(Words words, long long low, long long high) {
  if (words.integer(0, 3) != 0) return words.integer(low, high);
  const long long end = words.integer(0, 3), inner = end == 2 ? -1 : 0;
  if (end == 0) return low;
  if (end == 1) return high;
  return inner < low ? low : inner > high ? high : inner;
}

}  // namespace kiln::targets::draw
