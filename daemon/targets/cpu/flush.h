// Pushing what is measured out of a CPU's caches.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace kiln::targets::cpu {

// How much is written for that: twice the last level, and 256 MiB at the least, also where its size is not known (0).
[[nodiscard]] std::size_t flush_bytes(std::int64_t last_level_bytes);

// Writes a line at a time from the calling thread; caches that only other cores fill keep what they have. The memory is
// taken at the first call.
class Flush {
 public:
  void operator()();

 private:
  std::vector<std::byte> bytes_;
};

}  // namespace kiln::targets::cpu
