// Hooks of products of which one operand streams through (store/corpus/templates/matmul/gemv_*), and of all whose
// blocks share results: what they leave in memory, and the launch that adds it up.
#include <fmt/format.h>

#include <algorithm>

#include "agents/writer/device/device.h"
#include "agents/writer/device/statistics.h"

namespace kiln::agents::writer::device {

namespace {

constexpr std::int64_t kMostFew = 16;      // sums of a row that a thread keeps in registers
constexpr std::int64_t kPartsOfALane = 8;  // that are in flight at once when results are added up

// load_streamed(r, p) and load_kept(c, p): kVector neighbours along k, from p on.
std::string loads(const Streamed& roles, std::int64_t vector, Arguments& arguments) {
  const std::size_t stream = roles.is_b ? 1 : 0, kept = roles.is_b ? 0 : 1;
  const Access& x = roles.stream;
  const Access& y = roles.kept;
  std::string text = fmt::format(
      "// kVector neighbours along k of a row of the operand that streams, and of the one that is kept.\n"
      "KILN_DEVICE Pack<Memory, kVector> load_streamed(const Arguments& arguments, const Place& at, index_t r, "
      "index_t p) {{\n  return load_pack<true, Memory, kVector>({} + (at.x{}{}));\n}}\n"
      "KILN_DEVICE Pack<Memory, kVector> load_kept(const Arguments& arguments, const Place& at, index_t c, index_t p) "
      "{{\n",
      read_pointer(x, arguments), stream, strided({{"r", x.strides.end()[-2]}, {"p", x.strides.back()}}));
  const std::string at_row = strided({{"c", y.strides.end()[-2]}});
  if (y.strides.back() == 1 && roles.kept_vector >= vector)
    return text + fmt::format("  return load_pack<false, Memory, kVector>({} + (at.x{}{} + p));\n}}\n",
                              read_pointer(y, arguments), kept, at_row);
  return text + fmt::format(
                    "  Pack<Memory, kVector> out;\n#pragma unroll\n  for (int e = 0; e < kVector; ++e) out.at[e] = "
                    "{}[at.x{}{}{}];\n  return out;\n}}\n",
                    read_pointer(y, arguments), kept, at_row, strided({{"(p + e)", y.strides.back()}}));
}

// leave(): a block's part of a result, or the result when there are no others; the launch that adds them up.
std::string results(const MatmulKernel& k, const Streamed& roles, const Tunables& tunables, Hooks& hooks) {
  const std::int64_t splits = tunables.at("splits"), count = product(k.batch) * k.m * k.n;
  const char* finish =
      roles.is_b ? "(void)finish(arguments, at, c, r, sum);" : "(void)finish(arguments, at, r, c, sum);";
  if (splits == 1)
    return fmt::format(
        "\nKILN_DEVICE void leave(const Arguments& arguments, const Place& at, index_t, int, index_t r, index_t c, "
        "Value "
        "sum) {{\n  {}\n}}\n#define KILN_LED KILN_KERNEL\n#define KILN_CONCLUDE\n",
        finish);
  const std::int64_t lanes = std::clamp<std::int64_t>(splits / kPartsOfALane, 1, 32);
  const std::int64_t threads = tunables.at("block_threads");
  hooks.temporary_bytes = {4 * splits * count};
  hooks.launches = 2;
  hooks.following = {(count * lanes + threads - 1) / threads, 0};
  return fmt::format(
      "\n// What each of kSplits blocks has of a result, as [split][batch][few][many].\n"
      "constexpr i64 kResults = {};\n"
      "KILN_DEVICE Value* parts_of(const Arguments& arguments) {{ return static_cast<Value*>(arguments.at[{}]); }}\n"
      "KILN_DEVICE void leave(const Arguments& arguments, const Place&, index_t batch, int split, index_t r, index_t "
      "c, "
      "Value sum) {{\n"
      "  parts_of(arguments)[split * kResults + (static_cast<i64>(batch) * kFew + c) * kMany + r] = sum;\n}}\n"
      "KILN_DEVICE void add_up(const Arguments& arguments) {{\n"
      "  constexpr int kLanes = {};  // that share a result\n"
      "  const i64 thread = static_cast<i64>(block_index()) * kBlockThreads + thread_index();\n"
      "  const i64 result = thread / kLanes < kResults ? thread / kLanes : kResults - 1;\n"
      "  const Value sum = sum_of_parts<kSplits, kLanes>(parts_of(arguments) + result, kResults, "
      "static_cast<int>(thread "
      "% kLanes));\n"
      "  if (thread % kLanes != 0 || thread / kLanes >= kResults) return;\n"
      "  const auto r = static_cast<index_t>(result % kMany), c = static_cast<index_t>(result / kMany % kFew);\n"
      "  const Place at = place_of(static_cast<index_t>(result / kMany / kFew));\n  {}\n}}\n"
      "#define KILN_LED KILN_NUMBERED(KILN_KERNEL, 0)\n"
      "#define KILN_CONCLUDE KILN_ENTRY(KILN_NUMBERED(KILN_KERNEL, 1)) {{ add_up(arguments); }}\n",
      count, hooks.arguments.of(RenderedArg::Kind::temporary, 0), lanes, finish);
}

}  // namespace

bool accepts_gemv(const MatmulKernel& k, bool along_k) {
  if (!accepts_matmul(k)) return false;
  const Streamed roles = streamed(k);
  return roles.few <= kMostFew && (along_k ? roles.vector_along_k : roles.vector_across) > 0;
}

Hooks gemv_hooks(const MatmulKernel& k, const Tunables& tunables) {
  const Streamed roles = streamed(k);
  Hooks hooks = product_hooks(k, kNoParts);
  const std::int64_t vector = roles.vector_along_k;
  hooks.figures += fmt::format(
      "using Memory = {};  // of both operands\n"
      "constexpr index_t kMany = {};  // {} of the operand that streams\nconstexpr int kFew = {};  // of the other\n"
      "constexpr int kVector = {};  // neighbours along k that an access may move\n",
      memory_type(k.a.type), roles.many, roles.is_b ? "columns" : "rows", roles.few, vector);
  hooks.code += "\n" + loads(roles, vector, hooks.arguments);
  hooks.code += results(k, roles, tunables, hooks);
  hooks.code = arguments_struct(hooks.arguments) + hooks.code;
  return hooks;
}

}  // namespace kiln::agents::writer::device
