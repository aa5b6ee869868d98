// Hooks of the recurrent family on a GPU: the layer's cell, its activations, and where its buffers begin.
#include <fmt/format.h>

#include <algorithm>
#include <iterator>

#include "agents/writer/device/device.h"

namespace kiln::agents::writer::device {

namespace {

constexpr std::int64_t kSharedBytes = 96 << 10;  // that a block of every architecture may have
constexpr std::int64_t kStates = 3;              // rows of states that recurrent/device keeps there

bool is_narrow_float(graph::DType type) {
  return type == graph::DType::f32 || type == graph::DType::f16 || type == graph::DType::bf16;
}

std::int64_t gates_of(graph::Cell cell) { return cell == graph::Cell::rnn ? 1 : cell == graph::Cell::gru ? 3 : 4; }

// struct Layer of recurrent.cuh.
std::string layer_struct(const RecurrentKernel& k, const std::string& value) {
  constexpr const char* cells[] = {"rnn", "gru", "lstm"};
  std::string functions, choice;
  for (std::size_t a = 0; a < k.op.activations.size(); ++a) {
    functions += fmt::format("namespace activation_{} {{\n{}}}\n", a,
                             expression_function(k.op.activations[a], {k.inputs[0].type}));
    choice += fmt::format("    {}if constexpr (which == {}) activation_{}::expression(x, y);\n", a == 0 ? "" : "else ",
                          a, a);
  }
  return functions +
         fmt::format("struct Layer {{\n  using Value = {};\n  static constexpr Cell cell = Cell::{};\n"
                     "  static constexpr int gates = {};\n"
                     "  static constexpr bool reset_after = {}, input_forget = {};\n"
                     "  static constexpr f64 clip = {};  // 0: none\n  template <int which>\n"
                     "  static KILN_DEVICE Value activation(Value x) {{\n    Value y = 0;\n{}    return y;\n"
                     "  }}\n}};\n",
                     value, cells[static_cast<std::size_t>(k.op.cell)], gates_of(k.op.cell), k.op.reset_after,
                     k.op.input_forget, float_literal(k.op.clip, graph::DType::f64), choice);
}

// load_added(arguments, place, row, unit, added): what a step adds to a unit's products.
std::string added_function(const RecurrentKernel& k) {
  std::string text =
      "KILN_DEVICE void load_added(const Arguments& arguments, index_t place, index_t row, index_t unit, "
      "Added<Layer>& added) {\n"
      "  const index_t at = (place * kBatch + row) * (Layer::gates * kHidden) + unit;\n"
      "#pragma unroll\n  for (int g = 0; g < Layer::gates; ++g) {\n"
      "    added.x[g] = value_of(projected(arguments)[at + g * kHidden]);\n"
      "    added.bias[g] = value_of(bias(arguments)[g * kHidden + unit]);\n  }\n";
  if (k.op.cell == graph::Cell::lstm)
    text +=
        "#pragma unroll\n  for (int p = 0; p < 3; ++p)\n"
        "    added.peepholes[p] = value_of(peepholes(arguments)[p * kHidden + unit]);\n";
  return text + "}\n";
}

// `groups`: of blocks that meet; 0 for blocks that do not.
Hooks hooks_of(const RecurrentKernel& k, std::int64_t groups) {
  constexpr const char* inputs[] = {"projected", "weights",    "bias",     "first_hidden",
                                    "lengths",   "first_cell", "peepholes"};
  constexpr const char* outputs[] = {"all_hidden", "last_hidden", "last_cell"};
  constexpr const char* has[] = {"All", "Last", "Cell"};
  Hooks hooks;
  const graph::DType type = k.inputs[0].type;
  const std::int64_t gates = gates_of(k.op.cell);
  const std::int64_t most = std::max(k.steps * k.batch, k.hidden) * gates * k.hidden;
  hooks.figures = index_type(most >= (std::int64_t{1} << 30)) +
                  fmt::format("constexpr int kSteps = {}, kHidden = {};\nconstexpr index_t kBatch = {};\n"
                              "constexpr bool kReverse = {};\nusing Memory = {};  // an element\n",
                              k.steps, k.hidden, k.batch, k.op.reverse, memory_type(type));
  std::string code;
  for (std::size_t i = 0; i < std::size(inputs); ++i)
    code += i < k.inputs.size()
                ? buffer_function(inputs[i], k.inputs[i], hooks.arguments)
                : fmt::format("KILN_DEVICE const Memory* {}(const Arguments&) {{ return nullptr; }}\n", inputs[i]);
  for (std::size_t o = 0; o < std::size(outputs); ++o) {
    const std::optional<Access> write = o < k.outputs.size() ? k.outputs[o] : std::nullopt;
    code += buffer_function(outputs[o], "Memory", write, hooks.arguments);
    hooks.figures += fmt::format("constexpr bool kHas{} = {};\n", has[o], write.has_value());
  }
  if (groups > 0)
    hooks.figures += fmt::format(
        "constexpr int kGroups = {};  // of blocks, side by side\n"
        "constexpr int kMessages = {};  // of the arguments: what the blocks of a group tell each other\n",
        groups, hooks.arguments.of(RenderedArg::Kind::temporary, 0));
  hooks.code = arguments_struct(hooks.arguments) + code + layer_struct(k, value_type(type)) + added_function(k);
  return hooks;
}

}  // namespace

bool accepts_recurrent(const RecurrentKernel& k) {
  // A row's states take 4 bytes each in shared memory, whatever their type.
  return is_narrow_float(k.inputs[0].type) && k.hidden > 0 && k.batch > 0 &&
         k.steps > 0 && k.steps < (std::int64_t{1} << 30) && kStates * (k.hidden + 3) * 4 <= kSharedBytes;
}

Hooks recurrent_hooks(const RecurrentKernel& k) { return hooks_of(k, 0); }

Hooks persistent_recurrent_hooks(const RecurrentKernel& k, const Tunables& tunables, std::int64_t blocks) {
  const std::int64_t groups = blocks / tunables.at("group_blocks");
  Hooks hooks = hooks_of(k, groups);
  hooks.launches = 2;  // the first clears what the second's blocks meet by
  hooks.temporary_bytes = {groups * 2 * tunables.at("tile") * ((k.hidden + 3) / 4 * 4) * 8};
  return hooks;
}

}  // namespace kiln::agents::writer::device
