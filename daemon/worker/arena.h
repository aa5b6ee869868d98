// One memory file that holds all tensors of one call: [guard page][input 0][guard page]...[output 0][guard page]. The
// oracle fills and judges it, the run worker hands its addresses to the candidate. What lies between a tensor and its
// guard pages is filled too, and inputs are compared afterwards; on a CPU guard pages cannot be touched at all.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "agents/graph/types.h"
#include "runtime/base/json_fwd.h"

namespace kiln::worker {

inline constexpr std::size_t kGuardBytes = 4096;  // a page
inline constexpr std::size_t kLineBytes = 64;     // alignment of every window; a kernel may read, not write, to its end

// Which guard page a window touches: the one before it, or, but for the rest of its last line, the one behind.
enum class Edge : std::uint8_t { begin, end };

struct ArenaLayout {
  struct Window { std::size_t offset = 0, bytes = 0; };
  std::vector<Window> inputs, outputs;
  std::size_t total_bytes = 0;
};

[[nodiscard]] ArenaLayout layout_arena(const std::vector<graph::TensorType>& inputs,
                                       const std::vector<graph::TensorType>& outputs, Edge edge);
[[nodiscard]] json::object to_json(const ArenaLayout& layout);
// Throws Error(corrupt) when a window is outside `arena_bytes`.
[[nodiscard]] ArenaLayout arena_from_json(const json::value& v, std::size_t arena_bytes);

// A stretch that belongs to no tensor, and what it holds before a run: what is left of an input's last line the poison,
// since a kernel may read it and its values must not matter, all others a pattern.
struct ArenaGap {
  std::size_t offset = 0, bytes = 0;
  bool is_last_line = false;
};
[[nodiscard]] std::vector<ArenaGap> gaps_of(const ArenaLayout& layout);
void paint_gap(std::span<std::byte> gap, const ArenaGap& at, std::byte poison);
// The first byte of a gap that changed, by its offset in the arena, or -1.
[[nodiscard]] std::int64_t broken_gap(std::span<const std::byte> gap, const ArenaGap& at, std::byte poison);

// Fills the gaps, and the output windows with `poison`.
void paint_arena(std::span<std::byte> arena, const ArenaLayout& layout, std::byte poison);
// An element of an output; output -1: there is none.
struct OutputElement {
  std::int64_t output = -1, element = 0;
  friend bool operator==(const OutputElement&, const OutputElement&) = default;
};
// One that still is poison through and through, in a run whose poison was `poison`.
[[nodiscard]] OutputElement find_unwritten(std::span<const std::byte> arena, const ArenaLayout& layout,
                                           const std::vector<std::size_t>& element_bytes, std::byte poison,
                                           int threads = 1);
// The offset of the first byte outside of the windows that changed, or -1.
[[nodiscard]] std::int64_t broken_guard(std::span<const std::byte> arena, const ArenaLayout& layout, std::byte poison);

// A page that belongs to no window, and the window beside it: of all inputs and then all outputs.
struct GuardPage {
  std::size_t offset = 0;
  std::size_t window = 0;
  Edge side = Edge::begin;  // of the window
};
[[nodiscard]] std::vector<GuardPage> guard_pages(const ArenaLayout& layout);

// The bytes of all pages but guard pages, one window's after another's, and back.
[[nodiscard]] std::vector<std::byte> copy_of(std::span<const std::byte> arena, const ArenaLayout& layout);
void copy_back(const std::vector<std::byte>& copy, std::span<std::byte> arena, const ArenaLayout& layout);

}  // namespace kiln::worker
