// Hooks of the row family on a GPU. Per-row values live in Scalars as s<i>; within a pass the value of node i at
// element e of a vector is t<i>; the partial result of reduction i is r<i>.
#include <fmt/format.h>

#include <algorithm>

#include "agents/writer/device/device.h"
#include "agents/writer/passes.h"

namespace kiln::agents::writer::device {

using graph::DType;
using graph::ExprNode;
using graph::ExprOp;

namespace {

const char* operation_of(ExprOp op) {
  switch (op) {
    case ExprOp::row_max:
      return "Greatest";
    case ExprOp::row_min:
      return "Least";
    case ExprOp::row_prod:
      return "Product";
    default:
      return "Sum";
  }
}

std::string identity_of(ExprOp op, DType type) {
  const std::string partial = partial_type(type);
  const bool floating = graph::is_float(type);
  switch (op) {
    case ExprOp::row_max:
      return floating ? fmt::format("-infinity<{}>()", partial) : fmt::format("Limits<{}>::low", partial);
    case ExprOp::row_min:
      return floating ? fmt::format("infinity<{}>()", partial) : fmt::format("Limits<{}>::high", partial);
    case ExprOp::row_prod:
      return partial + "(1)";
    default:
      return partial + "(0)";
  }
}

class Writer {
 public:
  Writer(const RowKernel& kernel, Arguments& arguments)
      : k_(kernel),
        p_(kernel, false),
        arguments_(arguments),
        accesses_{kernel.reads, kernel.writes, static_cast<int>(kernel.outer.size())} {}

  [[nodiscard]] const Accesses& accesses() const { return accesses_; }
  [[nodiscard]] int passes() const { return p_.count; }

  [[nodiscard]] std::size_t most_reductions() const {
    std::size_t most = 1;
    for (int p = 0; p < p_.count; ++p) most = std::max(most, p_.reductions(p).size());
    return most;
  }

  // What is constant along a row: struct Scalars and start().
  [[nodiscard]] std::string scalars() {
    return fmt::format(
        "\n// What is constant along a row.\nstruct Scalars {{\n{}}};\n"
        "KILN_DEVICE void start([[maybe_unused]] const Arguments& arguments, [[maybe_unused]] const Place& at, "
        "[[maybe_unused]] Scalars& s) {{\n{}}}\n",
        p_.scalar_members(value_type), known(0, "  "));
  }

  // load_all(): the operands that stay in registers when the row is resident.
  [[nodiscard]] std::string load_all() {
    std::string loads;
    for (const std::size_t i : operands(resident())) loads += load_vector(accesses_, i, arguments_, "  ");
    return fmt::format(
        "\nKILN_DEVICE void load_all([[maybe_unused]] const Arguments& arguments, [[maybe_unused]] const Place& at, "
        "[[maybe_unused]] index_t j, [[maybe_unused]] Loaded& v) {{\n{}}}\n",
        loads);
  }

  [[nodiscard]] std::string pass(int p) {
    const bool last = p == p_.count - 1;
    const std::vector<std::size_t> reductions = p_.reductions(p);
    std::string members, update, warp, put, take, finish;
    std::size_t slot = 0;
    for (const std::size_t i : reductions) {
      const ExprNode& node = k_.expr.nodes[i];
      const std::string type = partial_type(node.type), operation = operation_of(node.op);
      members += fmt::format("  {} r{} = {};\n", type, i, identity_of(node.op, node.type));
      update += fmt::format("      r{0} = {1}::of(r{0}, static_cast<{2}>({3}));\n", i, operation, type,
                            element(node.args[0]));
      warp += fmt::format("    r{0} = reduce_lanes<{1}, lanes>(r{0});\n", i, operation);
      put += fmt::format("    put(slots + {}, r{});\n", slot, i);
      take += fmt::format("    r{} = combine_slots<{}, {}>(slots + {}, count, stride);\n", i, operation, type, slot);
      finish += fmt::format("    s.s{} = static_cast<{}>(r{});\n", i, value_type(node.type), i);
      ++slot;
    }
    if (!last) finish += known(p + 1, "    ");
    return fmt::format(
        "\n// Pass {} of {}: {}.\nstruct Pass{} {{\n  static constexpr int reductions = {};\n{}\n{}{}"
        "  template <int lanes>\n  KILN_DEVICE void reduce_warp() {{\n{}  }}\n"
        "  KILN_DEVICE void put_slots([[maybe_unused]] Slot* slots) const {{\n{}  }}\n"
        "  KILN_DEVICE void take_slots([[maybe_unused]] const Slot* slots, [[maybe_unused]] int count, "
        "[[maybe_unused]] int stride) "
        "{{\n{}  }}\n"
        "  KILN_DEVICE void finish([[maybe_unused]] const Arguments& arguments, [[maybe_unused]] const Place& at, "
        "[[maybe_unused]] Scalars& s, [[maybe_unused]] bool leader) const {{\n{}{}  }}\n}};\n",
        p + 1, p_.count, p_.describe(p), p, reductions.size(), members, load_function(p),
        step_function(p, update, last), warp, put, take, finish, last ? row_stores() : "");
  }

