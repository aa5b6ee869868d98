// Hooks of the row family on a CPU, pass by pass (passes.h). With the tunable `cache`, values that are dear to compute
// and needed by a later pass stay in a row of scratch.
#include <fmt/format.h>

#include <algorithm>

#include "agents/writer/family.h"
#include "agents/writer/passes.h"
#include "agents/writer/prelude.h"

namespace kiln::agents::writer {

using graph::DType;
using graph::ExprNode;
using graph::ExprOp;

namespace {

const char* identity_of(ExprOp op) {
  switch (op) {
    case ExprOp::row_max:
      return "-__builtin_inff()";
    case ExprOp::row_min:
      return "__builtin_inff()";
    case ExprOp::row_prod:
      return "1.0f";
    default:
      return "0.0f";
  }
}

std::string combined(ExprOp op, const std::string& a, const std::string& b) {
  switch (op) {
    case ExprOp::row_max:
      return fmt::format("vmax({}, {})", a, b);
    case ExprOp::row_min:
      return fmt::format("vmin({}, {})", a, b);
    case ExprOp::row_prod:
      return fmt::format("{} * {}", a, b);
    default:
      return fmt::format("{} + {}", a, b);
  }
}

std::string across(ExprOp op, const std::string& x) {
  return fmt::format("across({}, [](vf a, vf b) {{ return {}; }})", x, combined(op, "a", "b"));
}

// Writes the code of passes. Per-row values live in Scalars as s<i>, values per element are t<i>.
class Writer {
 public:
  Writer(const RowKernel& kernel, const Passes& passes) : k_(kernel), p_(passes) {}

  // Assignments of the per-row values that are known once pass `level - 1` is complete, reductions excluded.
  [[nodiscard]] std::string known(int level, const char* indent) const {
    std::string text;
    for (const std::size_t i : p_.row_values(level)) {
      const ExprNode& node = k_.expr.nodes[i];
      if (node.op == ExprOp::operand) {
        text +=
            fmt::format("{}s.s{} = {};\n", indent, i,
                        load_text(k_.reads[index(node.operand)], fmt::format("at.x{}", node.operand), 0, Form::scalar));
        continue;
      }
      const auto args = argument_names(node, [](std::int32_t of) { return fmt::format("s.s{}", of); });
      text += fmt::format("{}s.s{} = {};\n", indent, i, node_text(k_.expr, i, args, Form::scalar));
    }
    return text;
  }

  [[nodiscard]] std::string pass(int p) const {
    const bool last = p == p_.count - 1;
    std::string members, update, merge, finish;
    for (const std::size_t i : p_.reductions(p)) {
      const ExprNode& node = k_.expr.nodes[i];
      const std::string name = fmt::format("r{}", i), value = element(node.args[0], "s");
      members += fmt::format("  vf {} = splat({});\n", name, identity_of(node.op));
      update +=
          fmt::format("    {} = {};\n", name,
                      combined(node.op, name, fmt::format("keep_first<count>({}, {})", value, identity_of(node.op))));
      merge += fmt::format("    {} = {};\n", name, combined(node.op, name, "other." + name));
      finish += fmt::format("    s.s{} = {};\n", i, across(node.op, name));
    }
    if (!last) finish += known(p + 1, "    ");
    return fmt::format(
        "\n// Pass {} of {}: {}.\nstruct Pass{} {{\n{}\n  template <int count>\n"
        "  inline void step([[maybe_unused]] const Row& at, [[maybe_unused]] const Scalars& s, [[maybe_unused]] float* "
        "kept, "
        "[[maybe_unused]] std::int64_t j) {{\n{}{}{}  }}\n"
        "  inline void merge([[maybe_unused]] const Pass{}& other) {{\n{}  }}\n"
        "  inline void finish([[maybe_unused]] const Row& at, [[maybe_unused]] Scalars& s) const {{\n{}{}  }}\n}};\n",
        p + 1, p_.count, p_.describe(p), p, members, elements(p), update, last ? stores() : "", p, merge, finish,
        last ? row_stores() : "");
  }

 private:
  // A node's value in a pass, as a vector.
  [[nodiscard]] std::string element(std::int32_t i, const char* scalars_name) const {
    if (p_.varies[index(i)]) return fmt::format("t{}", i);
    return fmt::format("{}({}.s{})", k_.expr.nodes[index(i)].type == DType::boolean ? "splat_mask" : "splat",
                       scalars_name, i);
  }

  [[nodiscard]] std::string elements(int p) const {
    std::string text;
    const std::vector<bool> needed = p_.needed(p);
    for (std::size_t i = 0; i < k_.expr.nodes.size(); ++i) {
      if (!needed[i] || !p_.varies[i]) continue;
      const ExprNode& node = k_.expr.nodes[i];
      const std::string type = value_type(node.type, Form::vector);
      if (p_.kept[i] >= 0 && p_.kept_level[i] < p) {
        text += fmt::format("    const vf t{} = load(kept + {} * kKeptStride + j);\n", i, p_.kept[i]);
        continue;
      }
      if (node.op == ExprOp::operand) {
        const Access& read = k_.reads[index(node.operand)];
        text += fmt::format("    const {} t{} = {};\n", type, i,
                            load_text(read, fmt::format("at.x{}", node.operand), read.strides.back(), Form::vector));
      } else {
        const auto args = argument_names(node, [&](std::int32_t of) { return element(of, "s"); });
        // Division takes as long as ten multiplications; a row's divisor is inverted once.
        const bool by_row = node.op == ExprOp::div && !p_.varies[index(node.args[1])];
        text += fmt::format("    const {} t{} = {};\n", type, i,
                            by_row ? fmt::format("divide_by({}, s.s{})", args[0], node.args[1])
                                   : node_text(k_.expr, i, args, Form::vector));
      }
      if (p_.kept[i] >= 0 && p_.kept_level[i] == p)
        text += fmt::format("    store(kept + {} * kKeptStride + j, t{});\n", p_.kept[i], i);
    }
    return text;
  }

