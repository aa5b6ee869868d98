// Hooks of the matmul family on a GPU: one element of A, of B, and of the epilogue.
#include <fmt/format.h>

#include <algorithm>

#include "agents/writer/device/device.h"
#include "agents/writer/device/statistics.h"

namespace kiln::agents::writer::device {

using graph::DType;

namespace {

std::int64_t from_end(const Access& access, std::size_t back) { return access.strides[access.strides.size() - back]; }

graph::Shape extended(graph::Shape batch, std::int64_t rows, std::int64_t columns) {
  batch.push_back(rows);
  batch.push_back(columns);
  return batch;
}

}  // namespace

bool accepts_matmul(const MatmulKernel& k) {
  const auto shaped = [&](const Access& a) { return a.strides.size() == k.batch.size() + 2; };
  if (k.m < 1 || k.n < 1 || k.k < 1 || !shaped(k.a) || !shaped(k.b) || k.a.type != k.b.type ||
      !graph::is_float(k.a.type))
    return false;
  if (!std::all_of(k.reads.begin(), k.reads.end(), shaped) || !std::all_of(k.writes.begin(), k.writes.end(), shaped))
    return false;
  return std::none_of(k.epilogue.nodes.begin(), k.epilogue.nodes.end(),
                      [](const graph::ExprNode& n) { return graph::is_row_reduction(n.op); });
}

Hooks product_hooks(const MatmulKernel& k, std::int64_t parts) {
  Hooks hooks;
  std::vector<Access> reads = {k.a, k.b};
  reads.insert(reads.end(), k.reads.begin(), k.reads.end());
  const graph::Shape out = extended(k.batch, k.m, k.n);
  bool wide = is_wide(k.a, extended(k.batch, k.m, k.k)) || is_wide(k.b, extended(k.batch, k.k, k.n)) ||
              product(out) >= (std::int64_t{1} << 30);
  for (const Access& access : k.reads) wide = wide || is_wide(access, out);
  for (const Access& access : k.writes) wide = wide || is_wide(access, out);
  hooks.figures =
      index_type(wide) + fmt::format("using Value = {};  // of the sums\n", value_type(k.a.type)) +
      fmt::format("constexpr index_t kM = {};\nconstexpr index_t kN = {};\nconstexpr index_t kK = {};\n", k.m, k.n,
                  k.k) +
      fmt::format("constexpr int kAColumn = {};  // whether neighbours along k are neighbours in memory\n",
                  from_end(k.a, 1) == 1 ? 1 : 0) +
      fmt::format("constexpr int kBColumn = {};  // the same of neighbours along n\n", from_end(k.b, 1) == 1 ? 1 : 0);

  std::string code = place_functions({reads, k.writes, -1}, k.batch);
  const auto load = [&](const char* name, std::size_t number, const char* row, const char* column) {
    const Access& access = reads[number];
    return fmt::format(
        "KILN_DEVICE Value {}(const Arguments& arguments, const Place& at, index_t {}, index_t {}) {{\n  return "
        "{};\n}}\n",
        name, row, column,
        element_value(access, number, strided({{row, from_end(access, 2)}, {column, from_end(access, 1)}}),
                      hooks.arguments));
  };
  code += load("load_a", 0, "i", "p") + load("load_b", 1, "p", "j");
  std::vector<DType> types = {k.a.type};
  std::string call = "sum", declare, stores;
  for (std::size_t i = 0; i < k.reads.size(); ++i) {
    types.push_back(k.reads[i].type);
    call += ", " + element_value(k.reads[i], i + 2,
                                 strided({{"i", from_end(k.reads[i], 2)}, {"j", from_end(k.reads[i], 1)}}),
                                 hooks.arguments);
  }
  const graph::Expr epilogue = with_observed(k.epilogue, k.statistics);
  for (std::size_t r = 0; r < epilogue.results.size(); ++r) {
    declare += fmt::format("  {} z{};\n",
                           value_type(epilogue.nodes[static_cast<std::size_t>(epilogue.results[r])].type), r);
    call += fmt::format(", z{}", r);
  }
  for (std::size_t r = 0; r < k.writes.size(); ++r) {
    stores +=
        "  " +
        element_store(k.writes[r], r, strided({{"i", from_end(k.writes[r], 2)}, {"j", from_end(k.writes[r], 1)}}),
                      fmt::format("z{}", r), hooks.arguments) +
        "\n";
  }
  code += expression_function(epilogue, types) +
          fmt::format(
              "\n// The epilogue of element i, j; what statistics are of, if any.\n"
              "KILN_DEVICE f32 finish(const Arguments& arguments, const Place& "
              "at, index_t i, index_t j, "
              "Value sum) {{\n{}  expression({});\n{}  return {};\n}}\n",
              declare, call, stores, k.statistics ? fmt::format("z{}", k.writes.size()) : "0");
  code += statistics_code(k.statistics, k.n, parts, hooks);
  hooks.code = std::move(code);
  return hooks;
}

Hooks matmul_hooks(const MatmulKernel& k, std::int64_t parts) {
  Hooks hooks = product_hooks(k, parts);
  hooks.code = arguments_struct(hooks.arguments) + hooks.code;
  return hooks;
}

bool accepts_attention(const AttentionKernel& k) {
  const auto usable = [&](const Access& a) {
    return a.strides.size() == k.batch.size() + 2 && (is_half(a.type) || a.type == DType::f32);
  };
  return k.s > 0 && k.t > 0 && k.d > 0 && k.e > 0 && usable(k.q) && usable(k.k) && usable(k.v) && usable(k.out) &&
         (!k.mask || usable(*k.mask));
}

Hooks attention_hooks(const AttentionKernel& k) {
  Hooks hooks;
  std::vector<Access> reads = {k.q, k.k, k.v};
  if (k.mask) reads.push_back(*k.mask);
  const std::vector<Access> writes = {k.out};
  const std::pair<std::int64_t, std::int64_t> extents[] = {{k.s, k.d}, {k.t, k.d}, {k.t, k.e}, {k.s, k.t}};
  bool wide = is_wide(k.out, extended(k.batch, k.s, k.e));
  for (std::size_t i = 0; i < reads.size(); ++i)
    wide = wide || is_wide(reads[i], extended(k.batch, extents[i].first, extents[i].second));
  hooks.figures =
      index_type(wide) +
      fmt::format(
          "constexpr index_t kS = {};  // queries\nconstexpr index_t kT = {};  // keys\nconstexpr index_t kD = {};\n"
          "constexpr index_t kE = {};\nconstexpr f32 kScale = {};\n"
          "constexpr bool kCausal = {};  // key j is seen by query i when j <= i + kT - kS\n"
          "constexpr bool kGuarded = {};  // a row whose softmax is not a number gives 0\n",
          k.s, k.t, k.d, k.e, float_literal(k.scale, DType::f32), k.causal, k.guarded);
  std::string code = place_functions({reads, writes, -1}, k.batch);
  const char* names[] = {"load_q", "load_k", "load_v"};
  for (std::size_t n = 0; n < 3; ++n)
    code += fmt::format(
        "KILN_DEVICE f32 {}(const Arguments& arguments, const Place& at, index_t i, index_t j) {{\n  return "
        "{};\n}}\n",
        names[n],
        element_value(reads[n], n, strided({{"i", from_end(reads[n], 2)}, {"j", from_end(reads[n], 1)}}),
                      hooks.arguments));
  const std::string mask =
      k.mask ? " + " + element_value(*k.mask, 3, strided({{"i", from_end(*k.mask, 2)}, {"j", from_end(*k.mask, 1)}}),
                                     hooks.arguments)
             : "";
  code += fmt::format(
      "KILN_DEVICE f32 masked([[maybe_unused]] const Arguments& arguments, [[maybe_unused]] const Place& at, "
      "[[maybe_unused]] index_t i, "
      "[[maybe_unused]] index_t j, f32 score) {{\n  return score{};\n}}\n",
      mask);
  code += fmt::format(
      "KILN_DEVICE void store_out(const Arguments& arguments, const Place& at, index_t i, index_t j, f32 value) {{\n "
      " {}\n}}\n",
      element_store(k.out, 0, strided({{"i", from_end(k.out, 2)}, {"j", from_end(k.out, 1)}}), "value",
                    hooks.arguments));
  hooks.code = arguments_struct(hooks.arguments) + code;
  return hooks;
}

}  // namespace kiln::agents::writer::device
