#include "daemon/targets/cpu/audit.h"

#include <elf.h>

#include <algorithm>
#include <cstring>
#include <string_view>

#include "runtime/base/error.h"

namespace kiln::targets::cpu {
namespace {

constexpr std::size_t kMostSymbols = 100'000;
constexpr std::uint32_t kIndirectFunction = 10;  // STT_GNU_IFUNC
// R_X86_64_IRELATIVE and R_AARCH64_IRELATIVE: resolved by calling into the object.
constexpr std::uint32_t kIndirectRelocations[] = {37, 1032};

[[noreturn]] void corrupt(const std::string& why) {
  throw Error(ErrorCode::corrupt, "cannot read the code object: " + why);
}

class Reader {
 public:
  explicit Reader(std::span<const std::byte> bytes) : bytes_(bytes) {}

  template <class T>
  [[nodiscard]] T at(std::uint64_t offset) const {
    if (offset > bytes_.size() || bytes_.size() - offset < sizeof(T)) corrupt("it ends within a table");
    T out;
    std::memcpy(&out, bytes_.data() + offset, sizeof out);
    return out;
  }

  [[nodiscard]] std::string text(std::uint64_t offset) const {
    if (offset >= bytes_.size()) corrupt("a name lies outside it");
    const auto* begin = reinterpret_cast<const char*>(bytes_.data()) + offset;
    const std::size_t room = bytes_.size() - offset;
    const void* end = std::memchr(begin, 0, room);
    if (end == nullptr) corrupt("a name has no end");
    return {begin, static_cast<const char*>(end)};
  }