  [[nodiscard]] std::string stores() const {
    std::string text;
    for (std::size_t r = 0; r < k_.writes.size(); ++r) {
      if (k_.write_per_row[r]) continue;
      const Access& write = k_.writes[r];
      const std::int64_t stride = write.strides.back();
      const std::string value = element(k_.expr.results[r], "s");
      const std::string position = fmt::format("at.y{} + j * {}", r, stride);
      text += fmt::format("    {}\n", store_text(write, position, stride, value));
    }
    return text;
  }

  [[nodiscard]] std::string row_stores() const {
    std::string text;
    for (std::size_t r = 0; r < k_.writes.size(); ++r)
      if (k_.write_per_row[r]) text += fmt::format("    *at.y{} = s.s{};\n", r, k_.expr.results[r]);
    return text;
  }

  const RowKernel& k_;
  const Passes& p_;
};

bool moves(const graph::Shape& strides) {
  return strides.back() != 0 &&
         std::any_of(strides.begin(), strides.end() - 1, [](std::int64_t stride) { return stride != 0; });
}

std::string prefetch(const std::string& pointer, std::int64_t stride, bool writes) {
  return fmt::format("  __builtin_prefetch({} + j * {}, {}, locality);\n", pointer, stride, writes ? 1 : 0);
}

// fetch() and claim(): ask for what passes read of a row, and for what the last one writes, from element j on.
std::string fetch_functions(const RowKernel& k) {
  std::string reads, writes;
  for (std::size_t i = 0; i < k.reads.size(); ++i)
    if (moves(k.reads[i].strides)) reads += prefetch(fmt::format("row.x{}", i), k.reads[i].strides.back(), false);
  for (std::size_t r = 0; r < k.writes.size(); ++r)
    if (!k.write_per_row[r]) writes += prefetch(fmt::format("row.y{}", r), k.writes[r].strides.back(), true);
  const auto function = [](const char* name, const std::string& body) {
    return fmt::format(
        "template <int locality>\n"
        "inline void {}([[maybe_unused]] const Row& row, [[maybe_unused]] std::int64_t j) {{\n{}}}\n",
        name, body);
  };
  return "\n// Ask for what begins at element j of a row; what is the same for every row is there already.\n" +
         function("fetch", reads) + function("claim", writes);
}

}  // namespace

bool accepts_row(const store::TemplateSpec&, const RowKernel& k) {
  const auto lanes = [](const Access& a) { return is_lane_type(a.type) && !a.strides.empty(); };
  if (k.length < 1 || !k.along.empty() || !vectorizable(k.expr)) return false;
  if (!std::all_of(k.reads.begin(), k.reads.end(), lanes)) return false;
  if (!are_lanes(k.writes)) return false;
  const Passes passes(k, false);
  for (std::size_t r = 0; r < k.writes.size(); ++r)
    if (k.write_per_row[r] && passes.varies[index(k.expr.results[r])]) return false;
  return std::all_of(k.expr.nodes.begin(), k.expr.nodes.end(),
                     [](const ExprNode& n) { return !graph::is_row_reduction(n.op) || n.type != DType::boolean; });
}

Hooks row_hooks(const RowKernel& k, const Tunables& tunables) {
  Hooks hooks;
  hooks.functions = operations(k.expr);
  hooks.half = any_half(k.reads) || any_half(k.writes);
  const Passes passes(k, tunables.at("cache") != 0);
  const Writer writer(k, passes);
  hooks.figures = constant("kRows", product(k.outer)) + constant("kLength", k.length, "elements of a row") +
                  constant("kKeptStride", (k.length + 15) / 16 * 16, "floats between kept rows in scratch");
  hooks.code =
      scalar_prelude() +
      fmt::format("\n// Computes {}\n\n{}\n// What is constant along a row.\nstruct Scalars {{\n{}}};\n"
                  "inline void start([[maybe_unused]] const Row& at, [[maybe_unused]] Scalars& s) {{\n{}}}\n",
                  graph::to_string(k.expr),
                  rows_text(k.reads, k.writes, k.outer, graph::to_string(k.outer), hooks.arguments),
                  passes.scalar_members([](DType type) { return std::string(scalar_type(type)); }),
                  writer.known(0, "  "));
  hooks.code += fetch_functions(k);
  std::string list;
  for (int p = 0; p < passes.count; ++p) {
    hooks.code += writer.pass(p);
    list += fmt::format("{}Pass{}", p == 0 ? "" : ", ", p);
  }
  hooks.code += fmt::format("\ntemplate <class... P>\nstruct PassList {{}};\nusing Passes = PassList<{}>;\n", list);
  return hooks;
}

}  // namespace kiln::agents::writer
