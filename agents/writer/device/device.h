// What the families rendered for GPUs share: types, the expression as device code, and vectors of accesses. The text
// that is made here calls the device headers of the corpus (store/corpus/templates/device).
#pragma once

#include <initializer_list>
#include <string>
#include <utility>
#include <vector>

#include "agents/region/kernel.h"
#include "agents/writer/family.h"

namespace kiln::agents::writer::device {

// "f32", "bf16", "u8" for a boolean: the type of an element in memory.
[[nodiscard]] std::string memory_type(graph::DType type);
// "f32" for half precision, "bool" for a boolean: what an element's value is computed in.
[[nodiscard]] std::string value_type(graph::DType type);
// The same for partial results: 4 or 8 bytes, as shuffles move them; narrow integers wrap when the result is taken.
[[nodiscard]] std::string partial_type(graph::DType type);

// The right-hand side of node `index` from the names of its arguments: "op_exp(t3)". Not for operands or reductions.
[[nodiscard]] std::string node_text(const graph::Expr& expr, std::size_t index, const std::vector<std::string>& args);
// `KILN_DEVICE void expression(f32 x0, bool x1, f32& y0)`, with the expression as a comment above it.
[[nodiscard]] std::string expression_function(const graph::Expr& expr,
                                              const std::vector<graph::DType>& operand_types);

// A kernel's accesses as the hooks name them: operand i is x<i>, result r is y<r>. `inner` is the dimension along
// which vectors of kVector neighbours lie; -1 for a kernel whose accesses have no dimension at all.
struct Accesses {
  const std::vector<Access>& reads;
  const std::vector<Access>& writes;
  int inner = -1;
  graph::Shape along{};  // the extents of a row of several dimensions, of which `inner` is the last

