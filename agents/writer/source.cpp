#include "agents/writer/source.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <cmath>

#include "runtime/base/error.h"

namespace kiln::agents::writer {

using graph::DType;

bool has_memory_type(DType type) { return !is_half(type) && !graph::is_float8(type); }

bool is_half(DType type) { return type == DType::f16 || type == DType::bf16; }

bool is_lane_type(DType type) { return type == DType::f32 || type == DType::boolean || is_half(type); }

bool are_lanes(const std::vector<Access>& accesses) {
  return std::all_of(accesses.begin(), accesses.end(), [](const Access& a) { return is_lane_type(a.type); });
}

bool is_lane_integer(DType type) {
  return type == DType::i32 || (graph::is_integer(type) && graph::size_of(type) < 4);
}

bool are_lanes_or_integers(const std::vector<Access>& accesses) {
  return std::all_of(accesses.begin(), accesses.end(),
                     [](const Access& a) { return is_lane_type(a.type) || is_lane_integer(a.type); });
}

bool any_half(const std::vector<Access>& accesses) {
  return std::any_of(accesses.begin(), accesses.end(), [](const Access& a) { return is_half(a.type); });
}

std::string_view memory_type(DType type) {
  switch (type) {
    case DType::f64: return "double";
    case DType::f32: return "float";
    case DType::i64: return "std::int64_t";
    case DType::i32: return "std::int32_t";
    case DType::i16: return "std::int16_t";
    case DType::i8: return "std::int8_t";
    case DType::u64: return "std::uint64_t";
    case DType::u32: return "std::uint32_t";
    case DType::u16: return "std::uint16_t";
    case DType::u8:
    case DType::boolean: return "std::uint8_t";
    case DType::f16: return "f16";
    case DType::bf16: return "bf16";
    case DType::f8e4m3fn:
    case DType::f8e4m3fnuz:
    case DType::f8e5m2:
    case DType::f8e5m2fnuz: break;
  }
  throw Error(ErrorCode::unsupported,
              fmt::format("cannot render an access of type {}: no CPU template computes in it", graph::name(type)));
}

std::string_view scalar_type(DType type) {
  if (is_half(type)) return "float";
  return type == DType::boolean ? "bool" : memory_type(type);
}

std::string constant_name(std::string_view tunable) {
  std::string out = "k";
  bool start = true;
  for (const char c : tunable) {
    if (c == '_') {
      start = true;
      continue;
    }
    out += start ? static_cast<char>(std::toupper(static_cast<unsigned char>(c))) : c;
    start = false;
  }
  return out;
}

std::string float_literal(double value, DType type) {
  const bool single = type != DType::f64;
  if (std::isnan(value)) return single ? "__builtin_nanf(\"\")" : "__builtin_nan(\"\")";
  if (std::isinf(value)) {
    const std::string infinity = single ? "__builtin_inff()" : "__builtin_inf()";
    return value < 0 ? "-" + infinity : infinity;
  }
  std::string text = single ? fmt::format("{}", static_cast<float>(value)) : fmt::format("{}", value);
  if (text.find_first_of(".e") == std::string::npos) text += ".0";
  return single ? text + "f" : text;
}

std::string offset_text(const Access& access, const std::vector<std::string>& indices) {
  std::string text = access.offset != 0 ? std::to_string(access.offset) : "";
  for (std::size_t d = 0; d < indices.size() && d < access.strides.size(); ++d) {
    const std::int64_t stride = access.strides[d];
    if (stride == 0 || indices[d] == "0") continue;
    if (!text.empty()) text += " + ";
    text += stride == 1 ? indices[d] : fmt::format("{} * {}", indices[d], stride);
  }
  return text.empty() ? "0" : text;
}

Decomposed decompose(const std::string& from, const graph::Shape& extents, std::string_view prefix,
                     std::string_view indent, std::string_view type) {
  Decomposed out;
  out.indices.assign(extents.size(), "0");
  std::int64_t below = 1;
  for (std::size_t d = extents.size(); d-- > 0;) {
    if (extents[d] == 1) continue;
    const bool outermost = std::all_of(extents.begin(), extents.begin() + static_cast<std::ptrdiff_t>(d),
                                       [](std::int64_t e) { return e == 1; });
    if (outermost && below == 1) {
      out.indices[d] = from;
    } else {
      const std::string quotient = below == 1 ? from : fmt::format("{} / {}", from, below);
      out.indices[d] = fmt::format("{}{}", prefix, d);
      out.statements +=
          outermost ? fmt::format("{}const {} {} = {};\n", indent, type, out.indices[d], quotient)
                    : fmt::format("{}const {} {} = {} % {};\n", indent, type, out.indices[d], quotient, extents[d]);
    }
    below *= extents[d];
  }
  return out;
}

int Arguments::of(RenderedArg::Kind kind, std::int32_t index) {
  for (std::size_t i = 0; i < list_.size(); ++i)
    if (list_[i].kind == kind && list_[i].index == index) return static_cast<int>(i);
  list_.push_back({kind, index});
  return static_cast<int>(list_.size()) - 1;
}

std::string Arguments::read(const Access& access) {
  return fmt::format("static_cast<const {}*>(args[{}])", memory_type(access.type), input(access.buffer));
}

std::string Arguments::write(const Access& access) {
  return fmt::format("static_cast<{}*>(args[{}])", memory_type(access.type), output(access.buffer));
}

std::string rows_text(const std::vector<Access>& reads, const std::vector<Access>& writes, const graph::Shape& outer,
                      const std::string& of, Arguments& arguments) {
  const Decomposed at = decompose("row", outer, "i", "  ");
  std::string members, values;
  const auto begin = [&](const Access& access, const std::string& buffer) {
    const char* apart = values.empty() ? "" : ",\n          ";
    values += fmt::format("{}{} + ({})", apart, buffer, offset_text(access, at.indices));
  };
  for (std::size_t i = 0; i < reads.size(); ++i) {
    members += fmt::format("  const {}* x{};\n", memory_type(reads[i].type), i);
    begin(reads[i], arguments.read(reads[i]));
  }
  for (std::size_t r = 0; r < writes.size(); ++r) {
    members += fmt::format("  {}* y{};\n", memory_type(writes[r].type), r);
    begin(writes[r], arguments.write(writes[r]));
  }
  return fmt::format(
      "// Where one row of {} begins in each buffer.\nstruct Row {{\n{}}};\n\n"
      "inline Row row_at(void* const* args, [[maybe_unused]] std::int64_t row) {{\n{}  return {{{}}};\n}}\n",
      of, members, at.statements, values);
}

std::string constant(std::string_view name, std::int64_t value, std::string_view meaning) {
  const std::string text = fmt::format("constexpr std::int64_t {} = {};", name, value);
  return meaning.empty() ? text + "\n" : fmt::format("{}  // {}\n", text, meaning);
}

std::int64_t product(const graph::Shape& shape) {
  std::int64_t count = 1;
  for (const std::int64_t extent : shape) count *= extent;
  return count;
}

}  // namespace kiln::agents::writer
