// Activations: each is one pointwise node over x, and for PRelu its slope.
#include <cmath>

#include "agents/graph/onnx/lowering.h"

namespace kiln::graph::onnx {
namespace {

using Outputs = std::vector<ValueId>;

// One expression over x, with the operations that activations share.
struct Activation {
  Expr e;
  DType type;
  std::int32_t x;

  explicit Activation(DType of) : type(of), x(e.operand(0, of)) {}
  std::int32_t c(double value) { return e.constant(value, type); }
  std::int32_t add(std::int32_t a, std::int32_t b) { return e.apply(ExprOp::add, a, b); }
  std::int32_t sub(std::int32_t a, std::int32_t b) { return e.apply(ExprOp::sub, a, b); }
  std::int32_t mul(std::int32_t a, std::int32_t b) { return e.apply(ExprOp::mul, a, b); }
  std::int32_t clamp(std::int32_t a, double low, double high) {
    return e.apply(ExprOp::min, e.apply(ExprOp::max, a, c(low)), c(high));
  }
  std::int32_t where(std::int32_t condition, std::int32_t yes, std::int32_t no) {
    return e.apply(ExprOp::select, condition, yes, no);
  }
  std::int32_t below(std::int32_t a, double limit) { return e.apply(ExprOp::less, a, c(limit)); }
  // log(1 + e^x), which neither overflows nor loses small results: max(x, 0) + log1p(e^-|x|).
  std::int32_t softplus() {
    const auto decay = e.apply(ExprOp::exp, e.apply(ExprOp::neg, e.apply(ExprOp::abs, x)));
    return add(e.apply(ExprOp::max, x, c(0)), e.apply(ExprOp::log1p, decay));
  }
  Outputs made(const Call& call, std::int32_t result) {
    e.results = {result};
    return {call.add(Pointwise{std::move(e)}, {call.in(0)})};
  }
};

Activation over(const Call& call) { return Activation(call.type(call.in(0)).dtype); }

Outputs relu(const Call& call) {
  Activation a = over(call);
  return a.made(call, a.e.apply(ExprOp::max, a.x, a.c(0)));
}

Outputs leaky_relu(const Call& call) {
  Activation a = over(call);
  return a.made(call, a.where(a.below(a.x, 0), a.mul(a.x, a.c(call.get_float("alpha", 0.01f))), a.x));
}

// alpha (e^x - 1) below zero.
Outputs elu(const Call& call) {
  Activation a = over(call);
  return a.made(call,
                a.where(a.below(a.x, 0), a.mul(a.c(call.get_float("alpha", 1)), a.e.apply(ExprOp::expm1, a.x)), a.x));
}

// Barron, "Continuously Differentiable Exponential Linear Units", 2017.
Outputs celu(const Call& call) {
  Activation a = over(call);
  const auto alpha = a.c(call.get_float("alpha", 1));
  const auto bent = a.mul(alpha, a.e.apply(ExprOp::expm1, a.e.apply(ExprOp::div, a.x, alpha)));
  return a.made(call, a.where(a.below(a.x, 0), bent, a.x));
}

// Klambauer et al., "Self-Normalizing Neural Networks", 2017; the defaults are the specification's.
Outputs selu(const Call& call) {
  Activation a = over(call);
  const double alpha = call.get_float("alpha", 1.67326319217681884765625);
  const double gamma = call.get_float("gamma", 1.05070102214813232421875);
  const auto bent = a.mul(a.c(alpha), a.e.apply(ExprOp::expm1, a.x));
  return a.made(call, a.mul(a.c(gamma), a.where(a.below(a.x, 0), bent, a.x)));
}

Outputs hard_sigmoid(const Call& call) {
  Activation a = over(call);
  const auto line = a.add(a.mul(a.c(call.get_float("alpha", 0.2f)), a.x), a.c(call.get_float("beta", 0.5)));
  return a.made(call, a.clamp(line, 0, 1));
}

// x max(0, min(1, x / 6 + 1 / 2))
Outputs hard_swish(const Call& call) {
  Activation a = over(call);
  const auto line = a.add(a.mul(a.c(1.0 / 6), a.x), a.c(0.5));
  return a.made(call, a.mul(a.x, a.clamp(line, 0, 1)));
}

Outputs swish(const Call& call) {
  Activation a = over(call);
  const double alpha = call.get_float("alpha", 1);
  return a.made(call, a.mul(a.x, a.e.apply(ExprOp::sigmoid, alpha == 1 ? a.x : a.mul(a.c(alpha), a.x))));
}

// Misra, "Mish: A Self Regularized Non-Monotonic Activation Function", 2019: x tanh(softplus(x)).
Outputs mish(const Call& call) {
  Activation a = over(call);
  return a.made(call, a.mul(a.x, a.e.apply(ExprOp::tanh, a.softplus())));
}

Outputs softplus(const Call& call) {
  Activation a = over(call);
  return a.made(call, a.softplus());
}

Outputs softsign(const Call& call) {
  Activation a = over(call);
  return a.made(call, a.e.apply(ExprOp::div, a.x, a.add(a.c(1), a.e.apply(ExprOp::abs, a.x))));
}

Outputs thresholded_relu(const Call& call) {
  Activation a = over(call);
  const auto above = a.e.apply(ExprOp::less, a.c(call.get_float("alpha", 1)), a.x);
  return a.made(call, a.where(above, a.x, a.c(0)));
}

Outputs shrink(const Call& call) {
  Activation a = over(call);
  const double lambda = call.get_float("lambd", 0.5), bias = call.get_float("bias", 0);
  const auto above = a.e.apply(ExprOp::less, a.c(lambda), a.x);
  const auto low = a.where(a.below(a.x, -lambda), a.add(a.x, a.c(bias)), a.c(0));
  return a.made(call, a.where(above, a.sub(a.x, a.c(bias)), low));
}

Outputs prelu(const Call& call) {
  const ValueId x = call.in(0);
  const bool channels = call.state.opset < 7 && element_count(call.type(call.in(1)).shape) != 1;
  const ValueId slope = channels ? call.per_channel(call.in(1), call.type(x).shape.size()) : call.in(1);
  const ValueId scaled = call.apply(ExprOp::mul, x, slope);
  if (call.type(scaled) != call.type(x)) malformed("its slope does not broadcast to its input");
  return {call.apply(ExprOp::select, call.apply(ExprOp::less, x, call.scalar(0, call.type(x).dtype)), scaled, x)};
}

// Hendrycks and Gimpel, "Gaussian Error Linear Units", 2016: x Phi(x), or its approximation by tanh.
Outputs gelu(const Call& call) {
  Activation a = over(call);
  const std::string form = call.get_text("approximate", "none");
  if (form != "none" && form != "tanh") refuse("its approximation '" + form + "' is unknown");
  std::int32_t inner = -1;
  if (form == "none") {
    inner = a.e.apply(ExprOp::erf, a.mul(a.x, a.c(std::sqrt(0.5))));
  } else {
    const auto cube = a.mul(a.mul(a.x, a.x), a.x);
    const auto sum = a.add(a.x, a.mul(a.c(0.044715), cube));
    inner = a.e.apply(ExprOp::tanh, a.mul(a.c(std::sqrt(2 / 3.14159265358979323846)), sum));
  }
  return a.made(call, a.mul(a.mul(a.c(0.5), a.x), a.add(a.c(1), inner)));
}

}  // namespace

std::vector<OperatorRow> activation_operators() {
  return {{"Relu", relu}, {"LeakyRelu", leaky_relu}, {"Elu", elu}, {"Celu", celu}, {"Selu", selu},
          {"HardSigmoid", hard_sigmoid}, {"HardSwish", hard_swish}, {"Swish", swish}, {"Mish", mish},
          {"Softplus", softplus}, {"Softsign", softsign}, {"ThresholdedRelu", thresholded_relu}, {"Shrink", shrink},
          {"PRelu", prelu}, {"Gelu", gelu}};
}

}  // namespace kiln::graph::onnx