 private:
  // The operands among `nodes`, which vary along the row.
  [[nodiscard]] std::vector<std::size_t> operands(const std::vector<bool>& nodes) const {
    std::vector<std::size_t> out;
    for (std::size_t i = 0; i < k_.expr.nodes.size(); ++i)
      if (nodes[i] && p_.varies[i] && k_.expr.nodes[i].op == ExprOp::operand)
        out.push_back(index(k_.expr.nodes[i].operand));
    std::sort(out.begin(), out.end());
    out.erase(std::unique(out.begin(), out.end()), out.end());
    return out;
  }

  // Nodes that the first pass or more than one pass asks for: these are worth registers for the whole of the kernel.
  [[nodiscard]] std::vector<bool> resident() const {
    std::vector<bool> out = p_.needed(0);
    std::vector<int> passes(k_.expr.nodes.size());
    for (int p = 0; p < p_.count; ++p) {
      const std::vector<bool> needed = p_.needed(p);
      for (std::size_t i = 0; i < needed.size(); ++i) passes[i] += needed[i] ? 1 : 0;
    }
    for (std::size_t i = 0; i < out.size(); ++i) out[i] = out[i] || passes[i] > 1;
    return out;
  }

  [[nodiscard]] std::string known(int level, const char* indent) {
    std::string text;
    for (const std::size_t i : p_.row_values(level)) {
      const ExprNode& node = k_.expr.nodes[i];
      if (node.op == ExprOp::operand) {
        const Access& read = k_.reads[index(node.operand)];
        const std::string element = fmt::format("static_cast<const {}*>(arguments.at[{}])[at.x{}]",
                                                memory_type(read.type), arguments_.input(read.buffer), node.operand);
        text += fmt::format("{}s.s{} = {};\n", indent, i,
                            read.type == DType::boolean ? element + " != 0" : fmt::format("value_of({})", element));
        continue;
      }
      const auto args = argument_names(node, [](std::int32_t of) { return fmt::format("s.s{}", of); });
      text += fmt::format("{}s.s{} = static_cast<{}>({});\n", indent, i, value_type(node.type),
                          node_text(k_.expr, i, args));
    }
    return text;
  }

  [[nodiscard]] std::string element(std::int32_t i) const {
    return p_.varies[index(i)] ? fmt::format("t{}", i) : fmt::format("s.s{}", i);
  }

  [[nodiscard]] std::string load_function(int p) {
    std::string loads;
    for (const std::size_t i : operands(p_.needed(p))) loads += load_vector(accesses_, i, arguments_, "    ");
    return fmt::format(
        "  KILN_DEVICE static void load([[maybe_unused]] const Arguments& arguments, [[maybe_unused]] const Place& "
        "at, "
        "[[maybe_unused]] index_t j, [[maybe_unused]] Loaded& v) {{\n{}  }}\n",
        loads);
  }

  // Where the row is resident, operands that only this pass needs are loaded here.
  [[nodiscard]] std::string step_function(int p, const std::string& update, bool last) {
    const std::vector<std::size_t> early = operands(resident());
    std::string late, values, declare, assign, stores;
    for (const std::size_t i : operands(p_.needed(p)))
      if (std::find(early.begin(), early.end(), i) == early.end())
        late += load_vector(accesses_, i, arguments_, "      ");
    const std::vector<bool> needed = p_.needed(p);
    for (std::size_t i = 0; i < k_.expr.nodes.size(); ++i) {
      if (!needed[i] || !p_.varies[i]) continue;
      const ExprNode& node = k_.expr.nodes[i];
      const auto args = argument_names(node, [&](std::int32_t of) { return element(of); });
      values += fmt::format(
          "      const {0} t{1} = static_cast<{0}>({2});\n", value_type(node.type), i,
          node.op == ExprOp::operand ? operand_value(accesses_, index(node.operand)) : node_text(k_.expr, i, args));
    }
    for (std::size_t r = 0; last && r < k_.writes.size(); ++r) {
      if (k_.write_per_row[r]) continue;
      const std::string type = memory_type(k_.writes[r].type);
      declare += fmt::format("    Pack<{}, kVector> y{};\n", type, r);
      assign += fmt::format("      y{}.at[e] = Element<{}>::of({});\n", r, type, element(k_.expr.results[r]));
      stores += store_vector(accesses_, r, arguments_, "    ");
    }
    return fmt::format(
        "  KILN_DEVICE void step([[maybe_unused]] const Arguments& arguments, [[maybe_unused]] const Place& at, "
        "[[maybe_unused]] const Scalars& s, [[maybe_unused]] index_t j, [[maybe_unused]] Loaded& v) {{\n{}{}#pragma "
        "unroll\n"
        "    for (int e = 0; e < kVector; ++e) {{\n{}{}{}    }}\n{}  }}\n",
        late.empty() ? "" : fmt::format("    if constexpr (kResident != 0) {{\n{}    }}\n", late), declare, values,
        update, assign, stores);
  }

