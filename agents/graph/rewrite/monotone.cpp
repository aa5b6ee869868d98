#include "agents/graph/rewrite/monotone.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "agents/graph/rewrite/cone.h"

namespace kiln::graph::rewrite {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr Range kAll = {-kInfinity, kInfinity};

struct Bounded {
  Direction direction = Direction::unknown;
  Range range = kAll;
};

Direction turned(Direction d) {
  if (d == Direction::grows) return Direction::falls;
  return d == Direction::falls ? Direction::grows : d;
}

Direction both(Direction a, Direction b) {
  if (a == Direction::still) return b;
  return b == Direction::still || a == b ? a : Direction::unknown;
}

bool finite(const Range& r) { return std::isfinite(r.low) && std::isfinite(r.high); }

// Times, or over, what stands still: only by finite factors of one sign, so that 0 times infinity does not occur.
Bounded scaled(const Bounded& a, const Bounded& factor) {
  const Range& f = factor.range;
  if (factor.direction != Direction::still || !finite(f) || (f.low <= 0 && f.high >= 0)) return {};
  return {f.low > 0 ? a.direction : turned(a.direction), kAll};
}

Bounded sum(const Bounded& a, const Bounded& b) {
  const auto safe = [](const Bounded& x) { return x.direction != Direction::still || finite(x.range); };
  const Direction direction = both(a.direction, b.direction);
  return {safe(a) && safe(b) ? direction : Direction::unknown,
          {a.range.low + b.range.low, a.range.high + b.range.high}};
}

Bounded negated(const Bounded& a) { return {turned(a.direction), {-a.range.high, -a.range.low}}; }

// A function that grows over all reals; its own range bounds the result's.
Bounded through(const Bounded& a, double (*f)(double)) {
  return {a.direction, {f(a.range.low), f(a.range.high)}};
}

// The same over [low, inf), beyond which there is nothing but NaN.
Bounded from(double low, const Bounded& a, double (*f)(double)) {
  return a.range.low >= low ? through(a, f) : Bounded{};
}

double sigmoid(double x) { return 1 / (1 + std::exp(-x)); }

// x < c ? f : g, where both grow (or both fall) and meet without a step the other way.
Bounded selected(const Expr& expr, const ExprNode& node, const std::vector<Bounded>& known, std::int32_t varying) {
  const auto at = [&](std::int32_t i) -> const ExprNode& { return expr.nodes[static_cast<std::size_t>(i)]; };
  const ExprNode& condition = at(node.args[0]);
  if (condition.op != ExprOp::less && condition.op != ExprOp::less_equal) return {};
  const ExprNode& x = at(condition.args[0]);
  const ExprNode& limit = at(condition.args[1]);
  if (x.op != ExprOp::operand || x.operand != varying || limit.op != ExprOp::constant) return {};
  const Bounded& below = known[static_cast<std::size_t>(node.args[1])];
  const Bounded& above = known[static_cast<std::size_t>(node.args[2])];
  const Direction direction = both(below.direction, above.direction);
  if (direction != Direction::grows && direction != Direction::falls) return {};
  Expr side = expr;
  side.results = {node.args[1]};
  const double before = evaluate_at(side, limit.value);
  side.results = {node.args[2]};
  const double after = evaluate_at(side, limit.value);
  const bool meets = direction == Direction::grows ? before <= after : before >= after;
  return {meets ? direction : Direction::unknown,
          {std::min(below.range.low, above.range.low), std::max(below.range.high, above.range.high)}};
}

Bounded combined(ExprOp op, const Bounded& a, const Bounded& b) {
  switch (op) {
    case ExprOp::neg: return negated(a);
    case ExprOp::add: return sum(a, b);
    case ExprOp::sub: return sum(a, negated(b));
    case ExprOp::mul: return a.direction == Direction::still ? scaled(b, a) : scaled(a, b);
    case ExprOp::div: return scaled(a, b);
    case ExprOp::min:
      return {both(a.direction, b.direction),
              {std::min(a.range.low, b.range.low), std::min(a.range.high, b.range.high)}};
    case ExprOp::max:
      return {both(a.direction, b.direction),
              {std::max(a.range.low, b.range.low), std::max(a.range.high, b.range.high)}};
    case ExprOp::exp: return through(a, std::exp);
    case ExprOp::expm1: return through(a, std::expm1);
    case ExprOp::tanh: return through(a, std::tanh);
    case ExprOp::erf: return through(a, std::erf);
    case ExprOp::atan: return through(a, std::atan);
    case ExprOp::asinh: return through(a, std::asinh);
    case ExprOp::sigmoid: return through(a, sigmoid);
    case ExprOp::floor: return through(a, std::floor);
    case ExprOp::ceil: return through(a, std::ceil);
    case ExprOp::round: return through(a, std::nearbyint);
    case ExprOp::sqrt: return from(0, a, std::sqrt);
    case ExprOp::log: return from(0, a, std::log);
    case ExprOp::log1p: return from(-1, a, std::log1p);
    default: return {};
  }
}

}  // namespace

Direction direction_of(const Expr& expr, std::int32_t varying, const std::vector<Range>& others) {
  const bool alone = others.size() == 1;  // selected() evaluates branches, which it can where x is the only operand
  std::vector<Bounded> known;
  for (const ExprNode& node : expr.nodes) {
    const auto argument = [&](std::size_t i) {
      return node.args[i] < 0 ? Bounded{} : known[static_cast<std::size_t>(node.args[i])];
    };
    if (!is_float(node.type) && node.type != DType::boolean) return Direction::unknown;
    if (node.op == ExprOp::operand) {
      const bool varies = node.operand == varying;
      known.push_back({varies ? Direction::grows : Direction::still,
                       varies ? kAll : others[static_cast<std::size_t>(node.operand)]});
    } else if (node.op == ExprOp::constant) {
      known.push_back({Direction::still, {node.value, node.value}});
    } else if (node.op == ExprOp::select) {
      known.push_back(alone ? selected(expr, node, known, varying) : Bounded{});
    } else {
      known.push_back(combined(node.op, argument(0), argument(1)));
    }
    const Range& range = known.back().range;
    if (std::isnan(range.low) || std::isnan(range.high)) known.back() = {};
  }
  return known[static_cast<std::size_t>(expr.results[0])].direction;
}

}  // namespace kiln::graph::rewrite
