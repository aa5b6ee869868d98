// Hooks of products of which one operand streams through (store/corpus/templates/matmul/gemv_*), and of all whose
// blocks share results: what they leave in memory, and the launch that adds it up.
#include <fmt/format.h>

#include <algorithm>

#include "agents/writer/device/device.h"
#include "agents/writer/device/statistics.h"

namespace kiln::agents::writer::device {

namespace {

constexpr std::int64_t kMostFew = 16;             // sums of a row that a thread keeps in registers
constexpr std::int64_t kOfMatrixInstruction = 8;  // neighbours along k that a lane brings to two of them
constexpr std::int64_t kPartsOfALane = 8;         // that are in flight at once when results are added up

// load_streamed(r, p) and load_kept(c, p): kVector neighbours along k from p on, of either operand.
std::string loads_along_k(const Streamed& roles, Arguments& arguments) {
  const std::string stream = roles.is_b ? "x1" : "x0", kept = roles.is_b ? "x0" : "x1";
  const Access& x = roles.stream;
  const Access& y = roles.kept;
  const std::string of_x = fmt::format("at.{}{}", stream, strided({{"r", x.strides.end()[-2]}, {"p", 1}}));
  const std::string of_y = fmt::format("at.{}{}", kept, strided({{"c", y.strides.end()[-2]}}));
  const bool whole = y.strides.back() == 1 && roles.kept_vector >= roles.vector_along_k;
  return fmt::format(
      "// kVector neighbours along k of a row of the operand that streams, and of one of the other.\n"
      "KILN_DEVICE Pack<Memory, kVector> load_streamed(const Arguments& arguments, const Place& at, index_t r, "
      "index_t p) {{\n  return load_pack<true, Memory, kVector>({} + ({}));\n}}\n"
      "KILN_DEVICE Pack<Memory, kVector> load_kept(const Arguments& arguments, const Place& at, index_t c, index_t p) "
      "{{\n{}}}\n",
      read_pointer(x, arguments), of_x,
      whole ? fmt::format("  return load_pack<false, Memory, kVector>({} + ({} + p));\n", read_pointer(y, arguments),
                          of_y)
            : fmt::format("  Pack<Memory, kVector> out;\n#pragma unroll\n"
                          "  for (int e = 0; e < kVector; ++e) out.at[e] = {}[{}{}];\n  return out;\n",
                          read_pointer(y, arguments), of_y, strided({{"(p + e)", y.strides.back()}})));
}

// load_streamed(r, p): kVector neighbours among the many from r on; load_kept(c, p): `count` values along k from p on,
// a multiple of `count`; kept_value(c, p): one of them.
std::string loads_across(const Streamed& roles, std::int64_t count, Arguments& arguments) {
  const Access& y = roles.kept;
  const std::string pointer = read_pointer(y, arguments);
  const std::string of_y = fmt::format("at.{}{}", roles.is_b ? "x0" : "x1", strided({{"c", y.strides.end()[-2]}}));
  const std::int64_t together = y.strides.back() == 1 ? std::min(count, roles.kept_vector) : 1;
  const std::string load =
      together == 1 ? fmt::format("  for (int u = 0; u < kUnroll; ++u) out.at[u] = {}[{}{}];\n", pointer, of_y,
                                  strided({{"(p + u)", y.strides.back()}}))
                    : fmt::format(
                          "  for (int u = 0; u < kUnroll; u += {0}) {{\n"
                          "    const auto part = load_pack<false, Memory, {0}>({1} + ({2} + p + u));\n"
                          "#pragma unroll\n    for (int e = 0; e < {0}; ++e) out.at[u + e] = part.at[e];\n  }}\n",
                          together, pointer, of_y);
  return fmt::format(
      "// kVector neighbours of the operand that streams at one index of k, and what they are multiplied by.\n"
      "KILN_DEVICE Pack<Memory, kVector> load_streamed(const Arguments& arguments, const Place& at, index_t r, "
      "index_t p) {{\n  return load_pack<true, Memory, kVector>({} + (at.{}{}));\n}}\n"
      "KILN_DEVICE Pack<Memory, kUnroll> load_kept(const Arguments& arguments, const Place& at, index_t c, index_t p) "
      "{{\n  Pack<Memory, kUnroll> out;\n#pragma unroll\n{}  return out;\n}}\n"
      "KILN_DEVICE Value kept_value(const Arguments& arguments, const Place& at, index_t c, index_t p) "
      "{{ return {}; }}\n",
      read_pointer(roles.stream, arguments), roles.is_b ? "x1" : "x0",
      strided({{"r", 1}, {"p", roles.stream.strides.back()}}), load,
      roles.is_b ? "load_a(arguments, at, c, p)" : "load_b(arguments, at, p, c)");
}

// leave(): a block's part of a result, or the result where there are no others; and the launch that adds parts up.
std::string results(const MatmulKernel& k, std::int64_t splits, std::int64_t block_threads, Hooks& hooks) {
  if (splits == 1)
    return "\nKILN_DEVICE void leave(const Arguments& arguments, const Place& at, index_t, int, index_t i, index_t j, "
           "Value sum) {\n  (void)finish(arguments, at, i, j, sum);\n}\n"
           "#define KILN_LED KILN_KERNEL\n#define KILN_CONCLUDE\n";
  const std::int64_t count = product(k.batch) * k.m * k.n;
  const std::int64_t lanes = std::clamp<std::int64_t>(splits / kPartsOfALane, 1, 32);
  hooks.temporary_bytes = {4 * splits * count};
  hooks.launches = 2;
  hooks.following = {(count * lanes + block_threads - 1) / block_threads, 0};
  return fmt::format(
      "\n// What each of kSplits blocks has of a result, as [split][batch][i][j].\n"
      "constexpr i64 kResults = {};\n"
      "KILN_DEVICE Value* parts_of(const Arguments& arguments) {{ return static_cast<Value*>(arguments.at[{}]); }}\n"
      "KILN_DEVICE void leave(const Arguments& arguments, const Place&, index_t batch, int split, index_t i, "
      "index_t j, Value sum) {{\n"
      "  parts_of(arguments)[split * kResults + (static_cast<i64>(batch) * kM + i) * kN + j] = sum;\n}}\n"
      "KILN_DEVICE void add_up(const Arguments& arguments) {{\n"
      "  constexpr int kLanes = {};  // that share a result\n"
      "  const i64 thread = static_cast<i64>(block_index()) * {} + thread_index();\n"
      "  const i64 result = thread / kLanes < kResults ? thread / kLanes : kResults - 1;\n"
      "  const Value sum = sum_of_parts<kSplits, kLanes>(parts_of(arguments) + result, kResults,\n"
      "                                                  static_cast<int>(thread % kLanes));\n"
      "  if (thread % kLanes != 0 || thread / kLanes >= kResults) return;\n"
      "  const Place at = place_of(static_cast<index_t>(result / kN / kM));\n"
      "  (void)finish(arguments, at, static_cast<index_t>(result / kN % kM), static_cast<index_t>(result % kN), sum);"
      "\n}}\n"
      "#define KILN_LED KILN_NUMBERED(KILN_KERNEL, 0)\n"
      "#define KILN_CONCLUDE KILN_ENTRY(KILN_NUMBERED(KILN_KERNEL, 1)) {{ add_up(arguments); }}\n",
      count, hooks.arguments.of(RenderedArg::Kind::temporary, 0), lanes, block_threads);
}

}  // namespace

bool accepts_gemv(const MatmulKernel& k, bool along_k) {
  if (!accepts_matmul(k)) return false;
  const Streamed roles = streamed(k);
  return roles.few <= kMostFew && (along_k ? roles.vector_along_k : roles.vector_across) > 0;
}

bool accepts_gemv_mma(const MatmulKernel& k) {
  if (!accepts_gemv(k, true) || !is_half(k.a.type)) return false;
  const Streamed roles = streamed(k);
  return roles.vector_along_k == kOfMatrixInstruction && roles.kept_vector == kOfMatrixInstruction;
}

Hooks gemv_hooks(const MatmulKernel& k, const Tunables& tunables, bool along_k) {
  const Streamed roles = streamed(k);
  Hooks hooks = product_hooks(k, kNoParts);
  hooks.figures += fmt::format(
      "using Memory = {};  // of both operands\n"
      "constexpr index_t kMany = {};  // {} of the operand that streams\nconstexpr int kFew = {};  // of the other\n",
      memory_type(k.a.type), roles.many, roles.is_b ? "columns" : "rows", roles.few);
  if (along_k)
    hooks.figures += fmt::format("constexpr int kVector = {};  // neighbours along k that an access may move\n",
                                 roles.vector_along_k);
  hooks.code += "\n" + (along_k ? loads_along_k(roles, hooks.arguments)
                                : loads_across(roles, tunables.at("unroll"), hooks.arguments));
  hooks.code += results(k, tunables.at("splits"), tunables.at("block_threads"), hooks);
  hooks.code += fmt::format(
      "// leave(), of one of the many and one of the few.\n"
      "KILN_DEVICE void leave_of(const Arguments& arguments, const Place& at, index_t batch, int split, index_t r, "
      "index_t c, Value sum) {{\n  leave(arguments, at, batch, split, {}, sum);\n}}\n",
      roles.is_b ? "c, r" : "r, c");
  hooks.code = arguments_struct(hooks.arguments) + hooks.code;
  return hooks;
}

Hooks split_k_hooks(const MatmulKernel& k, const Tunables& tunables, std::int64_t block_threads) {
  Hooks hooks = product_hooks(k, kNoParts);
  hooks.code += results(k, tunables.at("splits"), block_threads, hooks);
  hooks.code = arguments_struct(hooks.arguments) + hooks.code;
  return hooks;
}

}  // namespace kiln::agents::writer::device
