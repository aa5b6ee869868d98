#include "tests/cuda/sass.h"

#include <elf.h>

#include <cstring>
#include <stdexcept>

namespace kiln::testing {
namespace {

// The low 12 bits of an instruction of 16 bytes, as cuobjdump prints sm_90 and later ones.
constexpr unsigned kAwaitPredecessor = 0x82e;  // ACQBULK: griddepcontrol.wait
constexpr unsigned kAccesses[] = {
    0x980, 0x381, 0x981, 0x385, 0x985, 0x386, 0x986, 0xfae, 0x3a8, 0x9a8, 0x98e,  // LD LDG ST STG LDGSTS ATOMG RED
    0x3ba, 0x5b4,                                                                 // UBLKCP UTMALDG
};

template <class T>
T at(const std::string& bytes, std::size_t offset) {
  if (offset > bytes.size() || bytes.size() - offset < sizeof(T)) throw std::runtime_error("the cubin ends early");
  T out;
  std::memcpy(&out, bytes.data() + offset, sizeof out);
  return out;
}

bool accesses_memory(unsigned opcode) {
  for (const unsigned one : kAccesses)
    if (opcode == one) return true;
  return false;
}

Order order_of(const std::string& code) {
  Order out;
  for (std::size_t i = 0; i + 16 <= code.size(); i += 16) {
    const unsigned opcode = at<std::uint64_t>(code, i) & 0xfff;
    if (opcode == kAwaitPredecessor) out.waits = true;
    if (!accesses_memory(opcode)) continue;
    ++out.accesses;
    if (!out.waits) ++out.early;
  }
  return out;
}

}  // namespace

std::map<std::string, Order> order_of_accesses(const std::string& cubin) {
  const auto header = at<Elf64_Ehdr>(cubin, 0);
  const auto section = [&](std::size_t i) { return at<Elf64_Shdr>(cubin, header.e_shoff + i * header.e_shentsize); };
  const Elf64_Shdr names = section(header.e_shstrndx);
  std::map<std::string, Order> out;
  for (std::size_t i = 0; i < header.e_shnum; ++i) {
    const Elf64_Shdr s = section(i);
    const std::string name = cubin.c_str() + names.sh_offset + s.sh_name;
    if (s.sh_type == SHT_PROGBITS && name.starts_with(".text."))
      out[name.substr(6)] = order_of(cubin.substr(s.sh_offset, s.sh_size));
  }
  return out;
}

}  // namespace kiln::testing
