#include "agents/writer/device/statistics.h"

#include <fmt/format.h>

#include "agents/writer/device/device.h"
#include "agents/writer/passes.h"

namespace kiln::agents::writer::device {

using graph::ExprNode;
using graph::ExprOp;

namespace {

constexpr std::int64_t kMomentsBytes = 12;  // of a part
constexpr std::int64_t kSlotsBytes = 256;   // a slot for each of the 32 warps that a block has at most

bool is_observed(const Statistics& of, std::int32_t node) {
  const ExprNode& n = of.rows.expr.nodes[index(node)];
  return n.op == ExprOp::operand && n.operand == of.observed;
}

// The values of a row in turn, from the totals of its parts.
std::string row_values(const Statistics& of, Arguments& arguments) {
  const RowKernel& rows = of.rows;
  const Passes passes(rows, false, true);
  std::string text;
  for (std::size_t i = 0; i < rows.expr.nodes.size(); ++i) {
    if (passes.varies[i]) continue;
    const ExprNode& node = rows.expr.nodes[i];
    std::string value;
    if (graph::is_row_reduction(node.op)) {
      value = passes.sum_of[i] < 0 ? "totals.sum" : "totals.squares";
    } else if (node.op == ExprOp::operand) {
      const auto read = index(node.operand);
      value = element_value(rows.reads[read], read, "", arguments);
    } else {
      value = node_text(rows.expr, i,
                        argument_names(node, [](std::int32_t a) { return fmt::format("s{}", a); }));
    }
    text += fmt::format("  const {0} s{1} = static_cast<{0}>({2});\n", value_type(node.type), i, value);
  }
  for (std::size_t r = 0; r < rows.writes.size(); ++r)
    text += "  " + element_store(rows.writes[r], r, "", fmt::format("s{}", rows.expr.results[r]), arguments) + "\n";
  return text;
}

}  // namespace

bool accepts_statistics(const store::TemplateSpec& spec, const Statistics* statistics) {
  if (statistics == nullptr) return true;
  const RowKernel& rows = statistics->rows;
  if (!spec.geometry.contains("parts")) return false;
  if (value_type(rows.reads[index(statistics->observed)].type) != "f32") return false;
  const Passes passes(rows, false, true);
  for (std::size_t i = 0; i < rows.expr.nodes.size(); ++i) {
    const ExprNode& node = rows.expr.nodes[i];
    if (!graph::is_row_reduction(node.op)) continue;
    const std::int32_t of = passes.sum_of[i] < 0 ? node.args[0] : rows.expr.nodes[index(passes.sum_of[i])].args[0];
    if (node.op != ExprOp::row_sum || !is_observed(*statistics, of)) return false;
  }
  return true;
}

graph::Expr with_observed(graph::Expr epilogue, const std::optional<Statistics>& statistics) {
  if (statistics) epilogue.results.push_back(statistics->element);
  return epilogue;
}

std::string statistics_code(const std::optional<Statistics>& statistics, std::int64_t series, std::int64_t parts,
                            Hooks& hooks) {
  if (parts == kNoParts) return "";
  hooks.figures += fmt::format("constexpr bool kStatistics = {};\nconstexpr index_t kParts = {};  // of a series\n",
                               statistics.has_value(), parts);
  if (!statistics)
    return "\nKILN_DEVICE Moments* parts_of(const Arguments&, index_t) { return nullptr; }\n"
           "#define KILN_LED KILN_KERNEL\n#define KILN_CONCLUDE\n";
  const RowKernel& rows = statistics->rows;
  const std::int64_t count = product(rows.outer);
  hooks.temporary_bytes = {series * parts * kMomentsBytes};
  hooks.launches = 2;
  hooks.following = {count, kSlotsBytes};
  const std::string argument = std::to_string(hooks.arguments.of(RenderedArg::Kind::temporary, 0));
  std::string code =
      "\n// Results of one series, such as an output channel of an image, leave kParts parts; series in turn make up a "
      "row.\nKILN_DEVICE Moments* parts_of(const Arguments& arguments, index_t series) {\n  return "
      "static_cast<Moments*>(arguments.at[" + argument + "]) + series * kParts;\n}\n";
  code += fmt::format("// Of each row {}.\nnamespace of_rows {{\n{}}}  // namespace of_rows\n",
                      graph::to_string(rows.expr), place_functions({rows.reads, rows.writes, -1}, rows.outer));
  code += fmt::format(
      "KILN_DEVICE void conclude(const Arguments& arguments) {{\n"
      "  constexpr index_t kRowParts = kParts * {};\n"
      "  const auto row = static_cast<index_t>(block_index());\n"
      "  const int thread = static_cast<int>(thread_index());\n"
      "  [[maybe_unused]] const Totals totals = totals_of<kBlockThreads>(parts_of(arguments, 0) + row * kRowParts, "
      "kRowParts, {}.0, static_cast<Slot*>(shared_memory()), thread);\n"
      "  if (thread != 0) return;\n  [[maybe_unused]] const of_rows::Place at = of_rows::place_of(row);\n{}}}\n",
      series / count, rows.length, row_values(*statistics, hooks.arguments));
  return code +
         "#define KILN_LED KILN_NUMBERED(KILN_KERNEL, 0)\n"
         "#define KILN_CONCLUDE KILN_ENTRY(KILN_NUMBERED(KILN_KERNEL, 1)) { conclude(arguments); }\n";
}

}  // namespace kiln::agents::writer::device
