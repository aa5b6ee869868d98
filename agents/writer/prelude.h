// The fixed part of generated source: vectors of float32 through the compiler's vector extension, and the functions of
// an expression over them. Only what an expression needs goes into its file.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "agents/graph/expr.h"

namespace kiln::agents::writer {

// Vector types of `lanes` floats with loads, stores, selection and reductions.
[[nodiscard]] std::string vector_prelude(int lanes);
// bf16 and f16 as types of memory, and, after vector_prelude(), loads and stores of vectors of them.
[[nodiscard]] std::string half_prelude(bool vectors);
// Integers of at most 32 bits in lanes, after vector_prelude().
[[nodiscard]] std::string integer_prelude();
// vexp, vtanh, ... for the operations that occur, each once, after the functions it calls.
[[nodiscard]] std::string vector_functions(const std::vector<graph::ExprOp>& ops);
// Scalar conversions and operations that C++ lacks: total division, rounding casts, extrema that keep NaN.
[[nodiscard]] std::string scalar_prelude();

// The text of a oneDNN kernel around its template, which defines add_parts(State&): includes, tensors and the state of
// at most `tasks` parts before it, which compute in `scratch_bytes` of the plan's scratch where that suffices, the
// entry points of runtime/kernel_abi.h after it.
[[nodiscard]] std::string onednn_prelude(std::int64_t tasks, std::int64_t scratch_bytes);
[[nodiscard]] std::string onednn_entries();

}  // namespace kiln::agents::writer
