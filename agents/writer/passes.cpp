#include "agents/writer/passes.h"

#include <fmt/format.h>

#include <algorithm>

namespace kiln::agents::writer {

using graph::DType;
using graph::ExprNode;
using graph::ExprOp;

namespace {

// Kept rows beyond this push the row itself out of the first-level cache; template.toml's scratch_bytes counts on it.
constexpr int kMostKept = 2;

bool in_lanes_of_f32(DType type) { return graph::is_float(type) && type != DType::f64; }

}  // namespace

Passes::Passes(const RowKernel& kernel, bool keep, bool joint) : k(kernel) {
  const std::size_t n = k.expr.nodes.size();
  varies.resize(n);
  level.resize(n);
  kept.assign(n, -1);
  kept_level.assign(n, -1);
  sum_of.assign(n, -1);
  for (std::size_t i = 0; i < n; ++i) {
    const ExprNode& node = k.expr.nodes[i];
    if (node.op == ExprOp::operand) varies[i] = varies_along(k, k.reads[index(node.operand)]);
    for (int a = 0; a < graph::arity(node.op); ++a) {
      varies[i] = varies[i] || varies[index(node.args[index(a)])];
      level[i] = std::max(level[i], level[index(node.args[index(a)])]);
    }
    if (graph::is_row_reduction(node.op)) {
      varies[i] = false;
      ++level[i];
      if (joint) sum_of[i] = sum_behind(node);
      if (sum_of[i] >= 0) level[i] = level[index(sum_of[i])];
    }
    count = std::max(count, level[i] + 1);
  }
  if (keep) choose_kept();
}

// The sum of x, where `squares` is the sum of (x - mean)^2 along the row and the mean that sum over the row's length.
std::int32_t Passes::sum_behind(const ExprNode& squares) const {
  const auto node = [&](std::int32_t i) -> const ExprNode& { return k.expr.nodes[index(i)]; };
  if (squares.op != ExprOp::row_sum || !graph::is_float(squares.type) || squares.type == DType::f64) return -1;
  const ExprNode& product = node(squares.args[0]);
  if (product.op != ExprOp::mul || product.args[0] != product.args[1]) return -1;
  const ExprNode& centred = node(product.args[0]);
  if (centred.op != ExprOp::sub || !varies[index(centred.args[0])]) return -1;
  const ExprNode& mean = node(centred.args[1]);
  if (mean.op != ExprOp::div) return -1;
  const ExprNode& length = node(mean.args[1]);
  const bool whole = length.op == ExprOp::constant && length.value == static_cast<double>(k.length);
  const ExprNode& sum = node(mean.args[0]);
  return whole && sum.op == ExprOp::row_sum && sum.args[0] == centred.args[0] ? mean.args[0] : -1;
}

std::vector<std::int32_t> Passes::roots(int p) const {
  std::vector<std::int32_t> out;
  for (const std::size_t i : reductions(p))
    out.push_back(k.expr.nodes[sum_of[i] < 0 ? i : index(sum_of[i])].args[0]);
  if (p == count - 1)
    for (std::size_t r = 0; r < k.writes.size(); ++r)
      if (!k.write_per_row[r]) out.push_back(k.expr.results[r]);
  return out;
}

std::vector<std::size_t> Passes::reductions(int p) const {
  std::vector<std::size_t> out;
  for (std::size_t i = 0; i < k.expr.nodes.size(); ++i)
    if (graph::is_row_reduction(k.expr.nodes[i].op) && level[i] == p + 1) out.push_back(i);
  return out;
}

std::vector<std::size_t> Passes::row_values(int at) const {
  std::vector<std::size_t> out;
  for (std::size_t i = 0; i < k.expr.nodes.size(); ++i)
    if (!varies[i] && level[i] == at && !graph::is_row_reduction(k.expr.nodes[i].op)) out.push_back(i);
  return out;
}

std::string Passes::scalar_members(const std::function<std::string(graph::DType)>& type) const {
  std::string out;
  for (std::size_t i = 0; i < k.expr.nodes.size(); ++i)
    if (!varies[i]) out += fmt::format("  {} s{};\n", type(k.expr.nodes[i].type), i);
  return out.empty() ? "  int none;\n" : out;
}

std::string Passes::describe(int p) const {
  std::string out;
  for (const std::size_t i : reductions(p))
    out += fmt::format("{}{}", out.empty() ? "" : ", ", graph::name(k.expr.nodes[i].op));
  if (p == count - 1) out += out.empty() ? "writes the results" : ", writes the results";
  return out;
}

std::vector<bool> Passes::needed(int p) const {
  std::vector<bool> out(k.expr.nodes.size());
  for (const std::int32_t root : roots(p)) out[index(root)] = true;
  for (std::size_t i = k.expr.nodes.size(); i-- > 0;) {
    if (!out[i] || (kept[i] >= 0 && kept_level[i] < p)) continue;
    const ExprNode& node = k.expr.nodes[i];
    if (graph::is_row_reduction(node.op)) continue;
    for (int a = 0; a < graph::arity(node.op); ++a) out[index(node.args[index(a)])] = true;
  }
  return out;
}

void Passes::choose_kept() {
  for (int p = 0; p + 1 < count; ++p) {
    const std::vector<bool> here = needed(p);
    for (std::size_t i = k.expr.nodes.size(); i-- > 0 && slots < kMostKept;) {
      if (!here[i] || !varies[i] || kept[i] >= 0 || effort(i, p) < 3) continue;
      if (!in_lanes_of_f32(k.expr.nodes[i].type)) continue;
      bool later = false;
      for (int q = p + 1; q < count; ++q) later = later || needed(q)[i];
      if (!later) continue;
      kept[i] = slots++;
      kept_level[i] = p;
    }
  }
}

// Rough cost of computing a node again in a pass after `p`; a load counts one, as does an operation.
int Passes::effort(std::size_t i, int p) const {
  const ExprNode& node = k.expr.nodes[i];
  if (!varies[i]) return 0;
  if (node.op == ExprOp::operand || (kept[i] >= 0 && kept_level[i] <= p)) return 1;
  int sum = 1;
  switch (node.op) {
    case ExprOp::exp:
    case ExprOp::log:
    case ExprOp::tanh:
    case ExprOp::erf:
    case ExprOp::sigmoid:
    case ExprOp::pow:
    case ExprOp::sin:
    case ExprOp::cos:
    case ExprOp::sqrt:
    case ExprOp::rsqrt:
    case ExprOp::div:
    case ExprOp::mod:
      sum = 8;
      break;
    default:
      break;
  }
  for (int a = 0; a < graph::arity(node.op); ++a) sum = std::min(100, sum + effort(index(node.args[index(a)]), p));
  return sum;
}

}  // namespace kiln::agents::writer