 private:
  std::span<const std::byte> bytes_;
};

Elf64_Ehdr header_of(const Reader& in) {
  const auto h = in.at<Elf64_Ehdr>(0);
  if (std::memcmp(h.e_ident, ELFMAG, SELFMAG) != 0) corrupt("it is no ELF file");
  if (h.e_ident[EI_CLASS] != ELFCLASS64 || h.e_ident[EI_DATA] != ELFDATA2LSB || h.e_type != ET_DYN)
    corrupt("it is no 64-bit little-endian shared object");
  if (h.e_phentsize != sizeof(Elf64_Phdr) || h.e_shentsize != sizeof(Elf64_Shdr))
    corrupt("its tables have another format");
  return h;
}

void read_segments(const Reader& in, const Elf64_Ehdr& h, ObjectAudit& out) {
  std::uint64_t writable_end = 0, fixed_end = 0;
  for (std::uint32_t i = 0; i < h.e_phnum; ++i) {
    const auto p = in.at<Elf64_Phdr>(h.e_phoff + std::uint64_t{i} * sizeof(Elf64_Phdr));
    if (p.p_memsz > (std::uint64_t{1} << 40) || p.p_vaddr > (std::uint64_t{1} << 46))
      corrupt("a segment is larger than memory");
    const bool both = (p.p_flags & PF_W) != 0 && (p.p_flags & PF_X) != 0;
    if ((p.p_type == PT_LOAD || p.p_type == PT_GNU_STACK) && both) out.writable_code = true;
    if (p.p_type == PT_LOAD && (p.p_flags & PF_W) != 0) {
      writable_end = std::max(writable_end, p.p_vaddr + p.p_memsz);
      if (fixed_end == 0) fixed_end = p.p_vaddr;  // without PT_GNU_RELRO all of it stays writable
    }
    if (p.p_type == PT_TLS) out.thread_local_bytes += static_cast<std::int64_t>(p.p_memsz);
  }
  for (std::uint32_t i = 0; i < h.e_phnum; ++i) {
    const auto p = in.at<Elf64_Phdr>(h.e_phoff + std::uint64_t{i} * sizeof(Elf64_Phdr));
    if (p.p_type == PT_GNU_RELRO) fixed_end = std::max(fixed_end, p.p_vaddr + p.p_memsz);
  }
  if (writable_end > fixed_end) out.writable_bytes = static_cast<std::int64_t>(writable_end - fixed_end);
}

void read_symbols(const Reader& in, const Elf64_Shdr& table, const Elf64_Shdr& names, ObjectAudit& out) {
  // Weak hooks that every toolchain's start-up files name; absent, they are null.
  static constexpr std::string_view hooks[] = {"_ITM_deregisterTMCloneTable", "_ITM_registerTMCloneTable",
                                               "__gmon_start__", "__cxa_finalize"};
  const std::uint64_t count = table.sh_size / sizeof(Elf64_Sym);
  if (count > kMostSymbols) corrupt("it has " + std::to_string(count) + " symbols");
  for (std::uint64_t i = 1; i < count; ++i) {
    const auto symbol = in.at<Elf64_Sym>(table.sh_offset + i * sizeof(Elf64_Sym));
    if (ELF64_ST_TYPE(symbol.st_info) == kIndirectFunction) out.runs_at_load = true;
    if (symbol.st_shndx != SHN_UNDEF) continue;
    std::string name = in.text(names.sh_offset + symbol.st_name);
    if (std::find(std::begin(hooks), std::end(hooks), name) == std::end(hooks)) out.imports.push_back(std::move(name));
  }
}

void read_dynamic(const Reader& in, const Elf64_Shdr& table, const Elf64_Shdr& names, ObjectAudit& out) {
  for (std::uint64_t at = 0; at + sizeof(Elf64_Dyn) <= table.sh_size; at += sizeof(Elf64_Dyn)) {
    const auto entry = in.at<Elf64_Dyn>(table.sh_offset + at);
    if (entry.d_tag == DT_NULL) break;
    if (entry.d_tag == DT_NEEDED) out.libraries.push_back(in.text(names.sh_offset + entry.d_un.d_val));
    if (entry.d_tag == DT_INIT || entry.d_tag == DT_INIT_ARRAY || entry.d_tag == DT_FINI ||
        entry.d_tag == DT_FINI_ARRAY)
      out.runs_at_load = true;
  }
}

bool resolves_by_calling(const Reader& in, const Elf64_Shdr& table) {
  for (std::uint64_t at = 0; at + sizeof(Elf64_Rela) <= table.sh_size; at += sizeof(Elf64_Rela)) {
    const std::uint64_t type = ELF64_R_TYPE(in.at<Elf64_Rela>(table.sh_offset + at).r_info);
    if (std::find(std::begin(kIndirectRelocations), std::end(kIndirectRelocations), type) !=
        std::end(kIndirectRelocations))
      return true;
  }
  return false;
}

bool is_free(std::string_view name) {
  static constexpr std::string_view memory[] = {"memcpy", "memmove", "memset", "memcmp", "__stack_chk_fail",
                                                "__tls_get_addr"};  // told by the bytes per thread
  static constexpr std::string_view mathematics[] = {
      "acos",   "acosh", "asin",  "asinh",     "atan",  "atan2",     "atanh",  "cbrt",  "ceil",      "copysign", "cos",
      "cosh",   "erf",   "erfc",  "exp",       "exp2",  "expm1",     "fabs",   "fdim",  "floor",     "fma",      "fmax",
      "fmin",   "fmod",  "frexp", "hypot",     "ldexp", "lgamma",    "llrint", "log",   "log10",     "log1p",    "log2",
      "logb",   "lrint", "modf",  "nearbyint", "pow",   "remainder", "rint",   "round", "roundeven", "scalbn",   "sin",
      "sincos", "sinh",  "sqrt",  "tan",       "tanh",  "tgamma",    "trunc"};
  if (std::find(std::begin(memory), std::end(memory), name) != std::end(memory)) return true;
  const auto known = [](std::string_view n) {
    return std::find(std::begin(mathematics), std::end(mathematics), n) != std::end(mathematics);
  };
  return known(name) || (name.ends_with('f') && known(name.substr(0, name.size() - 1)));
}

}  // namespace

ObjectAudit audit_object(std::span<const std::byte> object) {
  const Reader in(object);
  const Elf64_Ehdr h = header_of(in);
  ObjectAudit out;
  read_segments(in, h, out);
  const auto section = [&](std::uint32_t i) {
    if (i >= h.e_shnum) corrupt("a section refers to one that is not there");
    return in.at<Elf64_Shdr>(h.e_shoff + std::uint64_t{i} * sizeof(Elf64_Shdr));
  };
  bool has_symbols = false;
  for (std::uint32_t i = 0; i < h.e_shnum; ++i) {
    const Elf64_Shdr s = section(i);
    if (s.sh_type == SHT_DYNSYM) {
      read_symbols(in, s, section(s.sh_link), out);
      has_symbols = true;
    }
    if (s.sh_type == SHT_DYNAMIC) read_dynamic(in, s, section(s.sh_link), out);
    if (s.sh_type == SHT_RELA && resolves_by_calling(in, s)) out.runs_at_load = true;
  }
  if (!has_symbols) corrupt("it exports nothing");
  return out;
}

std::string forbidden_in_kernel(const ObjectAudit& audit) {
  for (const std::string& name : audit.imports)
    if (!is_free(name)) return "it calls '" + name + "', which is no function of memory or mathematics";
  if (audit.writable_bytes > 0) return "it keeps " + std::to_string(audit.writable_bytes) + " bytes between calls";
  if (audit.thread_local_bytes > 0) return "it keeps " + std::to_string(audit.thread_local_bytes) + " bytes per thread";
  if (audit.runs_at_load) return "it has code that runs when it is loaded";
  if (audit.writable_code) return "it has memory that is both writable and executable";
  return {};
}

}  // namespace kiln::targets::cpu
