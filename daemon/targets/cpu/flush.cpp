#include "daemon/targets/cpu/flush.h"

#include <unistd.h>

#include <algorithm>

namespace kiln::targets::cpu {

std::size_t flush_bytes(std::int64_t last_level_bytes) {
  constexpr std::int64_t least = 256 << 20;
  return static_cast<std::size_t>(std::max(2 * last_level_bytes, least));
}

void Flush::operator()() {
  if (bytes_.empty()) bytes_.assign(flush_bytes(::sysconf(_SC_LEVEL3_CACHE_SIZE)), std::byte{1});
  for (std::size_t i = 0; i < bytes_.size(); i += 64)
    bytes_[i] = static_cast<std::byte>(static_cast<unsigned>(bytes_[i]) + 1);
  asm volatile("" ::"r"(bytes_.data()) : "memory");
}

}  // namespace kiln::targets::cpu