  [[nodiscard]] std::string row_stores() {
    std::string text;
    for (std::size_t r = 0; r < k_.writes.size(); ++r) {
      if (!k_.write_per_row[r]) continue;
      const std::string type = memory_type(k_.writes[r].type);
      text += fmt::format("    if (leader) static_cast<{}*>(arguments.at[{}])[at.y{}] = Element<{}>::of(s.s{});\n",
                          type, arguments_.output(k_.writes[r].buffer), r, type, k_.expr.results[r]);
    }
    return text;
  }

  const RowKernel& k_;
  const Passes p_;
  Arguments& arguments_;
  const Accesses accesses_;
};

}  // namespace

bool accepts_row(const RowKernel& k) {
  if (k.length < 1) return false;
  const auto shaped = [&](const Access& a) { return a.strides.size() == k.outer.size() + 1; };
  if (!std::all_of(k.reads.begin(), k.reads.end(), shaped) || !std::all_of(k.writes.begin(), k.writes.end(), shaped))
    return false;
  const Passes passes(k, false);
  for (std::size_t r = 0; r < k.writes.size(); ++r)
    if (k.write_per_row[r] && passes.varies[index(k.expr.results[r])]) return false;
  return std::none_of(k.expr.nodes.begin(), k.expr.nodes.end(),
                      [](const ExprNode& n) { return graph::is_row_reduction(n.op) && n.type == DType::boolean; });
}

namespace {

// `hooks` may name arguments of its own before.
Hooks written(const RowKernel& k, Hooks hooks) {
  Writer writer(k, hooks.arguments);
  graph::Shape space = k.outer;
  space.push_back(k.length);
  hooks.figures += index_type(writer.accesses(), space) +
                   fmt::format(
                       "constexpr index_t kRows = {};\nconstexpr index_t kLength = {};  // elements of a row\n"
                       "constexpr int kMostReductions = {};  // of one pass\n",
                       product(k.outer), k.length, writer.most_reductions());
  std::string code = fmt::format("// Computes {}\n\n", graph::to_string(k.expr)) +
                     place_functions(writer.accesses(), k.outer) + loaded_struct(writer.accesses()) + writer.scalars() +
                     writer.load_all();
  std::string list;
  for (int p = 0; p < writer.passes(); ++p) {
    code += writer.pass(p);
    list += fmt::format("{}Pass{}", p == 0 ? "" : ", ", p);
  }
  // The code names the launch's arguments as it is written, so their struct is known last.
  hooks.code = arguments_struct(hooks.arguments) + code +
               fmt::format("\ntemplate <class... P>\nstruct PassList {{}};\nusing Passes = PassList<{}>;\n", list);
  return hooks;
}

}  // namespace

Hooks row_hooks(const RowKernel& k) { return written(k, {}); }

Hooks split_row_hooks(const RowKernel& k, const Tunables& tunables) {
  const Passes passes(k, false);
  std::size_t most = 1;
  for (int p = 0; p < passes.count; ++p) most = std::max(most, passes.reductions(p).size());
  Hooks hooks;
  // What the last pass reduces is known after one launch more.
  hooks.launches = passes.count + (passes.reductions(passes.count - 1).empty() ? 0 : 1);
  hooks.temporary_bytes = {8 * passes.count * product(k.outer) * tunables.at("splits") *
                           static_cast<std::int64_t>(most)};
  hooks.figures = fmt::format("constexpr int kPartials = {};  // of the arguments: what the segments leave\n",
                              hooks.arguments.of(RenderedArg::Kind::temporary, 0));
  hooks = written(k, std::move(hooks));
  hooks.code += "\n#define KILN_LAUNCHES";
  for (int launch = 0; launch < hooks.launches; ++launch) hooks.code += fmt::format(" KILN_LAUNCH({})", launch);
  hooks.code += "\n";
  return hooks;
}

}  // namespace kiln::agents::writer::device
