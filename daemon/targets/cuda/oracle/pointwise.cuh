// Expressions, step by step for each element; elements of the model's types to carriers and back.

union Value {
  f64 d;
  f32 f;
  i64 i;
};
KILN_DEVICE void read(const Value& v, f64& x) { x = v.d; }
KILN_DEVICE void read(const Value& v, f32& x) { x = v.f; }
KILN_DEVICE void read(const Value& v, i64& x) { x = v.i; }
KILN_DEVICE void write(Value& v, f64 x) { v.d = x; }
KILN_DEVICE void write(Value& v, f32 x) { v.f = x; }
KILN_DEVICE void write(Value& v, i64 x) { v.i = x; }

template <class T>
KILN_DEVICE T unary(i64 op, T x) {
  switch (op) {
    case op_neg: return -x;
    case op_abs: return real_fabs(x);
    case op_sign: return x > 0 ? T(1) : x < 0 ? T(-1) : x;
    case op_sqrt: return real_sqrt(x);
    case op_rsqrt: return T(1) / real_sqrt(x);
    case op_reciprocal: return T(1) / x;
    case op_exp: return real_exp(x);
    case op_log: return real_log(x);
    case op_tanh: return real_tanh(x);
    case op_erf: return real_erf(x);
    case op_sigmoid: return T(1) / (T(1) + real_exp(-x));
    case op_sin: return real_sin(x);
    case op_cos: return real_cos(x);
    case op_floor: return real_floor(x);
    case op_ceil: return real_ceil(x);
    case op_round: return real_nearbyint(x);
    case op_tan: return real_tan(x);
    case op_asin: return real_asin(x);
    case op_acos: return real_acos(x);
    case op_atan: return real_atan(x);
    case op_sinh: return real_sinh(x);
    case op_cosh: return real_cosh(x);
    case op_asinh: return real_asinh(x);
    case op_acosh: return real_acosh(x);
    case op_atanh: return real_atanh(x);
    case op_expm1: return real_expm1(x);
    default: return real_log1p(x);
  }
}

template <class T>
KILN_DEVICE T binary(i64 op, T a, T b) {
  switch (op) {
    case op_add: return a + b;
    case op_sub: return a - b;
    case op_mul: return a * b;
    case op_div: return a / b;
    case op_pow: return real_pow(a, b);
    case op_min: return (b < a || b != b) && a == a ? b : a;
    case op_max: return (b > a || b != b) && a == a ? b : a;
    case op_mod: {
      const T r = real_fmod(a, b);
      return r != 0 && (r < 0) != (b < 0) ? r + b : r;
    }
    default: return real_fmod(a, b);
  }
}

template <class T>
KILN_DEVICE T arithmetic(const Step& step, T a, T b) {
  return step.op < op_add ? unary(step.op, a) : binary(step.op, a, b);
}

KILN_DEVICE i64 power(i64 base, i64 exponent) {
  if (exponent < 0) return base == 1 ? 1 : base == -1 ? (exponent % 2 == 0 ? 1 : -1) : 0;
  i64 result = 1;
  for (; exponent > 0; exponent >>= 1, base = product(base, base))
    if ((exponent & 1) != 0) result = product(result, base);
  return result;
}

KILN_DEVICE i64 quotient(i64 op, i64 a, i64 b, bool is_unsigned, Int* fault) {
  if (b == 0) {
    *fault = fault_division_by_zero;
    return 0;
  }
  const u64 u = static_cast<u64>(a), v = static_cast<u64>(b);
  if (is_unsigned) return static_cast<i64>(op == op_div ? u / v : u % v);
  if (b == -1) return op == op_div ? static_cast<i64>(0 - u) : 0;
  if (op == op_div) return a / b;
  const i64 r = a % b;
  return op == op_mod && r != 0 && (r < 0) != (b < 0) ? r + b : r;
}

KILN_DEVICE i64 whole(const Step& step, i64 a, i64 b, Int* fault) {
  const bool is_unsigned = step.from_type == type_u64;
  const u64 u = static_cast<u64>(a), v = static_cast<u64>(b);
  const bool less = is_unsigned ? u < v : a < b;
  switch (step.op) {
    case op_neg: return static_cast<i64>(0 - u);
    case op_abs: return a < 0 ? static_cast<i64>(0 - u) : a;
    case op_sign: return (a > 0) - (a < 0);
    case op_logical_not: return a == 0;
    case op_bit_not: return ~a;
    case op_floor: case op_ceil: case op_round: return a;
    case op_add: return static_cast<i64>(u + v);
    case op_sub: return static_cast<i64>(u - v);
    case op_mul: return static_cast<i64>(u * v);
    case op_div: case op_mod: case op_fmod: return quotient(step.op, a, b, is_unsigned, fault);
    case op_shift_left: return b < 0 || b > 63 ? 0 : static_cast<i64>(u << b);
    case op_shift_right: return b < 0 || b > 63 ? 0 : static_cast<i64>(u >> b);
    case op_pow: return power(a, b);
    case op_min: return less ? a : b;
    case op_max: return less ? b : a;
    case op_equal: return a == b;
    case op_less: return less;
    case op_less_equal: return less || a == b;
    case op_logical_and: case op_bit_and: return a & b;
    case op_logical_or: case op_bit_or: return a | b;
    default: return a ^ b;
  }
}

