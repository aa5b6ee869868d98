#include "daemon/worker/conditioning.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "agents/graph/nudged.h"
#include "runtime/base/parallel.h"
#include "runtime/base/random.h"

namespace kiln::worker {
namespace {

constexpr int kDraws = 8;
constexpr double kMany = 64;  // effective elements

// Elements that one task goes over: the sums do not depend on the number of threads.
constexpr std::int64_t kStretch = 1 << 18;

double effective_count(const graph::Tensor& t, int threads) {
  struct Sums { long double squares = 0, fourths = 0; };
  std::vector<Sums> parts(static_cast<std::size_t>((t.count() + kStretch - 1) / kStretch));
  parallel(threads, t.count(), kStretch, [&](std::int64_t begin, std::int64_t end) {
    Sums& part = parts[static_cast<std::size_t>(begin / kStretch)];
    for (std::int64_t i = begin; i < end; ++i) {
      const long double x = graph::load_double(t.type.dtype, t.bytes.data(), i);
      if (!std::isfinite(x)) continue;
      part.squares += x * x;
      part.fourths += x * x * x * x;
    }
  });
  long double squares = 0, fourths = 0;
  for (const Sums& part : parts) {
    squares += part.squares;
    fourths += part.fourths;
  }
  return fourths > 0 ? static_cast<double>(squares * squares / fourths) : 1;
}

// The next value of the type away from zero or towards it: IEEE formats count up as integers do.
template <class Bits>
void step(std::byte* at, bool away) {
  Bits bits;
  std::memcpy(&bits, at, sizeof bits);
  constexpr Bits kSign = Bits(1) << (8 * sizeof(Bits) - 1);
  const Bits magnitude = bits & static_cast<Bits>(~kSign);
  if (magnitude == 0) return;  // zero is exact
  bits = static_cast<Bits>(away ? bits + 1 : bits - 1);
  std::memcpy(at, &bits, sizeof bits);
}

graph::Tensor moved(const graph::Tensor& input, std::uint64_t seed, int threads) {
  graph::Tensor out = input;
  if (!graph::is_float(input.type.dtype)) return out;
  const std::size_t size = graph::size_of(input.type.dtype);
  parallel(threads, out.count(), kStretch, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) {
      const std::uint64_t random = splitmix64(seed + static_cast<std::uint64_t>(i) * 0x9e3779b97f4a7c15ull);
      if (random % 4 != 0) continue;
      if (!std::isfinite(graph::load_double(input.type.dtype, input.bytes.data(), i))) continue;
      std::byte* const at = out.bytes.data() + static_cast<std::size_t>(i) * size;
      const bool away = (random & 4) != 0;
      if (size == 2) step<std::uint16_t>(at, away);
      if (size == 4) step<std::uint32_t>(at, away);
      if (size == 8) step<std::uint64_t>(at, away);
    }
  });
  return out;
}

Conditioning difference(const graph::Tensor& got, const graph::Tensor& expected) {
  long double squares = 0, norm = 0;
  double worst = 0;
  std::int64_t finite = 0;
  for (std::int64_t i = 0; i < expected.count(); ++i) {
    const double want = graph::load_double(expected.type.dtype, expected.bytes.data(), i);
    const double now = graph::load_double(got.type.dtype, got.bytes.data(), i);
    if (!std::isfinite(want) || !std::isfinite(now)) continue;
    const double error = std::abs(now - want);
    squares += static_cast<long double>(error) * error;
    norm += static_cast<long double>(want) * want;
    worst = std::max(worst, error);
    ++finite;
  }
  if (!(norm > 0)) return {};
  return {static_cast<double>(std::sqrt(squares / norm)),
          worst / static_cast<double>(std::sqrt(norm / static_cast<long double>(finite)))};
}

bool saturates(const graph::Expr& expr) {
  using enum graph::ExprOp;
  constexpr graph::ExprOp kSaturating[] = {exp, tanh, erf, sigmoid, sinh, cosh, expm1, pow};
  return std::any_of(expr.nodes.begin(), expr.nodes.end(), [&](const graph::ExprNode& node) {
    return std::find(std::begin(kSaturating), std::end(kSaturating), node.op) != std::end(kSaturating);
  });
}

bool saturates(const graph::Node& node) {
  if (const auto* pointwise = std::get_if<graph::Pointwise>(&node.op)) return saturates(pointwise->expr);
  if (const auto* reduce = std::get_if<graph::Reduce>(&node.op)) return reduce->monoid == graph::Monoid::log_sum_exp;
  return std::holds_alternative<graph::Softmax>(node.op) || std::holds_alternative<graph::Attention>(node.op) ||
         std::holds_alternative<graph::Recurrent>(node.op);
}

// Whether an expression divides by a drawn operand, which may be next to zero, or by what is as small: a root of it, a
// product with it, its sum with an epsilon. A divisor that the expression keeps from zero, as 1 + exp(-x), is none.
bool divides_by_drawn(const graph::Expr& expr, const std::vector<bool>& drawn) {
  using enum graph::ExprOp;
  constexpr double kEpsilon = 0.01;
  std::vector<bool> small(expr.nodes.size(), false);
  for (std::size_t i = 0; i < expr.nodes.size(); ++i) {
    const graph::ExprNode& node = expr.nodes[i];
    const auto is_small = [&](std::size_t arg) { return small[static_cast<std::size_t>(node.args[arg])]; };
    const auto is_epsilon = [&](std::size_t arg) {
      const graph::ExprNode& other = expr.nodes[static_cast<std::size_t>(node.args[arg])];
      return other.op == constant && graph::is_float(other.type) && std::abs(other.value) <= kEpsilon;
    };
    switch (node.op) {
      case operand: small[i] = drawn[static_cast<std::size_t>(node.operand)]; break;
      case cast: case neg: case abs: case sqrt: small[i] = is_small(0); break;
      case mul: small[i] = is_small(0) || is_small(1); break;
      case add: small[i] = (is_small(0) && is_epsilon(1)) || (is_small(1) && is_epsilon(0)); break;
      case div: if (is_small(1)) return true; break;
      case reciprocal: case rsqrt: if (is_small(0)) return true; break;
      default: break;
    }
  }
  return false;
}

