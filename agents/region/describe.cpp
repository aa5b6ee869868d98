#include <algorithm>

#include "agents/region/kernel.h"

namespace kiln::agents {
namespace {

using graph::ExprOp;

std::string sizes(const graph::Shape& shape) {
  std::string text;
  for (const std::int64_t extent : shape) text += (text.empty() ? "" : "x") + std::to_string(extent);
  return text;
}

std::string batches(const graph::Shape& batch) { return batch.empty() ? "" : sizes(batch) + " x "; }

bool has(const graph::Expr& expr, ExprOp op) {
  return std::any_of(expr.nodes.begin(), expr.nodes.end(), [&](const graph::ExprNode& n) { return n.op == op; });
}

std::size_t how_many(const graph::Expr& expr) {
  return static_cast<std::size_t>(std::count_if(expr.nodes.begin(), expr.nodes.end(), [](const graph::ExprNode& n) {
    return n.op != ExprOp::operand && n.op != ExprOp::constant;
  }));
}

// The names that people know; else how many operations there are.
std::string what(const graph::Expr& expr, const std::vector<Access>& reads) {
  if (has(expr, ExprOp::erf)) return reads.empty() ? "gelu" : "bias + gelu";
  if (has(expr, ExprOp::tanh)) return reads.empty() ? "tanh" : "bias + tanh";
  if (has(expr, ExprOp::sigmoid)) return "sigmoid";
  const std::size_t count = how_many(expr);
  if (count == 1 && has(expr, ExprOp::add)) return "add";
  if (count == 2 && reads.size() == 2 && has(expr, ExprOp::add)) return "bias + residual";
  if (count == 0) return "";
  return std::to_string(count) + " ops";
}

std::string tail(const graph::Expr& expr, const std::vector<Access>& reads) {
  const std::string text = what(expr, reads);
  return text.empty() ? "" : " + " + text;
}

std::string row_name(const graph::Expr& expr) {
  const bool sum = has(expr, ExprOp::row_sum);
  if (has(expr, ExprOp::row_max) && sum && has(expr, ExprOp::exp))
    return has(expr, ExprOp::log) ? "log_softmax" : "softmax";
  if (sum && (has(expr, ExprOp::sqrt) || has(expr, ExprOp::rsqrt))) return "normalise";
  if (sum) return "sum";
  return has(expr, ExprOp::row_max) ? "max" : has(expr, ExprOp::row_min) ? "min" : "prod";
}

std::string statistics(const std::optional<Statistics>& of) {
  if (!of) return "";
  const graph::Shape& outer = of->rows.outer;
  return ", " + row_name(of->rows.expr) + " of " + (outer.empty() ? "all" : sizes(outer) + " rows");
}

struct Describe {
  std::string operator()(const PointwiseKernel& k) const {
    const std::string ops = what(k.expr, {});
    return (ops.empty() ? "copy " : "pointwise ") + sizes(k.space) + (ops.empty() ? "" : ", " + ops);
  }
  std::string operator()(const RowKernel& k) const {
    return row_name(k.expr) + " " + (k.outer.empty() ? "" : sizes(k.outer) + " rows of ") + std::to_string(k.length);
  }
  std::string operator()(const MatmulKernel& k) const {
    return "matmul " + batches(k.batch) + sizes({k.m, k.n, k.k}) + tail(k.epilogue, k.reads) +
           statistics(k.statistics);
  }
  std::string operator()(const AttentionKernel& k) const {
    return "attention " + batches(k.batch) + sizes({k.s, k.t, k.d}) + (k.e == k.d ? "" : "x" + std::to_string(k.e)) +
           (k.causal ? " causal" : "") + (k.mask ? " masked" : "") + (k.guarded ? " guarded" : "");
  }
  std::string operator()(const GatherKernel& k) const {
    return "gather " + std::to_string(k.index_count) + " of " + std::to_string(k.axis) + ", " +
           sizes({k.outer, k.inner}) + tail(k.epilogue, k.reads);
  }
  std::string operator()(const ConcatKernel& k) const {
    return "concat " + std::to_string(k.sources.size()) + " into " + sizes(k.space);
  }
  std::string operator()(const ConvolutionKernel& k) const {
    const std::string grouped = k.groups == 1 ? "" : " in " + std::to_string(k.groups) + " groups";
    return (k.transposed ? "transposed convolution " : "convolution ") + std::to_string(k.n) + " x " +
           sizes({k.groups * k.c}) + "x" + sizes(k.in) + " by " + sizes({k.groups * k.m}) + "x" + sizes(k.window) +
           grouped + tail(k.epilogue, k.reads) + statistics(k.statistics);
  }
  std::string operator()(const WindowKernel& k) const {
    constexpr std::string_view names[] = {"sum", "mean", "max", "min", "prod", "log-sum-exp"};
    return std::string(names[static_cast<std::size_t>(k.op.monoid)]) + " of windows " + sizes(k.op.kernel) + " over " +
           std::to_string(k.outer) + " x " + sizes(k.in);
  }
  std::string operator()(const PadKernel& k) const { return "pad " + sizes(k.in) + " to " + sizes(k.out); }
  std::string operator()(const LineKernel& k) const {
    constexpr std::string_view names[] = {"scan", "arg", "top-k"};
    return std::string(names[k.op.index()]) + " " + sizes({k.before, k.after}) + " lines of " +
           std::to_string(k.length);
  }
  std::string operator()(const ScatterKernel& k) const {
    return "scatter " + std::to_string(k.count) + " of " + std::to_string(k.rows) + " rows of " +
           std::to_string(k.inner);
  }
  std::string operator()(const RecurrentKernel& k) const {
    constexpr std::string_view names[] = {"rnn", "gru", "lstm"};
    return std::string(names[static_cast<std::size_t>(k.op.cell)]) + " " + std::to_string(k.steps) + " steps, " +
           sizes({k.batch, k.hidden});
  }
};

}  // namespace

std::string_view anchor(const Kernel& kernel) {
  constexpr std::string_view names[] = {"pointwise", "row",    "matmul", "attention", "gather",  "concat",
                                       "convolution", "window", "pad",    "line",      "scatter", "recurrent"};
  return names[kernel.index()];
}

const Statistics* statistics_of(const Kernel& kernel) {
  const auto of = [](const std::optional<Statistics>& s) { return s ? &*s : nullptr; };
  if (const auto* product = std::get_if<MatmulKernel>(&kernel)) return of(product->statistics);
  if (const auto* convolution = std::get_if<ConvolutionKernel>(&kernel)) return of(convolution->statistics);
  return nullptr;
}

std::string describe(const Kernel& kernel) { return std::visit(Describe{}, kernel); }

}  // namespace kiln::agents