template <class T>
KILN_DEVICE i64 compared(i64 op, T a, T b) {
  return op == op_equal ? a == b : op == op_less ? a < b : a <= b;
}

// Toward zero, to the nearest end of the type's range beyond it; NaN gives zero.
KILN_DEVICE i64 saturated(f64 x, i64 type) {
  if (x != x) return 0;
  const bool is_unsigned = type >= type_u64;
  const int bits = 64 >> (is_unsigned ? type - type_u64 : type - type_i64);
  const f64 above = ldexp(1.0, is_unsigned ? bits : bits - 1), below = is_unsigned ? 0.0 : -above;
  if (bits == 64 && is_unsigned) return x >= above ? -1 : x <= 0 ? 0 : static_cast<i64>(static_cast<u64>(x));
  if (x >= above) return bits == 64 ? 0x7fffffffffffffffll : static_cast<i64>(above) - 1;
  if (x <= below) return bits == 64 && !is_unsigned ? -0x7fffffffffffffffll - 1 : static_cast<i64>(below);
  return static_cast<i64>(x);
}

template <class T>
KILN_DEVICE T cast_to(const Step& step, const Value& v) {
  if (step.from_carrier == carrier_f64) return static_cast<T>(v.d);
  if (step.from_carrier == carrier_f32) return static_cast<T>(v.f);
  return step.from_type == type_u64 ? static_cast<T>(static_cast<u64>(v.i)) : static_cast<T>(v.i);
}
template <>
KILN_DEVICE i64 cast_to<i64>(const Step& step, const Value& v) {
  if (step.from_carrier == carrier_i64) return step.type == type_bool ? v.i != 0 : v.i;
  const f64 x = step.from_carrier == carrier_f64 ? v.d : static_cast<f64>(v.f);
  return step.type == type_bool ? x != 0 : saturated(x, step.type);
}

KILN_DEVICE i64 computed(const Step& step, const Value* v, i64, Int* fault) {
  const Value &first = v[step.args[0]], &second = v[step.args[1]];
  if (step.from_carrier == carrier_f64) return compared(step.op, first.d, second.d);
  if (step.from_carrier == carrier_f32) return compared(step.op, first.f, second.f);
  return whole(step, first.i, second.i, fault);
}
KILN_DEVICE f64 computed(const Step& step, const Value* v, f64, Int*) {
  return arithmetic(step, v[step.args[0]].d, v[step.args[1]].d);
}
KILN_DEVICE f32 computed(const Step& step, const Value* v, f32, Int*) {
  return arithmetic(step, v[step.args[0]].f, v[step.args[1]].f);
}

template <class T>
KILN_DEVICE void take_step(const PointwiseArguments& given, const Step& step, Value* v, i64 index, Value& out) {
  T x = 0;
  if (step.op == op_operand) {
    const Operand& operand = given.operands[step.operand];
    x = static_cast<const T*>(operand.base)[offset_of(index, given.rank, given.extent, operand.stride)];
  } else if (step.op == op_constant) {
    x = step.type >= type_i64 && step.type != type_bool ? static_cast<T>(step.integer) : static_cast<T>(step.value);
  } else if (step.op == op_cast) {
    x = cast_to<T>(step, v[step.args[0]]);
  } else if (step.op == op_select) {
    read(v[v[step.args[0]].i != 0 ? step.args[1] : step.args[2]], x);
  } else {
    x = computed(step, v, x, given.fault);
  }
  write(out, step.rounds ? rounded(x, step.type) : x);
}

namespace pointwise_kernels {
using Arguments = PointwiseArguments;
KILN_ENTRY(pointwise) {
  Value v[kMostSteps];
  for (i64 i = first_index(); i < arguments.count; i += index_step()) {
    for (i64 s = 0; s < arguments.step_count; ++s) {
      const Step& step = arguments.steps[s];
      if (step.carrier == carrier_f64) take_step<f64>(arguments, step, v, i, v[s]);
      if (step.carrier == carrier_f32) take_step<f32>(arguments, step, v, i, v[s]);
      if (step.carrier == carrier_i64) take_step<i64>(arguments, step, v, i, v[s]);
    }
    for (i64 r = 0; r < arguments.result_count; ++r) {
      const Result& result = arguments.results[r];
      const i64 carrier = arguments.steps[result.step].carrier;
      if (carrier == carrier_f32)
        static_cast<f32*>(result.base)[i] = v[result.step].f;
      else if (carrier == carrier_f64)
        static_cast<f64*>(result.base)[i] = v[result.step].d;
      else
        static_cast<i64*>(result.base)[i] = v[result.step].i;
    }
  }
}
}  // namespace pointwise_kernels

