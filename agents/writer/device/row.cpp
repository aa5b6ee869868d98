// The code of a row's passes on a GPU. Per-row values live in Scalars as s<i>; within a pass the value of node i at
// element e of a vector is t<i>; the partial result of reduction i is r<i>. In Scalars, what sums that are joint are
// taken about is c<i>, i the squares' node, and d<i> is value i of the row as what divides values along it.
#include <fmt/format.h>

#include <algorithm>

#include "agents/writer/device/device.h"
#include "agents/writer/device/reduction.h"
#include "agents/writer/device/row_code.h"
#include "agents/writer/passes.h"

namespace kiln::agents::writer::device {

using graph::DType;
using graph::ExprNode;
using graph::ExprOp;

namespace {

class Writer {
 public:
  Writer(const RowKernel& kernel, const RowForm& form, Arguments& arguments)
      : k_(kernel),
        form_(form),
        p_(kernel, form.keeps, form.joint),
        arguments_(arguments),
        accesses_{kernel.reads, kernel.writes,
                  static_cast<int>(kernel.outer.size() + along_of(kernel).size()) - 1, kernel.along} {}

  [[nodiscard]] const Accesses& accesses() const { return accesses_; }
  [[nodiscard]] const Passes& passes() const { return p_; }

  // What is constant along a row: struct Scalars and start().
  [[nodiscard]] std::string scalars() {
    std::string shifts;
    for (std::size_t i = 0; i < k_.expr.nodes.size(); ++i)
      if (p_.sum_of[i] >= 0) shifts += fmt::format("  f32 c{};\n", i);
    for (std::size_t i = 0; i < k_.expr.nodes.size(); ++i)
      if (divides(i)) shifts += fmt::format("  Divisor d{};\n", i);
    return fmt::format(
        "\n// What is constant along a row.\nstruct Scalars {{\n{}{}}};\n"
        "KILN_DEVICE void start([[maybe_unused]] const Arguments& arguments, [[maybe_unused]] const Place& at, "
        "[[maybe_unused]] Scalars& s) {{\n{}}}\n",
        p_.scalar_members(value_type), shifts, known(0, "  "));
  }

  // struct Loaded: the operands at neighbours of a row, and what passes keep there for later ones.
  [[nodiscard]] std::string loaded() const {
    std::string kept;
    for (std::size_t i = 0; i < k_.expr.nodes.size(); ++i)
      if (p_.kept[i] >= 0) kept += fmt::format("  {} t{}[kVector];\n", value_type(k_.expr.nodes[i].type), i);
    return loaded_struct(accesses_, kept);
  }

  // load_all(): the operands that stay in registers when the row is resident.
  [[nodiscard]] std::string load_all() {
    std::string loads;
    for (const std::size_t i : early()) loads += load_vector(accesses_, i, arguments_, "  ");
    return fmt::format(
        "\nKILN_DEVICE void load_all([[maybe_unused]] const Arguments& arguments, [[maybe_unused]] const Place& at, "
        "[[maybe_unused]] index_t j, [[maybe_unused]] Loaded& v) {{\n{}}}\n",
        loads);
  }

  // Staged: these operands in shared memory, at `count` vectors; stage_all() and fetch_all() of one of them.
  [[nodiscard]] std::string staging() {
    std::string members, stage, fetch;
    for (const std::size_t i : early()) {
      const std::string type = memory_type(k_.reads[i].type);
      members += fmt::format("  Pack<{}, kVector> x{}[count];\n", type, i);
      stage += fmt::format("  stage_pack<{0}, kVector>(staged.x{1} + place, {2} + (at.x{1}{3}));\n", type, i,
                           read_pointer(k_.reads[i], arguments_), along_text(accesses_, k_.reads[i], 'x', i, "j"));
      fetch += fmt::format("  v.x{0} = staged.x{0}[place];\n", i);
    }
    return fmt::format(
        "\ntemplate <int count>\nstruct Staged {{\n{}}};\n"
        "template <int count>\nKILN_DEVICE void stage_all(const Arguments& arguments, const Place& at, index_t j, int "
        "place, Staged<count>& staged) {{\n{}}}\n"
        "template <int count>\nKILN_DEVICE void fetch_all(const Staged<count>& staged, int place, Loaded& v) "
        "{{\n{}}}\n",
        members, stage, fetch);
  }

