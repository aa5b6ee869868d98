// Which form of a row's code each template of the family gets, and what else its launches need.
#include <fmt/format.h>

#include <algorithm>

#include "agents/writer/device/row_code.h"

namespace kiln::agents::writer::device {

using graph::DType;
using graph::ExprNode;

bool accepts_row(const RowKernel& k) {
  if (k.length < 1) return false;
  const auto shaped = [&](const Access& a) { return a.strides.size() == k.outer.size() + along_of(k).size(); };
  if (!std::all_of(k.reads.begin(), k.reads.end(), shaped) || !std::all_of(k.writes.begin(), k.writes.end(), shaped))
    return false;
  const Passes passes(k, false);
  for (std::size_t r = 0; r < k.writes.size(); ++r)
    if (k.write_per_row[r] && passes.varies[index(k.expr.results[r])]) return false;
  return std::none_of(k.expr.nodes.begin(), k.expr.nodes.end(),
                      [](const ExprNode& n) { return graph::is_row_reduction(n.op) && n.type == DType::boolean; });
}

namespace {

// Elements that a thread adds up by itself. More than these lose digits in a plain sum; fewer do not pay for a
// compensated one, whose registers cost up to 5 % of the bandwidth where a row stays in them.
constexpr std::int64_t kPlainSum = 64;

std::int64_t threads_of_row(const Tunables& tunables) {
  const auto value = [&](const char* name) { return tunables.contains(name) ? tunables.at(name) : 1; };
  if (tunables.contains("row_threads")) return value("row_threads");
  return value("block_threads") * value("splits") * value("row_blocks") / value("columns");
}

RowForm form_of(const RowKernel& k, const Tunables& tunables) {
  const bool joint = tunables.at("resident") == 0;  // a pass costs what the row does
  const bool ahead = tunables.contains("ahead") && tunables.at("ahead") != 0;
  return {joint, false, joint || k.length > kPlainSum * threads_of_row(tunables), !joint, ahead};
}

}  // namespace

Hooks row_hooks(const RowKernel& k, const Tunables& tunables) { return row_code(k, form_of(k, tunables), {}); }

Hooks staged_row_hooks(const RowKernel& k, const Tunables& tunables) {
  RowForm form = form_of(k, tunables);
  form.staged = true;
  form.keeps = false;
  return row_code(k, form, {});
}

Hooks persistent_row_hooks(const RowKernel& k, const Tunables& tunables, std::int64_t blocks) {
  const std::int64_t row_blocks = tunables.at("row_blocks"), groups = blocks / row_blocks;
  Hooks hooks;
  hooks.launches = 2;  // the first clears what the second's blocks meet by: RowMessages of grid.cuh
  hooks.temporary_bytes = {groups * 2 * row_blocks * most_reductions(Passes(k, false, true)) * 16};
  hooks.figures = fmt::format(
      "constexpr int kGroups = {};  // rows that the GPU holds side by side\n"
      "constexpr int kMessages = {};  // of the arguments: what the blocks of a row tell each other\n",
      groups, hooks.arguments.of(RenderedArg::Kind::temporary, 0));
  return row_code(k, {.joint = true, .staged = true, .compensated = true}, std::move(hooks));
}

Hooks split_row_hooks(const RowKernel& k, const Tunables& tunables) {
  const Passes passes(k, false, true);
  Hooks hooks;
  // What the last pass reduces is known after one launch more.
  hooks.launches = passes.count + (passes.reductions(passes.count - 1).empty() ? 0 : 1);
  hooks.temporary_bytes = {8 * passes.count * product(k.outer) * tunables.at("splits") * most_reductions(passes)};
  hooks.figures = fmt::format("constexpr int kPartials = {};  // of the arguments: what the segments leave\n",
                              hooks.arguments.of(RenderedArg::Kind::temporary, 0));
  hooks = row_code(k, form_of(k, tunables), std::move(hooks));
  hooks.code += "\n#define KILN_LAUNCHES";
  for (int launch = 0; launch < hooks.launches; ++launch) hooks.code += fmt::format(" KILN_LAUNCH({})", launch);
  hooks.code += "\n";
  return hooks;
}

}  // namespace kiln::agents::writer::device
