// Functions of float32 vectors. The coefficients are minimax fits in 40-digit arithmetic over the interval that each
// comment names (Chebyshev nodes, Lawson's reweighting); the error named is that of the fit, before rounding.
#include <algorithm>

#include "agents/writer/prelude.h"

namespace kiln::agents::writer {
namespace {

using graph::ExprOp;

constexpr const char* kExp = R"kiln(
// x 2^n for n from -150 to 128, right down to the least denormal; `whole` is n as a float.
inline vf scaled_by_power(vf x, [[maybe_unused]] vm n, [[maybe_unused]] vf whole) {
#if defined(__AVX512F__) && !defined(__clang__)
  if constexpr (kLanes == 16) {
    typedef float v16 __attribute__((vector_size(64)));
    constexpr int current_rounding = 4;
    return (vf)__builtin_ia32_scalefps512_mask((v16)x, (v16)whole, v16{}, -1, current_rounding);
  }
#endif
  const vm half = n >> 1;  // in two halves, since 2^n itself may not be a float
  return x * from_bits((half + 127) << 23) * from_bits((n - half + 127) << 23);
}

// e^x = 2^n e^r with |r| <= ln(2) / 2 and e^r = 1 + r + r^2 P(r); the fit's relative error is 3.2e-9. For x from -104
// to 89.
inline vf exp_within(vf x) {
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
  return scaled_by_power(e, n, whole);
}
inline vf vexp(vf x) {
  // Below -104 the result is 0. Computing it as an underflow would cost hundreds of cycles each, and masked scores
  // are there.
  const vm underflows = x < -104.0f;
  const vf high = splat(89.0f);
  x = x > high ? high : underflows ? splat(0.0f) : x;
  return underflows ? splat(0.0f) : exp_within(x);
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
#if defined(__AVX512F__) && !defined(__clang__)
// erf x = x Q(x) with |x| cut at 4, where it is 1; Q is a polynomial in the distance to the centre of one of 32
// intervals, 1.6e-9. One permutation looks a coefficient up for 16 lanes, so this is a third of the work of the other
// form.
constexpr float kErfCoefficients[5][32] = {
    {1.12691164f, 1.11529428f, 1.09269963f, 1.0603386f, 1.0198657f, 0.973214055f, 0.922417262f, 0.869442561f,
     0.816054842f, 0.763723554f, 0.713576057f, 0.666393465f, 0.622639753f, 0.582512425f, 0.546003104f, 0.512958352f,
     0.48313394f, 0.456238861f, 0.431967968f, 0.410023982f, 0.390130666f, 0.372039335f, 0.355530791f, 0.340414422f,
     0.326525766f, 0.313723435f, 0.301885946f, 0.290908752f, 0.280701622f, 0.271186391f, 0.262295064f, 0.253968247f},
    {-0.0469057115f, -0.138109061f, -0.221773114f, -0.29377444f, -0.351189706f, -0.392502084f, -0.417604897f,
     -0.427624415f, -0.424613571f, -0.411183516f, -0.390139136f, -0.364170818f, -0.335633665f, -0.306423153f,
     -0.277938012f, -0.251109663f, -0.226473357f, -0.20425772f, -0.184474685f, -0.166998252f, -0.151626619f,
     -0.138126797f, -0.126263704f, -0.115817051f, -0.106589525f, -0.0984093416f, -0.0911295296f, -0.0846255745f,
     -0.0787924609f, -0.0735416897f, -0.0687985596f, -0.0644998181f},
    {-0.373487566f, -0.352816131f, -0.313720623f, -0.260327045f, -0.197983614f, -0.132456329f, -0.0691378059f,
     -0.0124119257f, 0.0347332681f, 0.0708164631f, 0.0957301603f, 0.110438033f, 0.116593143f, 0.11616053f,
     0.111104494f, 0.103171499f, 0.0937725552f, 0.0839498255f, 0.0744025667f, 0.0655463647f, 0.0575839189f,
     0.0505724664f, 0.0444796555f, 0.039225263f, 0.0347094111f, 0.0308298732f, 0.0274914339f, 0.0246100192f,
     0.0221137097f, 0.0199421062f, 0.0180449744f, 0.0163806977f},
    {0.0280298411f, 0.0810152269f, 0.12528714f, 0.156620001f, 0.172799953f, 0.173804783f, 0.161563521f, 0.139393109f,
     0.111272587f, 0.0811282069f, 0.0522705413f, 0.027060605f, 0.00681742588f, -0.0080786483f, -0.0179602312f,
     -0.0236031747f, -0.0259758476f, -0.0260457387f, -0.0246568251f, -0.0224722561f, -0.0199663492f, -0.0174469548f,
     -0.0150915825f, -0.0129852856f, -0.011153597f, -0.00958768831f, -0.00826172717f, -0.00714374099f,
     -0.00620172405f, -0.00540660439f, -0.00473333072f, -0.00416094991f},
    {0.111089749f, 0.0989583737f, 0.0766954558f, 0.0478585932f, 0.0168028453f, -0.0121961068f, -0.0357147384f,
     -0.0516800606f, -0.0595161446f, -0.0599629839f, -0.0546709659f, -0.0457087392f, -0.0351113312f, -0.0245568555f,
     -0.015203089f, -0.00767019426f, -0.00212608604f, 0.00157782399f, 0.00376563779f, 0.00482030779f, 0.00510491653f,
     0.00491596737f, 0.00447769207f, 0.00393878165f, 0.00339031318f, 0.00288115583f, 0.00243253775f, 0.00204931595f,
     0.00172777027f, 0.00146048577f, 0.00123911601f, 0.00105576333f},
};
inline vf erf_coefficient(int power, vm interval) {
  return __builtin_shuffle(load(kErfCoefficients[power]), load(kErfCoefficients[power] + 16), interval);
}
inline vf verf(vf x) {
  const vm sign = bits(x) & std::int32_t(0x80000000);
  const vf end = splat(3.9999998f);
  vf a = from_bits(bits(x) & 0x7fffffff);
  a = a > end ? end : a;
  const vm interval = __builtin_convertvector(a * 8.0f, vm);
  const vf t = a - (__builtin_convertvector(interval, vf) * 0.125f + 0.0625f);
  vf q = erf_coefficient(4, interval);
  for (int power = 3; power >= 0; --power) q = q * t + erf_coefficient(power, interval);
  // From here on it rounds to 1, and must: 1 + erf is multiplied by any x that is left of it.
  const vf y = a >= 3.9192059f ? splat(1.0f) : q * a;
  return from_bits(bits(y) | sign);
}
#else
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
#endif
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

// Higham, "Accuracy and Stability of Numerical Algorithms", 1.14.1: the error of the rounded 1 + x cancels in the
// quotient.
constexpr const char* kLog1p = R"kiln(
inline vf vlog1p(vf x) {
  const vf u = 1.0f + x;
  const vf d = u - 1.0f;
  const vf y = vlog(u) * (x / d);
  return (d == 0.0f) | (x == __builtin_inff()) | (x != x) ? x : y;
}
)kiln";

constexpr const char* kExpm1 = R"kiln(
// |x| < ln(2): the Taylor polynomial, whose remainder is 6e-10 of x; otherwise e^x - 1.
inline vf vexpm1(vf x) {
  vf p = x * 2.7557319e-7f + 2.7557319e-6f;
  p = p * x + 2.4801587e-5f;
  p = p * x + 1.9841270e-4f;
  p = p * x + 1.3888889e-3f;
  p = p * x + 8.3333333e-3f;
  p = p * x + 4.1666667e-2f;
  p = p * x + 0.16666667f;
  p = p * x + 0.5f;
  const vf small = p * (x * x) + x;
  const vf a = from_bits(bits(x) & 0x7fffffff);
  return a < 0.6931472f ? small : vexp(x) - 1.0f;
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
    {"tan", KILN_BY_LANE("vtan", "__builtin_tanf")},
    {"asin", KILN_BY_LANE("vasin", "__builtin_asinf")},
    {"acos", KILN_BY_LANE("vacos", "__builtin_acosf")},
    {"atan", KILN_BY_LANE("vatan", "__builtin_atanf")},
    {"sinh", KILN_BY_LANE("vsinh", "__builtin_sinhf")},
    {"cosh", KILN_BY_LANE("vcosh", "__builtin_coshf")},
    {"asinh", KILN_BY_LANE("vasinh", "__builtin_asinhf")},
    {"acosh", KILN_BY_LANE("vacosh", "__builtin_acoshf")},
    {"atanh", KILN_BY_LANE("vatanh", "__builtin_atanhf")},
    {"floor", KILN_BY_LANE("vfloor", "__builtin_floorf")},
    {"ceil", KILN_BY_LANE("vceil", "__builtin_ceilf")},
    {"round", KILN_BY_LANE("vround", "__builtin_rintf")},
    {"pow", KILN_BY_LANE_2("vpow", "__builtin_powf")},
    {"mod", kMod},
    {"fmod", KILN_BY_LANE_2("vfmod", "__builtin_fmodf")},
    {"expm1", kExpm1},
    {"log1p", kLog1p},
};
#undef KILN_BY_LANE
#undef KILN_BY_LANE_2

std::string_view function_of(ExprOp op) { return op == ExprOp::rsqrt ? "sqrt" : graph::name(op); }

}  // namespace

std::string vector_functions(const std::vector<ExprOp>& ops) {
  std::vector<std::string_view> wanted;
  for (const ExprOp op : ops) wanted.push_back(function_of(op));
  const auto has = [&](std::string_view name) { return std::find(wanted.begin(), wanted.end(), name) != wanted.end(); };
  if (has("pow")) wanted.push_back("sqrt");  // constant exponents
  if (has("tanh") || has("erf") || has("sigmoid") || has("expm1")) wanted.push_back("exp");
  if (has("log1p")) wanted.push_back("log");
  std::string text;
  for (const Function& function : kFunctions)
    if (has(function.name)) text += function.text;
  return text;
}

}  // namespace kiln::agents::writer
