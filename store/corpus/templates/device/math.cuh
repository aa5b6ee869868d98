// The scalar operations of expressions, op_<name> of the graph's ExprOp. Floats follow IEEE 754 with the accuracy of
// CUDA's own functions (at most 2 ulp: CUDA C++ Programming Guide, mathematical functions); integers wrap, and
// division by zero gives 0. fast_* serve values that are held in half precision, whose last place is far above their
// error.

template <class T>
struct is_float {
  static constexpr bool value = false;
};
template <>
struct is_float<f32> {
  static constexpr bool value = true;
};
template <>
struct is_float<f64> {
  static constexpr bool value = true;
};
template <class T>
struct Limits {  // of an integer
  static constexpr bool is_signed = static_cast<T>(-1) < static_cast<T>(0);
  static constexpr T low = is_signed ? static_cast<T>(static_cast<u64>(1) << (8 * sizeof(T) - 1)) : static_cast<T>(0);
  static constexpr T high = static_cast<T>(~low);
};

template <class T>
KILN_DEVICE T infinity() {
  if constexpr (sizeof(T) == 8)
    return bit_copy<T>(static_cast<u64>(0x7ff0000000000000ull));
  else
    return bit_copy<T>(static_cast<u32>(0x7f800000u));
}
template <class T>
KILN_DEVICE T not_a_number() {
  if constexpr (sizeof(T) == 8)
    return bit_copy<T>(static_cast<u64>(0x7ff8000000000000ull));
  else
    return bit_copy<T>(static_cast<u32>(0x7fc00000u));
}

// A float to an integer truncates and saturates, a NaN becomes 0.
template <class To, class From>
KILN_DEVICE To convert(From x) {
  if constexpr (is_float<From>::value && !is_float<To>::value) {
    if (!(x == x)) return 0;
    if (x <= static_cast<From>(Limits<To>::low)) return Limits<To>::low;
    if (x >= static_cast<From>(Limits<To>::high)) return Limits<To>::high;
  }
  return static_cast<To>(x);
}

// A function of CUDA's, op_<name>, in both widths.
#define KILN_FUNCTION(name, of_f32, of_f64)            \
  KILN_DEVICE f32 op_##name(f32 x) { return of_f32(x); } \
  KILN_DEVICE f64 op_##name(f64 x) { return of_f64(x); }
#define KILN_BINARY_FUNCTION(name, of_f32, of_f64)                 \
  KILN_DEVICE f32 op_##name(f32 x, f32 y) { return of_f32(x, y); } \
  KILN_DEVICE f64 op_##name(f64 x, f64 y) { return of_f64(x, y); }
KILN_FUNCTION(sqrt, sqrtf, sqrt)
KILN_FUNCTION(exp, expf, exp)
KILN_FUNCTION(log, logf, log)
KILN_FUNCTION(tanh, tanhf, tanh)
KILN_FUNCTION(erf, erff, erf)
KILN_FUNCTION(sin, sinf, sin)
KILN_FUNCTION(cos, cosf, cos)
KILN_FUNCTION(floor, floorf, floor)
KILN_FUNCTION(ceil, ceilf, ceil)
KILN_FUNCTION(round, rintf, rint)
KILN_FUNCTION(tan, tanf, tan)
KILN_FUNCTION(asin, asinf, asin)
KILN_FUNCTION(acos, acosf, acos)
KILN_FUNCTION(atan, atanf, atan)
KILN_FUNCTION(sinh, sinhf, sinh)
KILN_FUNCTION(cosh, coshf, cosh)
KILN_FUNCTION(asinh, asinhf, asinh)
KILN_FUNCTION(acosh, acoshf, acosh)
KILN_FUNCTION(atanh, atanhf, atanh)
KILN_FUNCTION(expm1, expm1f, expm1)
KILN_FUNCTION(log1p, log1pf, log1p)
KILN_BINARY_FUNCTION(pow, powf, pow)
KILN_BINARY_FUNCTION(fmod, fmodf, fmod)
#undef KILN_FUNCTION
#undef KILN_BINARY_FUNCTION

template <class T>
KILN_DEVICE T op_rsqrt(T x) {
  return T(1) / op_sqrt(x);
}
template <class T>
KILN_DEVICE T op_sigmoid(T x) {
  return T(1) / (T(1) + op_exp(-x));
}

// A NaN wins, as in the frameworks.
template <class T>
KILN_DEVICE T op_min(T a, T b) {
  return a != a || a < b ? a : b;
}
template <class T>
KILN_DEVICE T op_max(T a, T b) {
  return a != a || a > b ? a : b;
}
#ifndef KILN_EMULATION  // one instruction instead of three (PTX ISA, "max", from sm_80 on)
KILN_DEVICE f32 op_min(f32 a, f32 b) {
  f32 least;
  asm("min.NaN.f32 %0, %1, %2;" : "=f"(least) : "f"(a), "f"(b));
  return least;
}
KILN_DEVICE f32 op_max(f32 a, f32 b) {
  f32 greatest;
  asm("max.NaN.f32 %0, %1, %2;" : "=f"(greatest) : "f"(a), "f"(b));
  return greatest;
}
#endif
template <class T>
KILN_DEVICE T op_abs(T x) {
  return x < T(0) ? static_cast<T>(-x) : x == T(0) ? T(0) : x;
}
template <class T>
KILN_DEVICE T op_sign(T x) {
  return x != x ? x : static_cast<T>((x > T(0)) - (x < T(0)));
}

