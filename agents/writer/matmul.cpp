// Hooks of the matmul family: figures, where each matrix of the batch begins, and finish(): one vector of the epilogue.
#include <fmt/format.h>

#include <algorithm>

#include "agents/writer/family.h"

namespace kiln::agents::writer {

using graph::DType;

namespace {

std::int64_t stride_from_end(const Access& access, std::size_t back) {
  return access.strides[access.strides.size() - back];
}

bool same_for_all(const Access& access, const graph::Shape& batch) {
  for (std::size_t d = 0; d < batch.size(); ++d)
    if (batch[d] > 1 && access.strides[d] != 0) return false;
  return true;
}

bool usable(const Access& access, std::size_t rank) {
  return access.strides.size() == rank && (is_lane_type(access.type) || is_lane_integer(access.type));
}

bool is_byte(DType type) { return type == DType::i8 || type == DType::u8; }

// Products of integers are exact sums in i32, of bytes or of i32.
bool is_product_of_integers(const MatmulKernel& k) {
  return (is_byte(k.a.type) && is_byte(k.b.type)) || (k.a.type == DType::i32 && k.b.type == DType::i32);
}
bool is_product_of_floats(const MatmulKernel& k) {
  return k.a.type == k.b.type && is_lane_type(k.a.type) && k.a.type != DType::boolean;
}

// Of one packed B, in units of four bytes. On the tile unit, tiles of 32 products of bfloat16 (three parts of a
// float32) and an exponent for each column, or tiles of 64 products of bytes; without it pairs of bfloat16 and an
// exponent, or fours of bytes and a sum, for each column.
std::string_view packed_size(std::string_view name) {
  if (name == "amx") return "kPanels * ((kK + 31) / 32 * 1536 + kNr)";
  if (name == "amx_bf16") return "kPanels * ((kK + 31) / 32 * 512 + kNr)";
  if (name == "avx512_bf16") return "kPanels * ((kK + 1) / 2 + 1) * kNr";
  if (name == "avx512_vnni") return "kPanels * ((kK + 3) / 4 + 1) * kNr";
  return name == "amx_int8" ? "kPanels * ((kK + 63) / 64 * 512)" : "kPanels * kK * kNr";
}

DType sum_type(const MatmulKernel& k) { return graph::is_integer(k.a.type) ? DType::i32 : DType::f32; }

std::string finish_function(const MatmulKernel& k) {
  std::string loads, declare, stores, call = "acc";
  for (std::size_t i = 0; i < k.reads.size(); ++i) {
    const std::int64_t row = stride_from_end(k.reads[i], 2), column = stride_from_end(k.reads[i], 1);
    const std::string pointer = row == 0 ? fmt::format("at.x{}", i + 1) : fmt::format("(at.x{} + i * {})", i + 1, row);
    loads += fmt::format("  const {} x{} = {};\n", value_type(k.reads[i].type, Form::vector), i + 1,
                         load_text(k.reads[i], pointer, column, Form::vector));
    call += fmt::format(", x{}", i + 1);
  }
  for (std::size_t r = 0; r < k.writes.size(); ++r) {
    const std::int64_t row = stride_from_end(k.writes[r], 2), column = stride_from_end(k.writes[r], 1);
    declare += fmt::format("  {} y{};\n", value_type(k.writes[r].type, Form::vector), r);
    call += fmt::format(", y{}", r);
    const std::string position = fmt::format("at.y{} + i * {} + j * {}", r, row, column);
    stores += fmt::format("  {}\n", store_text(k.writes[r], position, column, fmt::format("y{}", r)));
  }
  return fmt::format(
      "\n// The epilogue of columns j .. j + count of row i, from their sums of products.\ntemplate <int count>\n"
      "inline void finish(const Matrices& at, std::int64_t i, [[maybe_unused]] std::int64_t j, Sums sums) {{\n"
      "  const auto acc = ({})sums;\n{}{}  expression({});\n{}}}\n",
      value_type(sum_type(k), Form::vector), loads, declare, call, stores);
}

}  // namespace

bool accepts_matmul(const store::TemplateSpec& spec, const MatmulKernel& k) {
  const std::size_t rank = k.batch.size() + 2;
  if (k.m < 1 || k.n < 1 || k.k < 1 || !usable(k.a, rank) || !usable(k.b, rank) ||
      !(is_product_of_integers(k) || is_product_of_floats(k)))
    return false;
  const auto fits = [&](const Access& a) { return usable(a, rank); };
  if (!std::all_of(k.reads.begin(), k.reads.end(), fits) || !std::all_of(k.writes.begin(), k.writes.end(), fits))
    return false;
  if (!vectorizable_with_integers(k.epilogue)) return false;
  if (spec.name == "amx") return k.b_is_weight && k.a.type == DType::f32;
  if (spec.name == "amx_bf16" || spec.name == "avx512_bf16") return k.a.type == DType::bf16;
  if (spec.name == "amx_int8") return is_byte(k.a.type);
  if (spec.name == "avx512_vnni") return is_byte(k.a.type) && k.b.type == DType::i8;
  if (spec.name == "direct" && is_product_of_integers(k)) return false;
  return spec.name != "direct" || (stride_from_end(k.b, 1) == 1 && !k.b_is_weight);
}

Hooks matmul_hooks(const store::TemplateSpec& spec, const MatmulKernel& k, const Tunables&) {
  Hooks hooks;
  hooks.functions = operations(k.epilogue);
  hooks.integers = !vectorizable(k.epilogue) || is_product_of_integers(k) || !are_lanes(k.reads);
  hooks.half = is_half(k.a.type) || any_half(k.reads) || any_half(k.writes);
  const bool packs = spec.name != "direct";
  hooks.packs_once = packs && k.b_is_weight;
  const bool one_b = same_for_all(k.b, k.batch);
  hooks.figures = constant("kBatch", product(k.batch), "matrix products") + constant("kM", k.m) + constant("kN", k.n) +
                  constant("kK", k.k) + constant("kARow", stride_from_end(k.a, 2), "elements between rows of A") +
                  constant("kAColumn", stride_from_end(k.a, 1)) +
                  constant("kBRow", stride_from_end(k.b, 2), "elements between rows of B") +
                  constant("kBColumn", stride_from_end(k.b, 1));
  if (packs) hooks.figures += constant("kPackedMatrices", one_b ? 1 : product(k.batch), "distinct B in the batch");

  const Decomposed at = decompose("batch", k.batch, "i", "  ");
  std::string members = "  const ElementA* a;\n";
  std::string values = fmt::format("{} + ({})", hooks.arguments.read(k.a), offset_text(k.a, at.indices));
  members += packs ? "  const Sum* b;\n" : "  const ElementB* b;\n";
  if (packs) {
    const int packed =
        hooks.arguments.of(hooks.packs_once ? RenderedArg::Kind::prepared : RenderedArg::Kind::temporary, 0);
    values += fmt::format(",\n          static_cast<const Sum*>(args[{}]) + {} * kPackedStride", packed,
                          one_b ? "0" : "batch");
  } else {
    values += fmt::format(",\n          {} + ({})", hooks.arguments.read(k.b), offset_text(k.b, at.indices));
  }
  for (std::size_t i = 0; i < k.reads.size(); ++i) {
    members += fmt::format("  const {}* x{};\n", memory_type(k.reads[i].type), i + 1);
    values +=
        fmt::format(",\n          {} + ({})", hooks.arguments.read(k.reads[i]), offset_text(k.reads[i], at.indices));
  }
  for (std::size_t r = 0; r < k.writes.size(); ++r) {
    members += fmt::format("  {}* y{};\n", memory_type(k.writes[r].type), r);
    values +=
        fmt::format(",\n          {} + ({})", hooks.arguments.write(k.writes[r]), offset_text(k.writes[r], at.indices));
  }
  if (packs)
    hooks.code = fmt::format(
        "constexpr std::int64_t kNr = kNv * kLanes;              // columns of a panel of B\n"
        "constexpr std::int64_t kPanels = (kN + kNr - 1) / kNr;\n"
        "constexpr std::int64_t kPackedStride = {};  // elements of four bytes of one packed B\n\n"
        "inline const ElementB* unpacked_b(void* const* args, [[maybe_unused]] std::int64_t batch) {{\n{}  return {} + "
        "({});\n}}\n"
        "inline Sum* packed_b(void* const* args, std::int64_t batch) {{\n  return static_cast<Sum*>(args[{}]) + "
        "batch * kPackedStride;\n}}\n\n",
        packed_size(spec.name),
        decompose("batch", k.batch, "i", "  [[maybe_unused]] ").statements,
        hooks.prepare_arguments.read(k.b), offset_text(k.b, at.indices),
        hooks.prepare_arguments.of(hooks.packs_once ? RenderedArg::Kind::prepared : RenderedArg::Kind::temporary, 0));
  const bool integers = is_product_of_integers(k);
  hooks.code = fmt::format(
                   "using ElementA = {};\nusing ElementB = {};\nusing Sum = {};   // of products\n"
                   "using Sums = {};  // a vector of them\n",
                   memory_type(k.a.type), memory_type(k.b.type), integers ? "std::uint32_t" : "float",
                   integers ? "vs" : "vf") +
               hooks.code;
  hooks.code += fmt::format(
      "// Where the matrices of one product begin.\nstruct Matrices {{\n{}}};\n\n"
      "inline Matrices matrices_at(void* const* args, [[maybe_unused]] std::int64_t batch) {{\n{}  return "
      "{{{}}};\n}}\n\n",
      members, at.statements, values);
  std::vector<DType> types = {sum_type(k)};
  for (const Access& read : k.reads) types.push_back(read.type);
  hooks.code += expression_function(k.epilogue, Form::vector, types) + finish_function(k);
  return hooks;
}

}  // namespace kiln::agents::writer
