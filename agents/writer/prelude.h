// The fixed part of generated source: vectors of float32 through the compiler's vector extension, and the functions of
// an expression over them. Only what an expression needs goes into its file.
#pragma once

#include <string>
#include <vector>

#include "agents/graph/expr.h"

namespace kiln::agents::writer {

// Vector types of `lanes` floats with loads, stores, selection and reductions.
[[nodiscard]] std::string vector_prelude(int lanes);
// vexp, vtanh, ... for the operations that occur, each once, after the functions it calls.
[[nodiscard]] std::string vector_functions(const std::vector<graph::ExprOp>& ops);
// Scalar conversions and operations that C++ lacks: total division, rounding casts, extrema that keep NaN.
[[nodiscard]] std::string scalar_prelude();

// Includes, tensors and the state of a oneDNN kernel.
[[nodiscard]] std::string onednn_prelude();

}  // namespace kiln::agents::writer
