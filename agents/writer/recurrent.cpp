// Hooks of the recurrent family: figures, the activations, and where the buffers begin.
#include <fmt/format.h>

#include <algorithm>

#include "agents/writer/family.h"

namespace kiln::agents::writer {

using graph::DType;

bool accepts_recurrent(const store::TemplateSpec&, const RecurrentKernel& k) {
  return k.inputs[0].type == DType::f32 && k.hidden > 0 &&
         std::all_of(k.op.activations.begin(), k.op.activations.end(),
                     [](const graph::Expr& e) { return vectorizable(e); });
}

Hooks recurrent_hooks(const RecurrentKernel& k) {
  constexpr const char* cells[] = {"rnn", "gru", "lstm"};
  constexpr const char* inputs[] = {"projected", "weights",    "bias",     "first_hidden",
                                    "lengths",   "first_cell", "peepholes"};
  constexpr const char* outputs[] = {"all_hidden", "last_hidden", "last_cell"};
  Hooks hooks;
  hooks.figures = constant("kSteps", k.steps) + constant("kBatch", k.batch) + constant("kHidden", k.hidden) +
                  "enum class Cell { rnn, gru, lstm };\n" +
                  fmt::format("constexpr Cell kCell = Cell::{};\n", cells[static_cast<std::size_t>(k.op.cell)]) +
                  fmt::format("constexpr bool kReverse = {}, kResetAfter = {}, kInputForget = {};\n", k.op.reverse,
                              k.op.reset_after, k.op.input_forget) +
                  fmt::format("constexpr float kClip = {};  // 0: none\n", float_literal(k.op.clip, DType::f32));
  for (std::size_t a = 0; a < k.op.activations.size(); ++a) {
    const std::vector<graph::ExprOp> needed = operations(k.op.activations[a]);
    hooks.functions.insert(hooks.functions.end(), needed.begin(), needed.end());
    hooks.code += fmt::format("namespace activation_{} {{\n{}}}\n", a,
                              expression_function(k.op.activations[a], Form::vector, {DType::f32}));
  }
  hooks.code += "template <int which>\ninline vf activation(vf x) {\n  vf y;\n";
  for (std::size_t a = 0; a < k.op.activations.size(); ++a)
    hooks.code +=
        fmt::format("  {}if constexpr (which == {}) activation_{}::expression(x, y);\n", a == 0 ? "" : "else ", a, a);
  hooks.code += "  return y;\n}\n\n";
  for (std::size_t i = 0; i < std::size(inputs); ++i) {
    const bool given = i < k.inputs.size();
    hooks.code += fmt::format("inline const {}* {}(void* const* args) {{ return {}; }}\n",
                              i == 4 ? "std::int64_t" : "float", inputs[i],
                              given ? fmt::format("{} + {}", hooks.arguments.read(k.inputs[i]), k.inputs[i].offset)
                                    : "args ? nullptr : nullptr");
  }
  for (std::size_t o = 0; o < std::size(outputs); ++o) {
    const bool given = o < k.outputs.size() && k.outputs[o];
    hooks.code += fmt::format("inline float* {}(void* const* args) {{ return {}; }}\n", outputs[o],
                              given ? hooks.arguments.write(*k.outputs[o]) : "args ? nullptr : nullptr");
    hooks.figures += fmt::format("constexpr bool kHas{} = {};\n", o == 0 ? "All" : o == 1 ? "Last" : "Cell", given);
  }
  return hooks;
}

}  // namespace kiln::agents::writer