enum class Where : std::uint8_t { anywhere, behind_drawn_divisors };

// `behind_drawn_divisors`: of values that were divided by elements of an input, or depend on such values.
bool saturates(const graph::Graph& graph, Where where) {
  if (where == Where::anywhere)
    return std::any_of(graph.nodes.begin(), graph.nodes.end(), [](const graph::Node& node) { return saturates(node); });
  std::vector<bool> drawn(graph.values.size(), false), divided(graph.values.size(), false);
  for (const graph::ValueId v : graph.inputs) drawn[static_cast<std::size_t>(v)] = graph::is_float(graph.type(v).dtype);
  for (const graph::Node& node : graph.nodes) {
    std::vector<bool> operands;
    bool behind = false;
    for (const graph::ValueId v : node.inputs) {
      operands.push_back(drawn[static_cast<std::size_t>(v)]);
      behind = behind || divided[static_cast<std::size_t>(v)];
    }
    const auto* pointwise = std::get_if<graph::Pointwise>(&node.op);
    behind = behind || (pointwise != nullptr && divides_by_drawn(pointwise->expr, operands));
    if (behind && saturates(node)) return true;
    for (const graph::ValueId v : node.outputs) {
      drawn[static_cast<std::size_t>(v)] = graph::is_view(node.op) && operands.front();
      divided[static_cast<std::size_t>(v)] = behind;
    }
  }
  return false;
}

}  // namespace

std::vector<Conditioning> conditioning_of(const graph::Graph& graph, bool large, std::uint64_t seed,
                                          const std::function<double(std::size_t output)>& effective,
                                          const Differences& differences) {
  std::vector<Conditioning> out(graph.outputs.size());
  const bool together = saturates(graph, large ? Where::anywhere : Where::behind_drawn_divisors);  // elements err so
  std::vector<double> counts;
  for (std::size_t o = 0; o < out.size(); ++o)
    counts.push_back(!graph::is_float(graph.type(graph.outputs[o]).dtype) ? kMany : together ? 1 : effective(o));
  if (std::all_of(counts.begin(), counts.end(), [](double n) { return n >= kMany; })) return out;
  for (int draw = 0; draw < kDraws; ++draw) {
    std::vector<std::uint64_t> seeds;
    for (std::size_t i = 0; i < graph.inputs.size(); ++i)
      seeds.push_back(splitmix64(seed + 1000003 * static_cast<std::uint64_t>(draw) + i));
    const std::vector<Conditioning> of_draw = differences(seeds);
    for (std::size_t o = 0; o < out.size(); ++o) {
      out[o].normwise += of_draw[o].normwise * of_draw[o].normwise / kDraws;
      out[o].max_scaled = std::max(out[o].max_scaled, of_draw[o].max_scaled);
    }
  }
  for (std::size_t o = 0; o < out.size(); ++o) {
    const double widened = counts[o] >= kMany ? 0 : 1 + 6 / counts[o];
    out[o] = {std::sqrt(out[o].normwise) * widened, out[o].max_scaled * widened};
  }
  return out;
}

std::vector<Conditioning> conditioning_of(const graph::Graph& graph, const Evaluate& plain,
                                          const std::vector<graph::Tensor>& inputs,
                                          const std::vector<graph::Tensor>& expected, bool large,
                                          std::uint64_t seed, int threads) {
  const auto effective = [&](std::size_t o) { return effective_count(expected[o], threads); };
  const auto differences = [&](const std::vector<std::uint64_t>& seeds) {
    std::vector<graph::Tensor> near;
    for (std::size_t i = 0; i < inputs.size(); ++i) near.push_back(moved(inputs[i], seeds[i], threads));
    const std::vector<graph::Tensor> got = plain(near);
    std::vector<Conditioning> out;
    for (std::size_t o = 0; o < got.size(); ++o) out.push_back(difference(got[o], expected[o]));
    return out;
  };
  return conditioning_of(graph, large, seed, effective, differences);
}

void allow_for_ties(const graph::Graph& graph, const DifferencesOf& differences, std::vector<Conditioning>& figures) {
  constexpr double kLuck = 2;
  for (const graph::Graph& nudged : graph::nudged(graph)) {
    const std::vector<Conditioning> of = differences(nudged);
    for (std::size_t o = 0; o < figures.size(); ++o) {
      figures[o].normwise = std::max(figures[o].normwise, kLuck * of[o].normwise);
      figures[o].max_scaled = std::max(figures[o].max_scaled, kLuck * of[o].max_scaled);
    }
  }
}

void allow_for_ties(const graph::Graph& graph, const EvaluateGraph& plain, const std::vector<graph::Tensor>& expected,
                    std::vector<Conditioning>& figures) {
  allow_for_ties(
      graph,
      [&](const graph::Graph& nudged) {
        const std::vector<graph::Tensor> got = plain(nudged);
        std::vector<Conditioning> out;
        for (std::size_t o = 0; o < got.size(); ++o) out.push_back(difference(got[o], expected[o]));
        return out;
      },
      figures);
}

}  // namespace kiln::worker
