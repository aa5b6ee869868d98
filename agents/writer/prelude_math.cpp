// Functions of float32 vectors. The coefficients are minimax fits in 40-digit arithmetic over the interval that each
// comment names (Chebyshev nodes, Lawson's reweighting); the error named is that of the fit, before rounding.
#include <algorithm>

#include "agents/writer/prelude.h"

namespace kiln::agents::writer {
namespace {

using graph::ExprOp;

constexpr const char* kExp = R"kiln(
// e^x = 2^n e^r with |r| <= ln(2) / 2 and e^r = 1 + r + r^2 P(r); the fit's relative error is 3.2e-9. The power of two is
// applied in two halves, so that results down to the least denormal are right.
inline vf vexp(vf x) {
  const vf low = splat(-104.0f), high = splat(89.0f);
  x = x < low ? low : x;
  x = x > high ? high : x;
  const vf shift = splat(12582912.0f);  // 1.5 * 2^23: adding it rounds to the nearest integer
  const vf shifted = x * 1.44269504f + shift;
  const vm n = bits(shifted) - bits(shift);
  const vf whole = shifted - shift;
  // ln(2) in two parts; the first has 9 bits, so that its product with n is exact.
  const vf r = (x - whole * 0.693359375f) + whole * 2.12194440e-4f;
  vf p = r * 0.001381420935f + 0.008368899855f;
  p = p * r + 0.04166840598f;
  p = p * r + 0.1666651912f;
  p = p * r + 0.4999999335f;
  const vf e = (p * (r * r) + r) + 1.0f;
  const vm half = n >> 1;
  return e * from_bits((half + 127) << 23) * from_bits((n - half + 127) << 23);
}
)kiln";

constexpr const char* kLog = R"kiln(
// log x = e ln(2) + log(1 + f) with 1 + f in [sqrt(1/2), sqrt(2)] and log(1 + f) = f - f^2 / 2 + f^3 P(f); 7.5e-10.
inline vf vlog(vf x) {
  const vm tiny = x < 1.17549435e-38f;
  const vf scaled = tiny ? x * 33554432.0f : x;  // denormals, by 2^25
  const vm offset = bits(scaled) - 0x3f3504f3;   // bits of sqrt(1/2)
  vm exponent = offset >> 23;
  const vf f = from_bits((offset & 0x007fffff) + 0x3f3504f3) - 1.0f;
  exponent = tiny ? exponent - 25 : exponent;
  const vf e = __builtin_convertvector(exponent, vf);
  vf p = f * 0.06746454823f - 0.1167562337f;
  p = p * f + 0.1188823209f;
  p = p * f - 0.1240559722f;
  p = p * f + 0.1421954326f;
  p = p * f - 0.1666799515f;
  p = p * f + 0.2000211914f;
  p = p * f - 0.2500000962f;
  p = p * f + 0.333333126f;
  const vf z = f * f;
  vf y = p * f * z - e * 2.12194440e-4f;
  y = y - 0.5f * z;
  y = (f + y) + e * 0.693359375f;
  y = x == 0.0f ? splat(-__builtin_inff()) : y;
  y = x < 0.0f ? splat(__builtin_nanf("")) : y;
  return (x == __builtin_inff()) | (x != x) ? x : y;
}
)kiln";

constexpr const char* kTanh = R"kiln(
// |x| < 0.625: x + x^3 P(x^2), 1.8e-10; otherwise 1 - 2 / (e^(2|x|) + 1) with the sign of x.
inline vf vtanh(vf x) {
  const vm sign = bits(x) & std::int32_t(0x80000000);
  const vf a = from_bits(bits(x) & 0x7fffffff);
  const vf z = x * x;
  vf p = z * 0.00212272773f - 0.008156258677f;
  p = p * z + 0.02169259723f;
  p = p * z - 0.05394537636f;
  p = p * z + 0.1333319589f;
  p = p * z - 0.3333333057f;
  const vf small = p * z * x + x;
  const vf large = 1.0f - 2.0f / (vexp(a + a) + 1.0f);
  return a < 0.625f ? small : from_bits(bits(large) | sign);
}
)kiln";