KILN_DEVICE f32 float_of(u32 bits) {
  Value v;
  v.i = static_cast<i64>(bits);
  return v.f;
}
// The value of a 16-bit float with so many bits of exponent. Its bits stand where a float32 has them; what an exponent
// of 5 bits lacks in bias is made up by an exact product, of subnormal numbers too.
KILN_DEVICE f64 value_of(u32 bits, int exponent_bits) {
  if (exponent_bits == 8) return static_cast<f64>(float_of(bits << 16));
  const u32 magnitude = (bits & 0x7fffu) << 13, sign = (bits & 0x8000u) << 16;
  if (magnitude >= 0x7c00u << 13) return static_cast<f64>(float_of(sign | magnitude | 0x7f800000u));
  return static_cast<f64>(float_of(sign | magnitude) * 0x1p112f);
}
// The bits of a number that is one of that format's.
KILN_DEVICE u16 bits_of(f64 x, int exponent_bits) {
  const int fraction_bits = 15 - exponent_bits, most = (1 << exponent_bits) - 1, bias = most / 2;
  const u32 sign = copysign(1.0, x) < 0 ? 0x8000u : 0u, infinite = static_cast<u32>(most) << fraction_bits;
  if (x != x) return static_cast<u16>(infinite | 1u << (fraction_bits - 1));
  if (x == 0) return static_cast<u16>(sign);
  if (x - x != 0) return static_cast<u16>(sign | infinite);
  const f64 magnitude = fabs(x);
  const int exponent = ilogb(magnitude);
  if (exponent < 1 - bias)
    return static_cast<u16>(sign | static_cast<u32>(ldexp(magnitude, bias - 1 + fraction_bits)));
  const u32 fraction = static_cast<u32>(ldexp(magnitude, fraction_bits - exponent)) & ((1u << fraction_bits) - 1);
  return static_cast<u16>(sign | static_cast<u32>(exponent + bias) << fraction_bits | fraction);
}

template <class T>
KILN_DEVICE T element(const void* from, i64 type, i64 i) {
  switch (type) {
    case type_f64: return static_cast<T>(static_cast<const f64*>(from)[i]);
    case type_f32: return static_cast<T>(static_cast<const f32*>(from)[i]);
    case type_f16: return static_cast<T>(value_of(static_cast<const u16*>(from)[i], 5));
    case type_bf16: return static_cast<T>(value_of(static_cast<const u16*>(from)[i], 8));
    case type_i32: return static_cast<T>(static_cast<const int*>(from)[i]);
    case type_i16: return static_cast<T>(static_cast<const short*>(from)[i]);
    case type_i8: return static_cast<T>(static_cast<const signed char*>(from)[i]);
    case type_u32: return static_cast<T>(static_cast<const u32*>(from)[i]);
    case type_u16: return static_cast<T>(static_cast<const u16*>(from)[i]);
    case type_u8: return static_cast<T>(static_cast<const unsigned char*>(from)[i]);
    case type_bool: return static_cast<T>(static_cast<const unsigned char*>(from)[i] != 0);
    default: return static_cast<T>(static_cast<const i64*>(from)[i]);
  }
}
template <class T>
KILN_DEVICE void widen(const ConvertArguments& given) {
  for (i64 i = first_index(); i < given.count; i += index_step())
    static_cast<T*>(given.to)[i] = element<T>(given.from, given.type, i);
}
KILN_KERNELS(widen, ConvertArguments)

template <class T>
KILN_DEVICE void put(void* to, i64 type, i64 i, T x) {
  switch (type) {
    case type_f64: static_cast<f64*>(to)[i] = static_cast<f64>(x); break;
    case type_f32: static_cast<f32*>(to)[i] = static_cast<f32>(x); break;
    case type_f16: static_cast<u16*>(to)[i] = bits_of(static_cast<f64>(x), 5); break;
    case type_bf16: static_cast<u16*>(to)[i] = bits_of(static_cast<f64>(x), 8); break;
    case type_i32: case type_u32: static_cast<u32*>(to)[i] = static_cast<u32>(static_cast<i64>(x)); break;
    case type_i16: case type_u16: static_cast<u16*>(to)[i] = static_cast<u16>(static_cast<i64>(x)); break;
    case type_i8: case type_u8:
      static_cast<unsigned char*>(to)[i] = static_cast<unsigned char>(static_cast<i64>(x));
      break;
    case type_bool: static_cast<unsigned char*>(to)[i] = x != 0; break;
    default: static_cast<i64*>(to)[i] = static_cast<i64>(x); break;
  }
}
template <class T>
KILN_DEVICE void narrow(const ConvertArguments& given) {
  for (i64 i = first_index(); i < given.count; i += index_step())
    put(given.to, given.type, i, static_cast<const T*>(given.from)[i]);
}
KILN_KERNELS(narrow, ConvertArguments)
