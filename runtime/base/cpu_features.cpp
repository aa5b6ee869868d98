#include "runtime/base/cpu_features.h"

#include <array>
#include <cstdint>
#include <cstring>

#if defined(__x86_64__)
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

namespace kiln {

#if defined(__x86_64__)
namespace {

struct Leaf {
  std::uint32_t eax = 0, ebx = 0, ecx = 0, edx = 0;
};

Leaf cpuid(std::uint32_t leaf, std::uint32_t subleaf) {
  Leaf r;
  __get_cpuid_count(leaf, subleaf, &r.eax, &r.ebx, &r.ecx, &r.edx);
  return r;
}

constexpr std::uint64_t ymm_state = 0x6, zmm_state = 0xe6, tile_state = 0x60000;
// Tile registers are 8 KiB that Linux saves only for processes that asked (Linux, Documentation/arch/x86/xstate.rst).
constexpr int arch_get_xcomp_supp = 0x1021, arch_req_xcomp_perm = 0x1023, tile_data = 18;

bool kernel_knows_tiles() {
  std::uint64_t known = 0;
  return ::syscall(SYS_arch_prctl, arch_get_xcomp_supp, &known) == 0 && (known >> tile_data & 1);
}

std::uint64_t enabled_state() {
  const Leaf one = cpuid(1, 0);
  if (!(one.ecx >> 27 & 1)) return 0;  // no OSXSAVE: XGETBV would trap
  std::uint32_t low = 0, high = 0;
  __asm__("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  const std::uint64_t state = std::uint64_t{high} << 32 | low;
  return (state & tile_state) != 0 && !kernel_knows_tiles() ? state & ~tile_state : state;
}

// Where each feature's bit is: Intel SDM vol. 2A, CPUID, tables 3-10 and following.
struct Bit {
  const char* name;
  std::uint32_t leaf, subleaf;
  std::uint32_t Leaf::*reg;
  int bit;
  std::uint64_t state;
};

constexpr std::array<Bit, 24> table = {{
    {"sse4_2", 1, 0, &Leaf::ecx, 20, 0},
    {"popcnt", 1, 0, &Leaf::ecx, 23, 0},
    {"avx", 1, 0, &Leaf::ecx, 28, ymm_state},
    {"f16c", 1, 0, &Leaf::ecx, 29, ymm_state},
    {"fma", 1, 0, &Leaf::ecx, 12, ymm_state},
    {"avx2", 7, 0, &Leaf::ebx, 5, ymm_state},
    {"bmi1", 7, 0, &Leaf::ebx, 3, 0},
    {"bmi2", 7, 0, &Leaf::ebx, 8, 0},
    {"avx_vnni", 7, 1, &Leaf::eax, 4, ymm_state},
    {"avx512f", 7, 0, &Leaf::ebx, 16, zmm_state},
    {"avx512dq", 7, 0, &Leaf::ebx, 17, zmm_state},
    {"avx512ifma", 7, 0, &Leaf::ebx, 21, zmm_state},
    {"avx512cd", 7, 0, &Leaf::ebx, 28, zmm_state},
    {"avx512bw", 7, 0, &Leaf::ebx, 30, zmm_state},
    {"avx512vl", 7, 0, &Leaf::ebx, 31, zmm_state},
    {"avx512_vbmi", 7, 0, &Leaf::ecx, 1, zmm_state},
    {"avx512_vbmi2", 7, 0, &Leaf::ecx, 6, zmm_state},
    {"avx512_vnni", 7, 0, &Leaf::ecx, 11, zmm_state},
    {"avx512_bitalg", 7, 0, &Leaf::ecx, 12, zmm_state},
    {"avx512_bf16", 7, 1, &Leaf::eax, 5, zmm_state},
    {"avx512_fp16", 7, 0, &Leaf::edx, 23, zmm_state},
    {"amx_tile", 7, 0, &Leaf::edx, 24, zmm_state | tile_state},
    {"amx_int8", 7, 0, &Leaf::edx, 25, zmm_state | tile_state},
    {"amx_bf16", 7, 0, &Leaf::edx, 22, zmm_state | tile_state},
}};

bool present(const Bit& b, std::uint64_t state) {
  if ((state & b.state) != b.state) return false;
  return cpuid(b.leaf, b.subleaf).*b.reg >> b.bit & 1;
}

}  // namespace

std::vector<std::string> cpu_features() {
  const std::uint64_t state = enabled_state();
  std::vector<std::string> out;
  for (const Bit& b : table)
    if (present(b, state)) out.emplace_back(b.name);
  return out;
}

bool has_cpu_feature(std::string_view name) {
  for (const Bit& b : table)
    if (name == b.name) return present(b, enabled_state());
  return false;
}

bool use_tiles() { return ::syscall(SYS_arch_prctl, arch_req_xcomp_perm, tile_data) == 0; }

std::string cpu_brand() {
  std::array<char, 49> text{};
  for (std::uint32_t i = 0; i < 3; ++i) {
    const Leaf l = cpuid(0x80000002u + i, 0);
    std::memcpy(text.data() + 16 * i, &l, 16);
  }
  std::string brand(text.data());
  while (!brand.empty() && brand.back() == ' ') brand.pop_back();
  while (!brand.empty() && brand.front() == ' ') brand.erase(0, 1);
  return brand.empty() ? "unknown x86-64" : brand;
}

#else

std::vector<std::string> cpu_features() { return {}; }
bool has_cpu_feature(std::string_view) { return false; }
bool use_tiles() { return false; }
std::string cpu_brand() { return "unknown"; }

#endif

}  // namespace kiln