  [[nodiscard]] std::string pass(int p) {
    const bool last = p == p_.count - 1;
    const std::vector<std::size_t> reductions = p_.reductions(p);
    ReductionText all;
    std::size_t slot = 0;
    for (const std::size_t i : reductions) all = joined(all, reduction_text(reduction(i, reductions), slot++));
    std::string finish = all.finish;
    for (const std::size_t i : reductions) finish += divisor(i, "    ");
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
        p + 1, p_.count, p_.describe(p), p, reductions.size(), all.members, load_function(p),
        step_function(p, all, last), all.warp, all.put, all.take, finish, last ? row_stores() : "");
  }

 private:
  [[nodiscard]] static ReductionText joined(const ReductionText& a, const ReductionText& b) {
    return {a.members + b.members, a.before + b.before, a.element + b.element, a.after + b.after,
            a.warp + b.warp,       a.put + b.put,       a.take + b.take,       a.finish + b.finish};
  }

  // Reduction `i` among those of its pass.
  [[nodiscard]] Reduction reduction(std::size_t i, const std::vector<std::size_t>& of_pass) const {
    const ExprNode& node = k_.expr.nodes[i];
    Reduction out{i, node.op, node.type, element(node.args[0]), form_.compensated, "", "", 0};
    if (p_.sum_of[i] >= 0) {
      out.sum = index(p_.sum_of[i]);
      out.element = element(k_.expr.nodes[out.sum].args[0]);
      out.squares_about = fmt::format("s.c{}", i);
    }
    for (const std::size_t squares : of_pass)
      if (p_.sum_of[squares] == static_cast<std::int32_t>(i)) out.sum_about = fmt::format("s.c{}", squares);
    return out;
  }

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

  // Whether node `i`, a value of the row, divides float32 values along it.
  [[nodiscard]] bool divides(std::size_t i) const {
    if (p_.varies[i]) return false;
    return std::any_of(k_.expr.nodes.begin(), k_.expr.nodes.end(),
                       [&](const ExprNode& node) { return is_quotient(node) && index(node.args[1]) == i; });
  }
  [[nodiscard]] bool is_quotient(const ExprNode& node) const {
    return node.op == ExprOp::div && node.type == DType::f32 && p_.varies[index(node.args[0])] &&
           !p_.varies[index(node.args[1])];
  }
  [[nodiscard]] std::string divisor(std::size_t i, const char* indent) const {
    return divides(i) ? fmt::format("{0}s.d{1} = divisor_of(s.s{1});\n", indent, i) : "";
  }
  [[nodiscard]] std::string varying_text(std::size_t i) const {
    const ExprNode& node = k_.expr.nodes[i];
    const auto args = argument_names(node, [&](std::int32_t of) { return element(of); });
    if (is_quotient(node)) return fmt::format("divided({}, s.d{})", args[0], node.args[1]);
    return node_text(k_.expr, i, args);
  }

