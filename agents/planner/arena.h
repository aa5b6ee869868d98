// Places buffers of known lifetimes into one arena. Internal to the planner.
#pragma once

#include <cstdint>
#include <vector>

namespace kiln::agents {

constexpr std::int64_t kBufferAlignment = 64;  // runtime/kernel_abi.h

[[nodiscard]] constexpr std::int64_t aligned(std::int64_t bytes) {
  return (bytes + kBufferAlignment - 1) / kBufferAlignment * kBufferAlignment;
}

// From the step that writes it first to the last that reads it, inclusive.
struct Lifetime { std::int64_t bytes = 0; std::int32_t first = 0, last = 0; };

struct Arena {
  std::vector<std::int64_t> offsets;  // parallel to the lifetimes
  std::int64_t bytes = 0;
};
// Each at the lowest offset where no buffer that lives at the same time lies: largest first, or longest-lived first, or
// in the order in which they begin to live, whichever needs least. Offsets are 64-byte aligned.
[[nodiscard]] Arena place(const std::vector<Lifetime>& buffers);

}  // namespace kiln::agents
