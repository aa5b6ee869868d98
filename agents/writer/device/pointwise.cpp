// Hooks of the pointwise family on a GPU: Loaded, load() and finish() of one vector of the iteration space.
#include <fmt/format.h>

#include <algorithm>

#include "agents/writer/device/device.h"

namespace kiln::agents::writer::device {

bool accepts_pointwise(const PointwiseKernel& k) {
  return std::none_of(k.expr.nodes.begin(), k.expr.nodes.end(),
                      [](const graph::ExprNode& n) { return graph::is_row_reduction(n.op); });
}

Hooks pointwise_hooks(const PointwiseKernel& k, const Tunables&) {
  Hooks hooks;
  const Accesses accesses{k.reads, k.writes, static_cast<int>(k.space.size()) - 1};
  graph::Shape outer = k.space;
  const std::int64_t inner = outer.empty() ? 1 : outer.back();
  if (!outer.empty()) outer.pop_back();

  std::string load, load_part_text, finish, store, part, call;
  for (std::size_t i = 0; i < k.reads.size(); ++i) {
    load += load_vector(accesses, i, hooks.arguments, "  ");
    load_part_text += load_part(accesses, i, hooks.arguments, "      ");
    call += fmt::format("{}{}", call.empty() ? "" : ", ", operand_value(accesses, i));
  }
  std::string declare, locals, assign;
  for (std::size_t r = 0; r < k.writes.size(); ++r) {
    const std::string type = memory_type(k.writes[r].type);
    declare += fmt::format("  Pack<{}, kVector> y{};\n", type, r);
    locals +=
        fmt::format("    {} z{};\n", value_type(k.expr.nodes[static_cast<std::size_t>(k.expr.results[r])].type), r);
    assign += fmt::format("    y{}.at[e] = Element<{}>::of(z{});\n", r, type, r);
    call += fmt::format("{}z{}", call.empty() ? "" : ", ", r);
    store += store_vector(accesses, r, hooks.arguments, "  ");
    part += store_part(accesses, r, hooks.arguments, "      ");
  }
  std::vector<graph::DType> types;
  for (const Access& read : k.reads) types.push_back(read.type);

  hooks.figures =
      index_type(accesses, k.space) + fmt::format(
                                          "constexpr index_t kRows = {};   // rows of the iteration space {}\n"
                                          "constexpr index_t kInner = {};  // elements of a row\n",
                                          product(outer), graph::to_string(k.space), inner);
  // A vector that the end of a row cuts; only a row of rank 1 has one.
  const std::string cut =
      "  if constexpr (kInner % kVector != 0) {{\n    const int count = static_cast<int>(kInner - j);\n"
      "    if (count < kVector) {{\n{}      return;\n    }}\n  }}\n";
  hooks.code = arguments_struct(hooks.arguments) +
               "constexpr index_t kRowVectors = (kInner + kVector - 1) / kVector;\n"
               "constexpr index_t kVectors = kRows * kRowVectors;\n\n" +
               place_functions(accesses, outer) + loaded_struct(accesses) + expression_function(k.expr, types) +
               fmt::format(
                   "\nKILN_DEVICE void load([[maybe_unused]] const Arguments& arguments, index_t vector, "
                   "[[maybe_unused]] Loaded& v) {{\n"
                   "  [[maybe_unused]] const Place at = place_of(vector / kRowVectors);\n"
                   "  [[maybe_unused]] const index_t j = vector % kRowVectors * kVector;\n{}{}}}\n",
                   fmt::format(fmt::runtime(cut), load_part_text), load) +
               fmt::format(
                   "\nKILN_DEVICE void finish(const Arguments& arguments, index_t vector, [[maybe_unused]] const "
                   "Loaded& v) {{\n"
                   "  const Place at = place_of(vector / kRowVectors);\n"
                   "  const index_t j = vector % kRowVectors * kVector;\n{}#pragma unroll\n"
                   "  for (int e = 0; e < kVector; ++e) {{\n{}    expression({});\n{}  }}\n{}{}}}\n",
                   declare, locals, call, assign, fmt::format(fmt::runtime(cut), part), store);
  return hooks;
}

}  // namespace kiln::agents::writer::device