  [[nodiscard]] std::int64_t stride(const Access& access) const {
    return inner < 0 || static_cast<std::size_t>(inner) >= access.strides.size()
               ? 0
               : access.strides[static_cast<std::size_t>(inner)];
  }
};

// `using index_t = i32;`, or i64 where an offset over `space` or a count of elements would not fit with room to
// spare.
[[nodiscard]] std::string index_type(const Accesses& accesses, const graph::Shape& space);
// The same for accesses of several spaces: whether one needs 64 bits, and the text.
[[nodiscard]] bool is_wide(const Access& access, const graph::Shape& space);
[[nodiscard]] std::string index_type(bool wide);
// The value of one element, and its store: "value_of(static_cast<const bf16*>(arguments.at[0])[at.x0 + i * 8])".
// `position` is the text of the element's offset from its Place.
[[nodiscard]] std::string element_value(const Access& access, std::size_t read, const std::string& position,
                                        Arguments& arguments);
[[nodiscard]] std::string read_pointer(const Access& access, Arguments& arguments);  // to its buffer's first element
[[nodiscard]] std::string element_store(const Access& access, std::size_t write, const std::string& position,
                                        const std::string& value, Arguments& arguments);
// " + i * 8 + j": the sum of indices by strides, nothing for a stride of 0.
[[nodiscard]] std::string strided(std::initializer_list<std::pair<const char*, std::int64_t>> terms);
// A function `name` that gives the first element of a buffer that is read, or of one that is written: null when absent.
[[nodiscard]] std::string buffer_function(std::string_view name, const Access& read, Arguments& arguments);
[[nodiscard]] std::string buffer_function(std::string_view name, std::string_view type,
                                          const std::optional<Access>& write, Arguments& arguments);
// "Greatest": the operation of reduce.cuh; Sum for a mean.
[[nodiscard]] std::string monoid_operation(graph::Monoid monoid);
// Windows and convolutions move over at most three dimensions; a template sees three, with leading ones of `fill` where
// there are fewer. The constants are "constexpr int kTaps0 = 1, kTaps1 = 3, kTaps2 = 3;".
constexpr std::size_t kMostSpatial = 3;
[[nodiscard]] graph::Shape leading_filled(const graph::Shape& of, std::int64_t fill);
[[nodiscard]] std::string spatial_constants(std::string_view type, std::string_view name, const graph::Shape& of,
                                            std::int64_t fill);
// struct Arguments: the pointers of a launch.
[[nodiscard]] std::string arguments_struct(const Arguments& arguments);
// struct Place (the offset of each access at the start of a row of `outer`) and place_of(row).
[[nodiscard]] std::string place_functions(const Accesses& accesses, const graph::Shape& outer);
// Where element `j` of a row of several dimensions lies, from its Place: "x3_along(j)"; "j * 4" in one dimension, and
// nothing where an access stands still. The functions that it calls; there are none for rows of one dimension.
[[nodiscard]] std::string along_text(const Accesses& accesses, const Access& access, char kind, std::size_t number,
                                     const std::string& j);
[[nodiscard]] std::string along_functions(const Accesses& accesses);
// struct Loaded: kVector neighbours of each operand, or one value of those that do not vary along the vector.
// `members`: what else is in it.
[[nodiscard]] std::string loaded_struct(const Accesses& accesses, std::string members = "");

// Statements over `at` (a Place), `j` (the position in the row) and `v` (a Loaded) or a Pack y<r>; each is one line
// or more.
[[nodiscard]] std::string load_vector(const Accesses& accesses, std::size_t operand, Arguments& arguments,
                                      std::string_view indent);
// The same for a vector that ends with the row after `count` elements.
[[nodiscard]] std::string load_part(const Accesses& accesses, std::size_t operand, Arguments& arguments,
                                    std::string_view indent);
[[nodiscard]] std::string store_vector(const Accesses& accesses, std::size_t result, Arguments& arguments,
                                       std::string_view indent);
[[nodiscard]] std::string store_part(const Accesses& accesses, std::size_t result, Arguments& arguments,
                                     std::string_view indent);
// The value of operand i at element `e` of `v`: "value_of(v.x0.at[e])".
[[nodiscard]] std::string operand_value(const Accesses& accesses, std::size_t operand);

// Families.
[[nodiscard]] bool accepts_matmul(const MatmulKernel& kernel);
[[nodiscard]] bool accepts_attention(const AttentionKernel& kernel);
[[nodiscard]] bool accepts_gather(const GatherKernel& kernel);
[[nodiscard]] bool accepts_concat(const ConcatKernel& kernel);
[[nodiscard]] bool accepts_pad(const PadKernel& kernel);
[[nodiscard]] bool accepts_convolution(const ConvolutionKernel& kernel);
[[nodiscard]] bool accepts_window(const WindowKernel& kernel);
[[nodiscard]] bool accepts_scan(const LineKernel& kernel);
[[nodiscard]] bool accepts_arg(const LineKernel& kernel);
[[nodiscard]] bool accepts_sort(const LineKernel& kernel);
[[nodiscard]] bool accepts_recurrent(const RecurrentKernel& kernel);
[[nodiscard]] Hooks recurrent_hooks(const RecurrentKernel& kernel);
// The same for `blocks` blocks that stay, and meet in a buffer that a first launch clears.
[[nodiscard]] Hooks persistent_recurrent_hooks(const RecurrentKernel& kernel, const Tunables& tunables,
                                               std::int64_t blocks);
[[nodiscard]] Hooks pad_hooks(const PadKernel& kernel);
// `parts`: that a series of results leaves for statistics (statistics.h).
[[nodiscard]] Hooks convolution_hooks(const ConvolutionKernel& kernel, std::int64_t parts);
[[nodiscard]] Hooks window_hooks(const WindowKernel& kernel);
[[nodiscard]] Hooks scan_hooks(const LineKernel& kernel);
[[nodiscard]] Hooks arg_hooks(const LineKernel& kernel);
[[nodiscard]] Hooks sort_hooks(const LineKernel& kernel);
[[nodiscard]] Hooks matmul_hooks(const MatmulKernel& kernel, std::int64_t parts);
// The same for who adds arguments: without struct Arguments.
[[nodiscard]] Hooks product_hooks(const MatmulKernel& kernel, std::int64_t parts);
// Products whose operand of many rows or columns streams through, and has its neighbours along k or across it.
[[nodiscard]] bool accepts_gemv(const MatmulKernel& kernel, bool along_k);
// The same along k in half precision, both operands by vectors that a matrix instruction takes.
[[nodiscard]] bool accepts_gemv_mma(const MatmulKernel& kernel);
[[nodiscard]] Hooks gemv_hooks(const MatmulKernel& kernel, const Tunables& tunables, bool along_k);
// Products whose blocks share k.
[[nodiscard]] Hooks split_k_hooks(const MatmulKernel& kernel, const Tunables& tunables, std::int64_t block_threads);
[[nodiscard]] Hooks attention_hooks(const AttentionKernel& kernel);
[[nodiscard]] Hooks gather_hooks(const GatherKernel& kernel);
[[nodiscard]] Hooks concat_hooks(const ConcatKernel& kernel);
[[nodiscard]] bool accepts_pointwise(const PointwiseKernel& kernel);
[[nodiscard]] bool accepts_tiles(const PointwiseKernel& kernel);
[[nodiscard]] Hooks tiles_hooks(const PointwiseKernel& kernel);
[[nodiscard]] bool accepts_row(const RowKernel& kernel);
[[nodiscard]] Hooks pointwise_hooks(const PointwiseKernel& kernel, const Tunables& tunables);
[[nodiscard]] Hooks row_hooks(const RowKernel& kernel, const Tunables& tunables);
// The same for rows that are kept in shared memory.
[[nodiscard]] Hooks staged_row_hooks(const RowKernel& kernel, const Tunables& tunables);
// The same for `blocks` blocks that stay, take row after row, and meet in a buffer that a first launch clears.
[[nodiscard]] Hooks persistent_row_hooks(const RowKernel& kernel, const Tunables& tunables, std::int64_t blocks);
// The same, over several launches that share a buffer of partial results.
[[nodiscard]] Hooks split_row_hooks(const RowKernel& kernel, const Tunables& tunables);

}  // namespace kiln::agents::writer::device
