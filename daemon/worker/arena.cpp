#include "daemon/worker/arena.h"

#include <algorithm>
#include <cstring>

namespace kiln::worker {
namespace {

// Another byte at every place, so that guard bytes which a kernel moved onto guards show as well.
std::byte guard_at(std::size_t offset) { return static_cast<std::byte>((offset * 0x9e3779b97f4a7c15ull) >> 56); }

std::size_t round_up(std::size_t n) { return (n + 63) / 64 * 64; }

// Calls visit(offset, bytes) for each stretch that belongs to no tensor.
template <class Visit>
void for_each_gap(const ArenaLayout& layout, Visit visit) {
  std::vector<ArenaLayout::Window> windows = layout.inputs;
  windows.insert(windows.end(), layout.outputs.begin(), layout.outputs.end());
  std::sort(windows.begin(), windows.end(), [](const auto& a, const auto& b) { return a.offset < b.offset; });
  std::size_t at = 0;
  for (const ArenaLayout::Window& window : windows) {
    visit(at, window.offset - at);
    at = window.offset + window.bytes;
  }
  visit(at, layout.total_bytes - at);
}

json::array windows_json(const std::vector<ArenaLayout::Window>& windows) {
  json::array out;
  for (const ArenaLayout::Window& window : windows)
    out.emplace_back(json::array{static_cast<std::int64_t>(window.offset), static_cast<std::int64_t>(window.bytes)});
  return out;
}

}  // namespace

ArenaLayout layout_arena(const std::vector<graph::TensorType>& inputs, const std::vector<graph::TensorType>& outputs) {
  ArenaLayout out;
  out.total_bytes = kGuardBytes;
  const auto place = [&](const graph::TensorType& type) {
    const ArenaLayout::Window window{
        out.total_bytes, static_cast<std::size_t>(graph::element_count(type.shape)) * graph::size_of(type.dtype)};
    out.total_bytes = round_up(window.offset + window.bytes) + kGuardBytes;
    return window;
  };
  for (const graph::TensorType& type : inputs) out.inputs.push_back(place(type));
  for (const graph::TensorType& type : outputs) out.outputs.push_back(place(type));
  return out;
}

json::object to_json(const ArenaLayout& layout) {
  return {{"inputs", windows_json(layout.inputs)},
          {"outputs", windows_json(layout.outputs)},
          {"total_bytes", layout.total_bytes}};
}

ArenaLayout arena_from_json(const json::value& v, std::size_t arena_bytes) {
  const json::object& o = json::as_object(v, "an arena");
  ArenaLayout out;
  out.total_bytes = arena_bytes;
  const auto read = [&](const char* key, std::vector<ArenaLayout::Window>& windows) {
    for (const json::value& item : json::as_array(json::at(o, key, "an arena"), "an arena")) {
      const json::array& pair = json::as_array(item, "a window");
      if (pair.size() != 2 || !pair[0].is_int64() || !pair[1].is_int64() || pair[0].get_int64() < 0 ||
          pair[1].get_int64() < 0)
        throw Error(ErrorCode::corrupt, "cannot use an arena: a window is malformed");
      const ArenaLayout::Window window{static_cast<std::size_t>(pair[0].get_int64()),
                                       static_cast<std::size_t>(pair[1].get_int64())};
      if (window.offset > arena_bytes || window.bytes > arena_bytes - window.offset)
        throw Error(ErrorCode::corrupt, "cannot use an arena: a window reaches outside it");
      windows.push_back(window);
    }
  };
  read("inputs", out.inputs);
  read("outputs", out.outputs);
  return out;
}

void paint_arena(std::span<std::byte> arena, const ArenaLayout& layout, std::byte poison) {
  for_each_gap(layout, [&](std::size_t offset, std::size_t bytes) {
    for (std::size_t i = offset; i < offset + bytes; ++i) arena[i] = guard_at(i);
  });
  for (const ArenaLayout::Window& window : layout.outputs)
    std::fill_n(arena.begin() + static_cast<std::ptrdiff_t>(window.offset), window.bytes, poison);
}

Unwritten find_unwritten(std::span<const std::byte> arena, const ArenaLayout& layout,
                         const std::vector<std::size_t>& element_bytes, std::byte poison) {
  for (std::size_t o = 0; o < layout.outputs.size(); ++o) {
    const auto output = arena.subspan(layout.outputs[o].offset, layout.outputs[o].bytes);
    std::size_t run = 0;  // poison bytes since the last other byte or element boundary
    for (std::size_t i = 0; i < output.size(); ++i) {
      if (i % element_bytes[o] == 0) run = 0;
      if (output[i] == poison && ++run == element_bytes[o])
        return {static_cast<std::int64_t>(o), static_cast<std::int64_t>(i / element_bytes[o])};
    }
  }
  return {};
}

std::int64_t broken_guard(std::span<const std::byte> arena, const ArenaLayout& layout) {
  std::int64_t first = -1;
  for_each_gap(layout, [&](std::size_t offset, std::size_t bytes) {
    if (first >= 0) return;
    for (std::size_t i = offset; i < offset + bytes; ++i)
      if (arena[i] != guard_at(i)) {
        first = static_cast<std::int64_t>(i);
        return;
      }
  });
  return first;
}

}  // namespace kiln::worker