template <class T>
KILN_DEVICE T op_div(T a, T b) {
  if constexpr (!is_float<T>::value) {
    if (b == 0) return 0;
    if constexpr (Limits<T>::is_signed)
      if (b == -1) return static_cast<T>(0 - static_cast<u64>(a));
  }
  return static_cast<T>(a / b);
}
// y, by which many x are divided: scaled by a power of two, so that it and its reciprocal, which is divided once, are
// normal numbers unless y is 0 or no number. What the scale loses of x, the quotient has not.
struct Divisor {
  f32 scale, scaled, reciprocal;
};
KILN_DEVICE Divisor divisor_of(f32 y) {
  const f32 scale = op_abs(y) < 0x1p-126f ? 0x1p64f : op_abs(y) > 0x1p126f ? 0x1p-64f : 1.0f;
  return {scale, y * scale, 1.0f / (y * scale)};
}
// x / y without a branch: rounded as the quotient is (Markstein, "Computation of elementary functions on the IBM RISC
// System/6000 processor", 1990) where everything is a normal number. Where it is not, the correction is no number, and
// the product with the reciprocal is the infinity, zero or NaN that the quotient is.
KILN_DEVICE f32 divided(f32 x, const Divisor& y) {
  const f32 scaled = x * y.scale, quotient = scaled * y.reciprocal;
  const f32 nearer = fused(fused(-quotient, y.scaled, scaled), y.reciprocal, quotient);
  return nearer == nearer ? nearer : quotient;
}
// The remainder with the sign of the divisor.
template <class T>
KILN_DEVICE T op_mod(T a, T b) {
  T r;
  if constexpr (is_float<T>::value) {
    r = op_fmod(a, b);
  } else {
    if (b == 0) return 0;
    if constexpr (Limits<T>::is_signed)
      if (b == -1) return 0;
    r = static_cast<T>(a % b);
  }
  return r != T(0) && ((r < T(0)) != (b < T(0))) ? static_cast<T>(r + b) : r;
}
// The remainder with the sign of the dividend.
template <class T>
KILN_DEVICE T integer_fmod(T a, T b) {
  if (b == 0) return 0;
  if constexpr (Limits<T>::is_signed)
    if (b == -1) return 0;
  return static_cast<T>(a % b);
}
// A shift by the width or more gives zero.
template <class T>
KILN_DEVICE T shifted_left(T x, T count) {
  return static_cast<u64>(count) >= 8 * sizeof(T) ? T(0)
                                                  : static_cast<T>(static_cast<u64>(x) << static_cast<u64>(count));
}
template <class T>
KILN_DEVICE T shifted_right(T x, T count) {
  return static_cast<u64>(count) >= 8 * sizeof(T) ? T(0) : static_cast<T>(x >> count);
}
template <class T>
KILN_DEVICE T integer_power(T base, T exponent) {
  if constexpr (Limits<T>::is_signed)
    if (exponent < 0) return base == 1 ? 1 : base == -1 ? (exponent % 2 == 0 ? 1 : -1) : 0;
  u64 result = 1, factor = static_cast<u64>(base);
  for (u64 e = static_cast<u64>(exponent); e != 0; e >>= 1, factor *= factor)
    if (e & 1) result *= factor;
  return static_cast<T>(result);
}

#ifndef KILN_EMULATION
KILN_DEVICE f32 fast_exp(f32 x) { return __expf(x); }
KILN_DEVICE f32 fast_log(f32 x) { return __logf(x); }
KILN_DEVICE f32 fast_div(f32 a, f32 b) { return __fdividef(a, b); }
KILN_DEVICE f32 fast_exp2(f32 x) {
  f32 power;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(power) : "f"(x));
  return power;
}
// a < b ? x : y, never by a branch: what neighbours compute overlaps.
KILN_DEVICE f32 fast_choice(f32 a, f32 b, f32 x, f32 y) {
  f32 chosen;
  asm("{\n  .reg .pred p;\n  setp.lt.f32 p, %1, %2;\n  selp.f32 %0, %3, %4, p;\n}"
      : "=f"(chosen)
      : "f"(a), "f"(b), "f"(x), "f"(y));
  return chosen;
}
KILN_DEVICE f32 fast_rsqrt(f32 x) { return rsqrtf(x); }
#endif
KILN_DEVICE f32 fast_sigmoid(f32 x) { return fast_div(1.0f, 1.0f + fast_exp(-x)); }
// 1 - 2^p(|x|), where p is log2(1 - erf) on 0 .. 4 but for 7e-8 of erf (least squares weighted towards the smallest
// largest error), and far below 0 from there on; near 0 the tangent, 2 / sqrt(pi) x, whose error is x^2 / 3 of it. A
// GELU in half precision is limited by its instructions rather than by memory, and erff takes a third more of them.
KILN_DEVICE f32 fast_erf(f32 x) {
  const f32 t = fabsf(x);
  f32 p = -4.535860352916643e-05f;
  p = fused(p, t, 4.4550769962370396e-04f);
  p = fused(p, t, -1.489441841840744e-03f);
  p = fused(p, t, -7.746292394585907e-04f);
  p = fused(p, t, 2.825368009507656e-02f);
  p = fused(p, t, -1.484816074371338e-01f);
  p = fused(p, t, -9.184163808822632e-01f);
  p = fused(p, t, -1.6279085874557495f);
  return fast_choice(t, 0x1p-7f, 1.1283791671f * x, copysignf(1.0f - fast_exp2(p * t), x));
}
