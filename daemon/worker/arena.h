// One memory file that holds all tensors of one call: [guard][input 0][guard]...[output 0][guard]. The oracle fills and
// judges it, the run worker hands its addresses to the candidate. Guards are a page of a pattern; inputs are compared
// afterwards.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "agents/graph/types.h"
#include "runtime/base/json.h"

namespace kiln::worker {

inline constexpr std::size_t kGuardBytes = 4096;

struct ArenaLayout {
  struct Window { std::size_t offset = 0, bytes = 0; };
  std::vector<Window> inputs, outputs;
  std::size_t total_bytes = 0;
};

[[nodiscard]] ArenaLayout layout_arena(const std::vector<graph::TensorType>& inputs,
                                       const std::vector<graph::TensorType>& outputs);
[[nodiscard]] json::object to_json(const ArenaLayout& layout);
// Throws Error(corrupt) when a window is outside `arena_bytes`.
[[nodiscard]] ArenaLayout arena_from_json(const json::value& v, std::size_t arena_bytes);

// Fills everything but the windows with the guard pattern, and the output windows with `poison`.
void paint_arena(std::span<std::byte> arena, const ArenaLayout& layout, std::byte poison);
// An element of an output that still is poison through and through, in a run whose poison was `poison`.
struct Unwritten { std::int64_t output = -1, element = 0; };  // output -1: every element was written
[[nodiscard]] Unwritten find_unwritten(std::span<const std::byte> arena, const ArenaLayout& layout,
                                       const std::vector<std::size_t>& element_bytes, std::byte poison);
// The offset of the first guard byte that changed, or -1.
[[nodiscard]] std::int64_t broken_guard(std::span<const std::byte> arena, const ArenaLayout& layout);

}  // namespace kiln::worker