  // The operands that stay on chip through all passes.
  [[nodiscard]] std::vector<std::size_t> early() const {
    if (!form_.staged) return operands(form_.ahead ? std::vector<bool>(k_.expr.nodes.size(), true) : resident());
    std::vector<std::size_t> out;
    for (std::size_t i = 0; i < k_.reads.size(); ++i)
      if (is_own(k_, k_.reads[i])) out.push_back(i);
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
                            read.type == DType::boolean ? element + " != 0" : fmt::format("value_of({})", element)) +
                divisor(i, indent);
        continue;
      }
      const auto args = argument_names(node, [](std::int32_t of) { return fmt::format("s.s{}", of); });
      text += fmt::format("{}s.s{} = static_cast<{}>({});\n", indent, i, value_type(node.type),
                          node_text(k_.expr, i, args)) +
              divisor(i, indent);
    }
    for (const std::size_t i : p_.reductions(level))
      if (p_.sum_of[i] >= 0) text += shift(i, indent);
    return text;
  }

  // What the joint sums of squares `i` are taken about: like the elements of the row, three of which are computed here.
  [[nodiscard]] std::string shift(std::size_t i, const char* indent) {
    const std::int32_t summed = k_.expr.nodes[index(p_.sum_of[i])].args[0];
    std::vector<bool> needed(k_.expr.nodes.size());
    needed[index(summed)] = true;
    for (std::size_t n = needed.size(); n-- > 0;)
      for (int a = 0; needed[n] && p_.varies[n] && a < graph::arity(k_.expr.nodes[n].op); ++a)
        needed[index(k_.expr.nodes[n].args[index(a)])] = true;
    std::string body;
    for (std::size_t n = 0; n < needed.size(); ++n) {
      if (!needed[n] || !p_.varies[n]) continue;
      const ExprNode& node = k_.expr.nodes[n];
      std::string value;
      if (node.op == ExprOp::operand) {
        const Access& read = k_.reads[index(node.operand)];
        const std::size_t operand = index(node.operand);
        value = element_value(read, operand, along_text(accesses_, read, 'x', operand, "j"), arguments_);
      } else {
        value = varying_text(n);
      }
      body += fmt::format("{}  const {} t{} = static_cast<{}>({});\n", indent, value_type(node.type), n,
                          value_type(node.type), value);
    }
    return fmt::format(
        "{0}const auto at_place{1} = [&](index_t j) {{\n{2}{0}  return static_cast<f32>(t{3});\n{0}}};\n"
        "{0}s.c{1} = shift_of(at_place{1}(0), at_place{1}(kLength / 2), at_place{1}(kLength - 1));\n",
        indent, i, body, summed);
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
  [[nodiscard]] std::string step_function(int p, const ReductionText& reductions, bool last) {
    const std::vector<std::size_t> kept = early();
    std::string late, values, declare, assign, stores;
    for (const std::size_t i : operands(p_.needed(p)))
      if (std::find(kept.begin(), kept.end(), i) == kept.end()) late += load_vector(accesses_, i, arguments_, "      ");
    const std::vector<bool> needed = p_.needed(p);
    for (std::size_t i = 0; i < k_.expr.nodes.size(); ++i) {
      if (!needed[i] || !p_.varies[i]) continue;
      const ExprNode& node = k_.expr.nodes[i];
      const bool earlier = p_.kept[i] >= 0 && p_.kept_level[i] < p;
      values += fmt::format("      const {0} t{1} = static_cast<{0}>({2});\n", value_type(node.type), i,
                            earlier                      ? fmt::format("v.t{}[e]", i)
                            : node.op == ExprOp::operand ? operand_value(accesses_, index(node.operand))
                                                         : varying_text(i));
      if (p_.kept[i] >= 0 && !earlier) values += fmt::format("      v.t{0}[e] = t{0};\n", i);
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
        "    for (int e = 0; e < kVector; ++e) {{\n{}{}{}    }}\n{}{}  }}\n",
        late.empty() ? "" : fmt::format("    if constexpr (kResident != 0) {{\n{}    }}\n", late),
        declare + reductions.before, values, reductions.element, assign, reductions.after, stores);
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
  const RowForm form_;
  const Passes p_;
  Arguments& arguments_;
  const Accesses accesses_;
};

}  // namespace

std::int64_t most_reductions(const Passes& passes) {
  std::size_t most = 1;
  for (int p = 0; p < passes.count; ++p) most = std::max(most, passes.reductions(p).size());
  return static_cast<std::int64_t>(most);
}

Hooks row_code(const RowKernel& k, const RowForm& form, Hooks hooks) {
  Writer writer(k, form, hooks.arguments);
  graph::Shape space = k.outer;
  for (const std::int64_t extent : along_of(k)) space.push_back(extent);
  hooks.figures += index_type(writer.accesses(), space) +
                   fmt::format(
                       "constexpr index_t kRows = {};\nconstexpr index_t kLength = {};  // elements of a row\n"
                       "constexpr int kMostReductions = {};  // of one pass\n",
                       product(k.outer), k.length, most_reductions(writer.passes()));
  std::string code = fmt::format("// Computes {}\n\n", graph::to_string(k.expr)) +
                     place_functions(writer.accesses(), k.outer) +
                     along_functions(writer.accesses()) + writer.loaded() + writer.scalars() +
                     (form.staged ? writer.staging() : writer.load_all());
  std::string list;
  for (int p = 0; p < writer.passes().count; ++p) {
    code += writer.pass(p);
    list += fmt::format("{}Pass{}", p == 0 ? "" : ", ", p);
  }
  // The code names the launch's arguments as it is written, so their struct is known last.
  hooks.code = arguments_struct(hooks.arguments) + code +
               fmt::format("\ntemplate <class... P>\nstruct PassList {{}};\nusing Passes = PassList<{}>;\n", list);
  return hooks;
}

}  // namespace kiln::agents::writer::device