constexpr const char* kErf = R"kiln(
// |x| < 0.9257: x P(x^2), 4.8e-10; otherwise 1 - e^-Q(|x|), where Q fits -log(erfc) on [0.92, 4]; beyond, it is 1.
inline vf verf(vf x) {
  const vm sign = bits(x) & std::int32_t(0x80000000);
  const vf a = from_bits(bits(x) & 0x7fffffff);
  const vf z = x * x;
  vf p = z * 8.327473262e-5f - 0.0008133211808f;
  p = p * z + 0.005200260355f;
  p = p * z - 0.02685911987f;
  p = p * z + 0.1128369123f;
  p = p * z - 0.3761263352f;
  p = p * z + 0.1283791666f;
  const vf small = p * x + x;
  const vf c = a > 4.0f ? splat(4.0f) : a;
  vf q = c * 2.1162317e-5f - 0.0004352233888f;
  q = q * c + 0.004174663703f;
  q = q * c - 0.0251286762f;
  q = q * c + 0.1082940222f;
  q = q * c + 0.6333345879f;
  q = q * c + 1.129520854f;
  q = q * c - 0.0001758805835f;
  const vf large = 1.0f - vexp(-q);
  return a < 0.9257f ? small : from_bits(bits(large) | sign);
}
)kiln";

constexpr const char* kSigmoid = R"kiln(
// 1 / (1 + e^-x), as e^x / (1 + e^x) where x < 0, so that small results keep their precision.
inline vf vsigmoid(vf x) {
  const vf e = vexp(from_bits(bits(x) | std::int32_t(0x80000000)));
  return (x < 0.0f ? e : splat(1.0f)) / (1.0f + e);
}
)kiln";

constexpr const char* kSqrt = R"kiln(
inline vf vsqrt(vf x) {
  for (int i = 0; i < kLanes; ++i) x[i] = __builtin_sqrtf(x[i]);
  return x;
}
)kiln";

constexpr const char* kAbs = R"kiln(
inline vf vabs(vf x) { return from_bits(bits(x) & 0x7fffffff); }
)kiln";

constexpr const char* kSign = R"kiln(
inline vf vsign(vf x) {
  const vf one = splat(1.0f);
  return x > 0.0f ? one : x < 0.0f ? -one : x;
}
)kiln";

constexpr const char* kMod = R"kiln(
// The remainder has the sign of the divisor.
inline vf vmod(vf a, vf b) {
  for (int i = 0; i < kLanes; ++i) {
    const float r = __builtin_fmodf(a[i], b[i]);
    a[i] = r != 0.0f && (r < 0.0f) != (b[i] < 0.0f) ? r + b[i] : r;
  }
  return a;
}
)kiln";

// One call of the C library per lane: rare in the models at hand, and right for arguments of any size.
#define KILN_BY_LANE(name, builtin)                                            \
  "\ninline vf " name "(vf x) {\n"                                             \
  "  for (int i = 0; i < kLanes; ++i) x[i] = " builtin "(x[i]);\n"             \
  "  return x;\n"                                                              \
  "}\n"
#define KILN_BY_LANE_2(name, builtin)                                          \
  "\ninline vf " name "(vf a, vf b) {\n"                                       \
  "  for (int i = 0; i < kLanes; ++i) a[i] = " builtin "(a[i], b[i]);\n"       \
  "  return a;\n"                                                              \
  "}\n"

struct Function {
  const char* name;
  const char* text;
};
const Function kFunctions[] = {  // in order of definition
    {"exp", kExp},   {"log", kLog},   {"tanh", kTanh}, {"erf", kErf}, {"sigmoid", kSigmoid},
    {"sqrt", kSqrt}, {"abs", kAbs},   {"sign", kSign},
    {"sin", KILN_BY_LANE("vsin", "__builtin_sinf")},
    {"cos", KILN_BY_LANE("vcos", "__builtin_cosf")},
    {"floor", KILN_BY_LANE("vfloor", "__builtin_floorf")},
    {"ceil", KILN_BY_LANE("vceil", "__builtin_ceilf")},
    {"round", KILN_BY_LANE("vround", "__builtin_rintf")},
    {"pow", KILN_BY_LANE_2("vpow", "__builtin_powf")},
    {"mod", kMod},
};
#undef KILN_BY_LANE
#undef KILN_BY_LANE_2

std::string_view function_of(ExprOp op) { return op == ExprOp::rsqrt ? "sqrt" : graph::name(op); }

}  // namespace

std::string vector_functions(const std::vector<ExprOp>& ops) {
  std::vector<std::string_view> wanted;
  for (const ExprOp op : ops) wanted.push_back(function_of(op));
  const auto has = [&](std::string_view name) { return std::find(wanted.begin(), wanted.end(), name) != wanted.end(); };
  if (has("tanh") || has("erf") || has("sigmoid")) wanted.push_back("exp");
  std::string text;
  for (const Function& function : kFunctions)
    if (has(function.name)) text += function.text;
  return text;
}

}  // namespace kiln::agents::writer
