// oneDNN: which kernels are one of its operations, and the tensors and steps that its templates are given.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "agents/writer/evaluate.h"
#include "agents/writer/onednn.h"
#include "runtime/base/error.h"

namespace kiln::agents::writer {

using graph::DType;
using graph::ExprOp;

namespace {

constexpr std::size_t kLongestRow =
    1 << 16;  // rows longer than this are not matched: evaluating them costs more than it tells

bool all_plain(const std::vector<Access>& list, std::size_t rank) {
  return std::all_of(list.begin(), list.end(), [&](const Access& a) { return is_plain(a, rank); });
}
bool covers(const Access& a, const graph::Shape& space) {
  for (std::size_t d = 0; d < space.size(); ++d)
    if (a.strides[d] == 0 && space[d] > 1) return false;
  return true;
}
graph::Shape joined(graph::Shape batch, std::initializer_list<std::int64_t> extents) {
  batch.insert(batch.end(), extents);
  return batch;
}

// What oneDNN 2.6 has fast code for, by the names of the implementations that it picks (dnnl_query_impl_info_str):
// with other layouts it falls back to reference loops, some 1,000 times slower, which no framework would call.

// Row-major over the dimensions along which it moves.
bool packed(const Access& a, const graph::Shape& space) {
  std::int64_t expected = 1;
  for (std::size_t d = space.size(); d-- > 0;) {
    if (space[d] == 1 || a.strides[d] == 0) continue;
    if (a.strides[d] != expected) return false;
    expected *= space[d];
  }
  return true;
}

// ---- matmul

// An operand of a post-operation moves along the columns; along the rows too, then also along the first dimension.
bool fast_operand(const Access& a, const graph::Shape& space) {
  const auto moves = [&](std::size_t d) { return a.strides[d] != 0 || space[d] == 1; };
  const std::size_t rank = space.size();
  if (!moves(rank - 1)) return false;
  const bool per_column = std::all_of(a.strides.begin(), a.strides.end() - 1, [](std::int64_t s) { return s == 0; });
  return per_column || (moves(0) && moves(rank - 2));
}

// Of a batch with which b moves along some dimensions and not along others, results are row-major.
bool fast_batch(const MatmulKernel& k, const graph::Shape& space) {
  std::size_t moving = 0, standing = 0;
  for (std::size_t d = 0; d < k.batch.size(); ++d)
    if (k.batch[d] > 1) ++(k.b.strides[d] != 0 ? moving : standing);
  return moving == 0 || standing == 0 || dense(k.writes[0], space);
}

std::optional<std::vector<Step>> matmul_steps(const MatmulKernel& k) {
  const std::size_t rank = k.batch.size() + 2;
  const graph::Shape space = joined(k.batch, {k.m, k.n});
  if (rank > kMostDimensions || !is_plain(k.a, rank) || !is_plain(k.b, rank) || !all_plain(k.reads, rank))
    return std::nullopt;
  if (k.writes.size() != 1 || !is_plain(k.writes[0], rank) || !covers(k.writes[0], space) || !fast_batch(k, space))
    return std::nullopt;
  std::optional<std::vector<Step>> steps = chain_of(k.epilogue, k.epilogue.results[0]);
  if (!steps || steps->size() > 8) return std::nullopt;
  for (const Step& step : *steps)
    if (step.operand > 0 && !fast_operand(k.reads[static_cast<std::size_t>(step.operand - 1)], space))
      return std::nullopt;
  return steps;
}

bool is_bias(const Access& a) {
  return a.strides.back() == 1 &&
         std::all_of(a.strides.begin(), a.strides.end() - 1, [](std::int64_t s) { return s == 0; });
}

Hooks matmul_tensors(const MatmulKernel& k) {
  Hooks hooks;
  const std::vector<Step> steps = *matmul_steps(k);
  const graph::Shape out = joined(k.batch, {k.m, k.n});
  hooks.figures = fmt::format("constexpr Tensor kA = {};\n",
                              tensor_text(k.a, joined(k.batch, {k.m, k.k}), hooks.arguments.input(k.a.buffer)));
  hooks.figures += fmt::format("constexpr Tensor kB = {};\n",
                               tensor_text(k.b, joined(k.batch, {k.k, k.n}), hooks.arguments.input(k.b.buffer)));
  const auto read = [&](const Step& s) -> const Access& { return k.reads[static_cast<std::size_t>(s.operand - 1)]; };
  const bool bias = !steps.empty() && steps[0].algorithm == "binary_add" && is_bias(read(steps[0]));
  hooks.figures += fmt::format("constexpr bool kHasBias = {};\n", bias);
  hooks.figures +=
      fmt::format("constexpr Tensor kBias = {};\n",
                  bias ? tensor_text(read(steps[0]), out, hooks.arguments.input(read(steps[0]).buffer)) : "{}");
  std::string operands, positions;
  std::int64_t operand_count = 0;
  const std::size_t first = bias ? 1 : 0;
  for (std::size_t i = first; i < steps.size(); ++i) {
    if (steps[i].operand < 0) continue;
    const Access& a = read(steps[i]);
    ++operand_count;
    operands += fmt::format("\n    {},", tensor_text(a, out, hooks.arguments.input(a.buffer)));
    positions += fmt::format("{}{}", positions.empty() ? "" : ", ", i - first);
  }
  hooks.figures += constant("kOperandCount", operand_count);
  hooks.figures += fmt::format("constexpr Tensor kOperands[kOperandCount + 1] = {{{}}};\n", operands);
  hooks.figures += fmt::format(
      "constexpr int kOperandSteps[kOperandCount + 1] = {{{}}};  // their positions among the steps\n", positions);
  hooks.figures += fmt::format("constexpr Tensor kC = {};\n",
                               tensor_text(k.writes[0], out, hooks.arguments.output(k.writes[0].buffer)));
  hooks.figures += fmt::format("constexpr bool kBIsWeight = {};\n", k.b_is_weight);
  const auto most =
      std::max_element(k.batch.begin(), k.batch.end());  // of no batch: the end, which is no dimension to cut
  hooks.figures +=
      fmt::format("constexpr int kBatchDimension = {};  // the longest, {} when there is none\n\n",
                  k.batch.empty() ? out.size() : static_cast<std::size_t>(most - k.batch.begin()), out.size());
  hooks.figures += steps_text(steps, first);
  return hooks;
}

// ---- rows

struct RowOperation {
  std::string name;       // softmax, log_softmax, layer_norm, or dnnl's reduction algorithm
  std::int32_t x = 0;     // the operand that varies over everything
  std::int32_t scale = -1, shift = -1;
  double epsilon = 0;
};

// Values without pattern, both signs, one magnitude: sin of odd multiples.
Values samples(std::size_t length, double seed) {
  Values out(length);
  for (std::size_t i = 0; i < length; ++i) out[i] = 1.5 * std::sin(static_cast<double>(i + 1) * 1.7 + seed) + 0.25;
  return out;
}

bool equal_rows(const Values& got, const Values& want) {
  const std::size_t n = std::max(got.size(), want.size());
  for (std::size_t i = 0; i < n; ++i) {
    const double a = got.size() == 1 ? got[0] : got[i], b = want.size() == 1 ? want[0] : want[i];
    if (!(std::fabs(a - b) <= 1e-7 * (1 + std::fabs(b)))) return false;
  }
  return true;
}

double sum_of(const Values& x) {
  double s = 0;
  for (const double v : x) s += v;
  return s;
}

Values softmax_of(const Values& x, bool log) {
  const double most = *std::max_element(x.begin(), x.end());
  Values out = x;
  for (double& v : out) v = std::exp(v - most);
  const double total = sum_of(out);
  for (std::size_t i = 0; i < x.size(); ++i) out[i] = log ? x[i] - most - std::log(total) : out[i] / total;
  return out;
}

Values layer_norm_of(const Values& x, const Values& scale, const Values& shift, double epsilon) {
  const auto n = static_cast<double>(x.size());
  const double mean = sum_of(x) / n;
  double variance = 0;
  for (const double v : x) variance += (v - mean) * (v - mean);
  variance /= n;
  Values out = x;
  for (std::size_t i = 0; i < x.size(); ++i)
    out[i] = (x[i] - mean) / std::sqrt(variance + epsilon) * scale[i] + shift[i];
  return out;
}

std::optional<std::string> reduction_of(const Values& x, double got) {
  const double sum = sum_of(x), length = static_cast<double>(x.size());
  double product = 1;
  for (const double v : x) product *= v;
  const std::pair<const char*, double> known[] = {{"reduction_sum", sum},
                                                  {"reduction_mean", sum / length},
                                                  {"reduction_max", *std::max_element(x.begin(), x.end())},
                                                  {"reduction_min", *std::min_element(x.begin(), x.end())},
                                                  {"reduction_mul", product}};
  for (const auto& [name, value] : known)
    if (equal_rows({got}, {value})) return name;
  return std::nullopt;
}

std::optional<RowOperation> row_operation(const RowKernel& k) {
  const std::size_t rank = k.outer.size() + 1;
  const auto length = static_cast<std::size_t>(k.length);
  if (k.writes.size() != 1 || !k.along.empty() || k.length < 2 || length > kLongestRow || rank > kMostDimensions ||
      !all_plain(k.reads, rank))
    return std::nullopt;
  const std::int32_t root = k.expr.results[0];
  const graph::Shape space = joined(k.outer, {k.length});
  const Access& out = k.writes[0];
  if (out.type != DType::f32) return std::nullopt;
  RowOperation op;
  std::vector<Values> operands;
  for (std::size_t i = 0; i < k.reads.size(); ++i) operands.push_back(samples(length, static_cast<double>(i) * 0.37));

  if (k.reads.size() == 1) {
    const Access& x = k.reads[0];
    if (!dense(x, space)) return std::nullopt;
    const std::optional<Values> got = evaluate_rows(k.expr, operands, length, root);
    if (!got) return std::nullopt;
    if (k.write_per_row[0]) {
      const std::optional<std::string> name = reduction_of(operands[0], got->front());
      if (!name || !dense(out, k.outer)) return std::nullopt;
      op.name = *name;
      return op;
    }
    if (!dense(out, space)) return std::nullopt;
    for (const bool log : {false, true})
      if (equal_rows(*got, softmax_of(operands[0], log))) {
        op.name = log ? "log_softmax" : "softmax";
        return op;
      }
    return std::nullopt;
  }
  // Layer normalisation: x over everything, scale and shift along the row only.
  if (k.write_per_row[0] || k.reads.size() > 3 || !dense(out, space)) return std::nullopt;
  std::vector<std::int32_t> parameters;
  op.x = -1;
  for (std::size_t i = 0; i < k.reads.size(); ++i) {
    if (dense(k.reads[i], space) && (product(k.outer) > 1 || !is_bias(k.reads[i]) || (op.x < 0 && i == 0))) {
      if (op.x >= 0) return std::nullopt;
      op.x = static_cast<std::int32_t>(i);
    } else if (is_bias(k.reads[i])) {
      parameters.push_back(static_cast<std::int32_t>(i));
    } else {
      return std::nullopt;
    }
  }
  if (op.x < 0) return std::nullopt;
  const std::optional<Values> got = evaluate_rows(k.expr, operands, length, root);
  if (!got) return std::nullopt;
  const Values ones(length, 1.0), zeros(length, 0.0);
  std::sort(parameters.begin(), parameters.end());
  do {
    op.scale = parameters[0];
    op.shift = parameters.size() > 1 ? parameters[1] : -1;
    for (const graph::ExprNode& node : k.expr.nodes) {
      if (node.op != ExprOp::constant || !(node.value >= 0) || node.value > 1) continue;
      op.epsilon = node.value;
      op.name = "layer_norm";
      const Values want =
          layer_norm_of(operands[static_cast<std::size_t>(op.x)], operands[static_cast<std::size_t>(op.scale)],
                        op.shift < 0 ? zeros : operands[static_cast<std::size_t>(op.shift)], op.epsilon);
      if (equal_rows(*got, want)) return op;
    }
  } while (std::next_permutation(parameters.begin(), parameters.end()));
  return std::nullopt;
}

Hooks row_tensors(const RowKernel& k) {
  Hooks hooks;
  const RowOperation op = *row_operation(k);
  const graph::Shape space = {product(k.outer), k.length};  // dense, so the outer dimensions are one
  const auto flat = [](const Access& a, std::int64_t row, std::int64_t column) {
    Access out = a;
    out.strides = {row, column};
    return out;
  };
  const auto read = [&](std::int32_t i) -> const Access& { return k.reads[static_cast<std::size_t>(i)]; };
  hooks.figures = fmt::format("constexpr Tensor kX = {};\n", tensor_text(flat(read(op.x), k.length, 1), space,
                                                                         hooks.arguments.input(read(op.x).buffer)));
  for (const auto& [name, operand] : {std::pair{"kScale", op.scale}, std::pair{"kShift", op.shift}})
    hooks.figures += operand < 0 ? fmt::format("constexpr Tensor {} = {{}};\n", name)
                                 : fmt::format("constexpr Tensor {} = {{{}, {}, 1, {{kLength}}, {{1}}}};\n", name,
                                               hooks.arguments.input(read(operand).buffer), read(operand).offset);
  const Access& out = k.writes[0];
  hooks.figures += fmt::format("constexpr Tensor kY = {};\n",
                               tensor_text(k.write_per_row[0] ? flat(out, 1, 0) : flat(out, k.length, 1), space,
                                           hooks.arguments.output(out.buffer)));
  const bool reduces = op.name.rfind("reduction_", 0) == 0;
  hooks.figures =
      constant("kLength", k.length, "elements of a row") + hooks.figures +
      "enum class Operation { softmax, log_softmax, layer_norm, reduction };\n" +
      fmt::format("constexpr Operation kOperation = Operation::{};\n", reduces ? "reduction" : op.name) +
      fmt::format("constexpr dnnl_alg_kind_t kReduction = dnnl_{};\n", reduces ? op.name : "reduction_sum") +
      fmt::format("constexpr float kEpsilon = {};\n", float_literal(op.epsilon, DType::f32));
  return hooks;
}

// ---- pointwise

struct PointwiseOperation {
  std::int32_t x = 0;
  std::optional<Step> step;  // none: a copy
};

std::optional<PointwiseOperation> pointwise_operation(const PointwiseKernel& k) {
  const std::size_t rank = k.space.size();
  if (k.writes.size() != 1 || rank > kMostDimensions || !all_plain(k.reads, rank) || !all_plain(k.writes, rank))
    return std::nullopt;
  if (k.reads.empty() || k.reads.size() > 2 || !covers(k.writes[0], k.space)) return std::nullopt;
  const std::int32_t root = k.expr.results[0];
  if (k.reads.size() == 1) {
    const std::optional<std::vector<Step>> chain = chain_of(k.expr, root);
    if (!chain || chain->size() > 1) return std::nullopt;
    if (chain->empty()) return covers(k.reads[0], k.space) ? std::optional(PointwiseOperation{}) : std::nullopt;
    if (!dense(k.reads[0], k.space) || !dense(k.writes[0], k.space)) return std::nullopt;
    return PointwiseOperation{0, chain->front()};
  }
  for (const std::int32_t x : {0, 1}) {
    graph::Expr expr = k.expr;  // with the candidate as operand 0
    for (graph::ExprNode& node : expr.nodes)
      if (node.op == ExprOp::operand && x == 1) node.operand = 1 - node.operand;
    const std::optional<std::vector<Step>> chain = chain_of(expr, root);
    if (!chain || chain->size() != 1 || chain->front().operand < 0) continue;
    if (!dense(k.reads[static_cast<std::size_t>(x)], k.space) || !dense(k.writes[0], k.space)) continue;
    // It has none either for an operand in another order, or that is the same along the last dimension only.
    const Access& other = k.reads[static_cast<std::size_t>(1 - x)];
    const bool scalar = std::all_of(other.strides.begin(), other.strides.end(), [](std::int64_t s) { return s == 0; });
    if (!packed(other, k.space) || (!scalar && other.strides.back() != 1 && k.space.back() > 1)) continue;
    return PointwiseOperation{x, chain->front()};
  }
  return std::nullopt;
}

Hooks pointwise_tensors(const PointwiseKernel& k) {
  Hooks hooks;
  const PointwiseOperation op = *pointwise_operation(k);
  const Access& x = k.reads[static_cast<std::size_t>(op.x)];
  const bool binary = op.step && op.step->operand >= 0;
  hooks.figures = fmt::format("constexpr Tensor kX = {};\n", tensor_text(x, k.space, hooks.arguments.input(x.buffer)));
  const Access& other = k.reads[static_cast<std::size_t>(1 - op.x) % k.reads.size()];
  hooks.figures += fmt::format("constexpr Tensor kOther = {};\n",
                               binary ? tensor_text(other, k.space, hooks.arguments.input(other.buffer)) : "{}");
  hooks.figures += fmt::format("constexpr Tensor kY = {};\n",
                               tensor_text(k.writes[0], k.space, hooks.arguments.output(k.writes[0].buffer)));
  hooks.figures += fmt::format(
      "enum class Operation {{ copy, eltwise, binary }};\nconstexpr Operation kOperation = Operation::{};\n",
      !op.step ? "copy"
      : binary ? "binary"
               : "eltwise");
  hooks.figures +=
      fmt::format("constexpr dnnl_alg_kind_t kAlgorithm = dnnl_{};\n", op.step ? op.step->algorithm : "alg_kind_undef");
  hooks.figures +=
      fmt::format("constexpr float kAlpha = {}, kBeta = {};\n", float_literal(op.step ? op.step->alpha : 0, DType::f32),
                  float_literal(op.step ? op.step->beta : 0, DType::f32));
  return hooks;
}

}  // namespace

bool accepts_onednn(const store::TemplateSpec&, const Kernel& kernel) {
  if (const auto* k = std::get_if<MatmulKernel>(&kernel)) return matmul_steps(*k).has_value();
  if (const auto* k = std::get_if<RowKernel>(&kernel)) return row_operation(*k).has_value();
  if (const auto* k = std::get_if<PointwiseKernel>(&kernel)) return pointwise_operation(*k).has_value();
  if (const auto* k = std::get_if<ConvolutionKernel>(&kernel)) return convolution_steps(*k).has_value();
  return false;
}

Hooks onednn_hooks(const store::TemplateSpec& spec, const Kernel& kernel) {
  if (const auto* k = std::get_if<MatmulKernel>(&kernel)) return matmul_tensors(*k);
  if (const auto* k = std::get_if<RowKernel>(&kernel)) return row_tensors(*k);
  if (const auto* k = std::get_if<PointwiseKernel>(&kernel)) return pointwise_tensors(*k);
  if (const auto* k = std::get_if<ConvolutionKernel>(&kernel)) return convolution_tensors(*k);
  throw Error(ErrorCode::unsupported,
              fmt::format("cannot render {}/{}: oneDNN has no such operation", spec.family, spec.name));
}

}  // namespace kiln::agents::writer
