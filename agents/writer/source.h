// Building blocks of generated source: C++ names of types, offsets of accesses, the arguments of a launch, and text.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "agents/artifacts/rendered.h"
#include "agents/region/kernel.h"

namespace kiln::agents::writer {

// "float", "std::int64_t", "bf16" (prelude.h); bool is a byte in memory. Throws Error(unsupported) for 8-bit floats.
[[nodiscard]] std::string_view memory_type(graph::DType type);
// What is computed with: "float" for the 16-bit floats too, "std::int64_t", "bool".
[[nodiscard]] std::string_view scalar_type(graph::DType type);
[[nodiscard]] bool has_memory_type(graph::DType type);  // one of the language's own
[[nodiscard]] bool is_half(graph::DType type);          // f16, bf16
// Whether its values fill lanes of float32 vectors: f32, f16, bf16, and bool as a mask.
[[nodiscard]] bool is_lane_type(graph::DType type);
[[nodiscard]] bool are_lanes(const std::vector<Access>& accesses);
// Whether its values fill lanes as i32: the integers that i32 holds.
[[nodiscard]] bool is_lane_integer(graph::DType type);
[[nodiscard]] bool are_lanes_or_integers(const std::vector<Access>& accesses);
[[nodiscard]] bool any_half(const std::vector<Access>& accesses);

// "kRowsPerTask" for "rows_per_task".
[[nodiscard]] std::string constant_name(std::string_view tunable);
// Shortest text that reads back as the same float or double: "0.5f", "1e-12", "__builtin_inff()".
[[nodiscard]] std::string float_literal(double value, graph::DType type);

// "4096 + i0 * 384 + i1"; "0" for a scalar. `indices[d]` is the text of the index of dimension d; empty strides past
// the end are ignored.
[[nodiscard]] std::string offset_text(const Access& access, const std::vector<std::string>& indices);

// Statements that split `from` into one index per extent, outermost first: "const std::int64_t i1 = row % 64;".
// Dimensions of extent 1 give no statement and the index "0". `type` is the C++ type of an index.
struct Decomposed {
  std::string statements;
  std::vector<std::string> indices;
};
[[nodiscard]] Decomposed decompose(const std::string& from, const graph::Shape& extents, std::string_view prefix,
                                   std::string_view indent, std::string_view type = "std::int64_t");

// The arguments of one launch, each buffer once, in order of first use.
class Arguments {
 public:
  int of(RenderedArg::Kind kind, std::int32_t index);
  int input(std::int32_t index) { return of(RenderedArg::Kind::input, index); }
  int output(std::int32_t index) { return of(RenderedArg::Kind::output, index); }
  [[nodiscard]] const std::vector<RenderedArg>& list() const { return list_; }
  // "static_cast<const float*>(args[2])"
  [[nodiscard]] std::string read(const Access& access);
  [[nodiscard]] std::string write(const Access& access);

 private:
  std::vector<RenderedArg> list_;
};

// "struct Row", a pointer to where one row begins for each access (x0, x1, ..., y0, ...), and "row_at(args, row)",
// which finds them for the rows that `outer` counts. `of`: what they are rows of, for who reads it.
[[nodiscard]] std::string rows_text(const std::vector<Access>& reads, const std::vector<Access>& writes,
                                    const graph::Shape& outer, const std::string& of, Arguments& arguments);

// "constexpr std::int64_t kM = 128;  // meaning\n"
[[nodiscard]] std::string constant(std::string_view name, std::int64_t value, std::string_view meaning = {});

[[nodiscard]] std::int64_t product(const graph::Shape& shape);

}  // namespace kiln::agents::writer
