#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>

#include "agents/writer/device/device.h"

namespace kiln::agents::writer::device {

namespace {

// Indices overshoot their last element by up to a launch's worth of vectors before they are compared.
constexpr std::int64_t kRoom = std::int64_t{1} << 24, kNarrow = std::int64_t{1} << 31;

std::int64_t largest_offset(const Access& access, const graph::Shape& space) {
  std::int64_t offset = std::abs(access.offset);
  for (std::size_t d = 0; d < space.size() && d < access.strides.size(); ++d)
    offset += std::abs(access.strides[d]) * std::max<std::int64_t>(0, space[d] - 1);
  return offset;
}

std::string write_pointer(const Access& access, Arguments& arguments) {
  return fmt::format("static_cast<{}*>(arguments.at[{}])", memory_type(access.type), arguments.output(access.buffer));
}

// "(at.x0 + (j + e) * 4)"
std::string element_offset(const Accesses& accesses, const Access& access, char kind, std::size_t number) {
  const std::int64_t stride = accesses.stride(access);
  if (!accesses.along.empty())
    return fmt::format("at.{}{}{} + e * {}", kind, number, along_text(accesses, access, kind, number, "j"), stride);
  if (stride == 0) return fmt::format("at.{}{}", kind, number);
  return stride == 1 ? fmt::format("at.{}{} + j + e", kind, number)
                     : fmt::format("at.{}{} + (j + e) * {}", kind, number, stride);
}

// The strides of a row's dimensions when they are not those of one dimension.
std::vector<std::int64_t> uneven(const Accesses& accesses, const Access& access) {
  const graph::Shape& along = accesses.along;
  if (along.empty() || access.strides.size() < along.size()) return {};
  std::vector<std::int64_t> strides(access.strides.end() - static_cast<std::ptrdiff_t>(along.size()),
                                    access.strides.end());
  for (std::size_t d = 0; d + 1 < along.size(); ++d)
    if (strides[d] != strides[d + 1] * along[d + 1]) return strides;
  return {};
}

std::string over_elements(std::string_view indent, std::string_view condition, const std::string& statement) {
  return fmt::format("#pragma unroll\n{}for (int e = 0; e < kVector; ++e)\n{}  {}{}\n", indent, indent, condition,
                     statement);
}

}  // namespace

std::string read_pointer(const Access& access, Arguments& arguments) {
  return fmt::format("static_cast<const {}*>(arguments.at[{}])", memory_type(access.type),
                     arguments.input(access.buffer));
}

std::string index_type(const Accesses& accesses, const graph::Shape& space) {
  bool wide = product(space) + kRoom >= kNarrow;
  for (const std::vector<Access>* list : {&accesses.reads, &accesses.writes})
    for (const Access& access : *list) wide = wide || is_wide(access, space);
  return index_type(wide);
}

bool is_wide(const Access& access, const graph::Shape& space) {
  return largest_offset(access, space) + kRoom >= kNarrow;
}

std::string index_type(bool wide) { return wide ? "using index_t = i64;\n" : "using index_t = i32;\n"; }

std::string strided(std::initializer_list<std::pair<const char*, std::int64_t>> terms) {
  std::string text;
  for (const auto& [index, stride] : terms)
    if (stride != 0) text += stride == 1 ? fmt::format(" + {}", index) : fmt::format(" + {} * {}", index, stride);
  return text;
}

std::string element_value(const Access& access, std::size_t read, const std::string& position, Arguments& arguments) {
  const std::string element = fmt::format("{}[at.x{}{}]", read_pointer(access, arguments), read, position);
  return access.type == graph::DType::boolean ? element + " != 0" : fmt::format("value_of({})", element);
}

std::string element_store(const Access& access, std::size_t write, const std::string& position,
                          const std::string& value, Arguments& arguments) {
  return fmt::format("{}[at.y{}{}] = Element<{}>::of({});", write_pointer(access, arguments), write, position,
                     memory_type(access.type), value);
}

std::string along_text(const Accesses& accesses, const Access& access, char kind, std::size_t number,
                       const std::string& j) {
  if (uneven(accesses, access).empty()) return strided({{j.c_str(), accesses.stride(access)}});
  return fmt::format(" + {}{}_along({})", kind, number, j);
}

std::string along_functions(const Accesses& accesses) {
  std::string text;
  const auto add = [&](char kind, std::size_t number, const Access& access) {
    const std::vector<std::int64_t> strides = uneven(accesses, access);
    if (strides.empty()) return;
    const Decomposed at = decompose("j", accesses.along, "a", "  ", "index_t");
    text += fmt::format("KILN_DEVICE index_t {}{}_along(index_t j) {{\n{}  return {};\n}}\n", kind, number,
                        at.statements, offset_text({0, access.type, 0, strides}, at.indices));
  };
  for (std::size_t i = 0; i < accesses.reads.size(); ++i) add('x', i, accesses.reads[i]);
  for (std::size_t r = 0; r < accesses.writes.size(); ++r) add('y', r, accesses.writes[r]);
  return text.empty() ? "" : "// Where element j of a row lies, from its beginning.\n" + text;
}

std::string buffer_function(std::string_view name, const Access& read, Arguments& arguments) {
  const std::string type = memory_type(read.type);
  return fmt::format(
      "KILN_DEVICE const {0}* {1}(const Arguments& arguments) {{\n  return static_cast<const "
      "{0}*>(arguments.at[{2}]) + {3};\n}}\n",
      type, name, arguments.input(read.buffer), read.offset);
}

std::string buffer_function(std::string_view name, std::string_view type, const std::optional<Access>& write,
                            Arguments& arguments) {
  if (!write) return fmt::format("KILN_DEVICE {}* {}(const Arguments&) {{ return nullptr; }}\n", type, name);
  return fmt::format(
      "KILN_DEVICE {0}* {1}(const Arguments& arguments) {{ return static_cast<{0}*>(arguments.at[{2}]); }}\n", type,
      name, arguments.output(write->buffer));
}

std::string partial_type(graph::DType type) {
  if (!graph::is_integer(type) || graph::size_of(type) >= 4) return value_type(type);
  return type == graph::DType::u8 || type == graph::DType::u16 ? "u32" : "i32";
}

std::string monoid_operation(graph::Monoid monoid) {
  switch (monoid) {
    case graph::Monoid::max:
      return "Greatest";
    case graph::Monoid::min:
      return "Least";
    case graph::Monoid::prod:
      return "Product";
    default:
      return "Sum";
  }
}

std::string arguments_struct(const Arguments& arguments) {
  return fmt::format("struct Arguments {{\n  void* at[{}];\n}};\n", std::max<std::size_t>(1, arguments.list().size()));
}

std::string place_functions(const Accesses& accesses, const graph::Shape& outer) {
  const Decomposed at = decompose("row", outer, "i", "  ", "index_t");
  std::string members, values;
  const auto add = [&](char kind, std::size_t number, const Access& access) {
    members += fmt::format("{}{}{}", members.empty() ? "" : ", ", kind, number);
    values += fmt::format("{}{}", values.empty() ? "" : ", ", offset_text(access, at.indices));
  };
  for (std::size_t i = 0; i < accesses.reads.size(); ++i) add('x', i, accesses.reads[i]);
  for (std::size_t r = 0; r < accesses.writes.size(); ++r) add('y', r, accesses.writes[r]);
  return fmt::format(
      "// Where a row begins in each buffer, in elements.\nstruct Place {{\n  index_t {};\n}};\n"
      "KILN_DEVICE Place place_of([[maybe_unused]] index_t row) {{\n{}  return {{{}}};\n}}\n",
      members, at.statements, values);
}

std::string loaded_struct(const Accesses& accesses, std::string members) {
  for (std::size_t i = 0; i < accesses.reads.size(); ++i) {
    const std::string type = memory_type(accesses.reads[i].type);
    members += accesses.stride(accesses.reads[i]) == 0 ? fmt::format("  {} x{};\n", type, i)
                                                       : fmt::format("  Pack<{}, kVector> x{};\n", type, i);
  }
  return fmt::format("// The operands at kVector neighbours of a row.\nstruct Loaded {{\n{}}};\n", members);
}

std::string load_vector(const Accesses& accesses, std::size_t i, Arguments& arguments, std::string_view indent) {
  const Access& access = accesses.reads[i];
  const std::int64_t stride = accesses.stride(access);
  const std::string pointer = read_pointer(access, arguments), type = memory_type(access.type);
  const std::string along = along_text(accesses, access, 'x', i, "j");
  if (stride == 0) return fmt::format("{}v.x{} = {}[at.x{}{}];\n", indent, i, pointer, i, along);
  if (stride == 1)
    return fmt::format("{}v.x{} = load_pack<(kStreaming != 0), {}, kVector>({} + (at.x{}{}));\n", indent, i, type,
                       pointer, i, along);
  return over_elements(indent, "",
                       fmt::format("v.x{}.at[e] = {}[{}];", i, pointer, element_offset(accesses, access, 'x', i)));
}

std::string load_part(const Accesses& accesses, std::size_t i, Arguments& arguments, std::string_view indent) {
  const Access& access = accesses.reads[i];
  const std::int64_t stride = accesses.stride(access);
  if (stride == 0) return load_vector(accesses, i, arguments, indent);
  return over_elements(
      indent, "if (e < count) ",
      fmt::format("v.x{}.at[e] = {}[{}];", i, read_pointer(access, arguments),
                  element_offset(accesses, access, 'x', i)));
}

std::string store_vector(const Accesses& accesses, std::size_t r, Arguments& arguments, std::string_view indent) {
  const Access& access = accesses.writes[r];
  const std::string pointer = write_pointer(access, arguments), type = memory_type(access.type);
  const std::int64_t stride = accesses.stride(access);
  if (stride == 1 || accesses.inner < 0)
    return fmt::format("{}store_pack<(kStreaming != 0), {}, kVector>({} + (at.y{}{}), y{});\n", indent, type, pointer,
                       r, accesses.inner < 0 ? " + j" : along_text(accesses, access, 'y', r, "j"), r);
  return over_elements(indent, "",
                       fmt::format("{}[{}] = y{}.at[e];", pointer, element_offset(accesses, access, 'y', r), r));
}

std::string store_part(const Accesses& accesses, std::size_t r, Arguments& arguments, std::string_view indent) {
  const Access& access = accesses.writes[r];
  return over_elements(indent, "if (e < count) ",
                       fmt::format("{}[{}] = y{}.at[e];", write_pointer(access, arguments),
                                   element_offset(accesses, access, 'y', r), r));
}

std::string operand_value(const Accesses& accesses, std::size_t i) {
  const Access& access = accesses.reads[i];
  const std::string element = fmt::format("v.x{}{}", i, accesses.stride(access) == 0 ? "" : ".at[e]");
  return access.type == graph::DType::boolean ? element + " != 0" : fmt::format("value_of({})", element);
}

}  // namespace kiln::agents::writer::device
