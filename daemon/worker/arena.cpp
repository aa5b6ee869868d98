#include "daemon/worker/arena.h"

#include <algorithm>
#include <cstring>

#include "runtime/base/json.h"
#include "runtime/base/parallel.h"

namespace kiln::worker {
namespace {

// Another byte at every place, so that guard bytes which a kernel moved onto guards show as well.
std::byte guard_at(std::size_t offset) { return static_cast<std::byte>((offset * 0x9e3779b97f4a7c15ull) >> 56); }

std::size_t round_up(std::size_t n, std::size_t to) { return (n + to - 1) / to * to; }

std::vector<ArenaLayout::Window> windows_of(const ArenaLayout& layout) {
  std::vector<ArenaLayout::Window> windows = layout.inputs;
  windows.insert(windows.end(), layout.outputs.begin(), layout.outputs.end());
  return windows;
}

// The pages that a window touches; one at least, since the guards beside an empty window are two.
ArenaLayout::Window pages_of(const ArenaLayout::Window& window) {
  const std::size_t begin = window.offset / kGuardBytes * kGuardBytes;
  const std::size_t end = round_up(window.offset + std::max<std::size_t>(window.bytes, 1), kGuardBytes);
  return {begin, end - begin};
}

json::array windows_json(const std::vector<ArenaLayout::Window>& windows) {
  json::array out;
  for (const ArenaLayout::Window& window : windows)
    out.emplace_back(json::array{static_cast<std::int64_t>(window.offset), static_cast<std::int64_t>(window.bytes)});
  return out;
}

}  // namespace

ArenaLayout layout_arena(const std::vector<graph::TensorType>& inputs, const std::vector<graph::TensorType>& outputs,
                         Edge edge) {
  ArenaLayout out;
  out.total_bytes = kGuardBytes;
  const auto place = [&](const graph::TensorType& type) {
    const std::size_t bytes = static_cast<std::size_t>(graph::element_count(type.shape)) * graph::size_of(type.dtype);
    const std::size_t pages = round_up(std::max<std::size_t>(bytes, 1), kGuardBytes);
    const std::size_t begin = edge == Edge::begin ? 0 : pages - round_up(std::max<std::size_t>(bytes, 1), kLineBytes);
    const ArenaLayout::Window window{out.total_bytes + begin, bytes};
    out.total_bytes += pages + kGuardBytes;
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

std::vector<ArenaGap> gaps_of(const ArenaLayout& layout) {
  const std::vector<ArenaLayout::Window> windows = windows_of(layout);
  std::vector<ArenaGap> gaps;
  std::size_t at = 0;
  for (std::size_t i = 0; i < windows.size(); ++i) {
    gaps.push_back({at, windows[i].offset - at, false});
    at = windows[i].offset + windows[i].bytes;
    if (i >= layout.inputs.size()) continue;
    const std::size_t line_end = round_up(at, kLineBytes);
    gaps.push_back({at, line_end - at, true});
    at = line_end;
  }
  gaps.push_back({at, layout.total_bytes - at, false});
  return gaps;
}

void paint_gap(std::span<std::byte> gap, const ArenaGap& at, std::byte poison) {
  for (std::size_t i = 0; i < gap.size(); ++i) gap[i] = at.is_last_line ? poison : guard_at(at.offset + i);
}

std::int64_t broken_gap(std::span<const std::byte> gap, const ArenaGap& at, std::byte poison) {
  for (std::size_t i = 0; i < gap.size(); ++i)
    if (gap[i] != (at.is_last_line ? poison : guard_at(at.offset + i))) return static_cast<std::int64_t>(at.offset + i);
  return -1;
}

void paint_arena(std::span<std::byte> arena, const ArenaLayout& layout, std::byte poison) {
  for (const ArenaGap& gap : gaps_of(layout)) paint_gap(arena.subspan(gap.offset, gap.bytes), gap, poison);
  for (const ArenaLayout::Window& window : layout.outputs)
    std::fill_n(arena.begin() + static_cast<std::ptrdiff_t>(window.offset), window.bytes, poison);
}

OutputElement find_unwritten(std::span<const std::byte> arena, const ArenaLayout& layout,
                             const std::vector<std::size_t>& element_bytes, std::byte poison, int threads) {
  constexpr std::int64_t kStretch = 1 << 20;  // elements
  for (std::size_t o = 0; o < layout.outputs.size(); ++o) {
    const std::byte* const output = arena.data() + layout.outputs[o].offset;
    const std::size_t size = element_bytes[o];
    const std::vector<std::byte> poisoned(size, poison);
    const auto count = static_cast<std::int64_t>(layout.outputs[o].bytes / size);
    std::vector<std::int64_t> first(static_cast<std::size_t>((count + kStretch - 1) / kStretch), -1);  // per stretch
    parallel(threads, count, kStretch, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t i = begin; i < end; ++i) {
        const std::byte* const element = output + static_cast<std::size_t>(i) * size;
        if (*element != poison || std::memcmp(element, poisoned.data(), size) != 0) continue;
        first[static_cast<std::size_t>(begin / kStretch)] = i;
        return;
      }
    });
    for (const std::int64_t element : first)
      if (element >= 0) return {static_cast<std::int64_t>(o), element};
  }
  return {};
}

std::int64_t broken_guard(std::span<const std::byte> arena, const ArenaLayout& layout, std::byte poison) {
  for (const ArenaGap& gap : gaps_of(layout))
    if (const std::int64_t at = broken_gap(arena.subspan(gap.offset, gap.bytes), gap, poison); at >= 0) return at;
  return -1;
}

std::vector<GuardPage> guard_pages(const ArenaLayout& layout) {
  std::vector<GuardPage> out;
  const std::vector<ArenaLayout::Window> windows = windows_of(layout);
  for (std::size_t i = 0; i < windows.size(); ++i) {
    const ArenaLayout::Window pages = pages_of(windows[i]);
    out.push_back({pages.offset - kGuardBytes, i, Edge::begin});
    out.push_back({pages.offset + pages.bytes, i, Edge::end});
  }
  return out;
}

std::vector<std::byte> copy_of(std::span<const std::byte> arena, const ArenaLayout& layout) {
  std::vector<std::byte> out;
  for (const ArenaLayout::Window& window : windows_of(layout)) {
    const ArenaLayout::Window pages = pages_of(window);
    const auto bytes = arena.subspan(pages.offset, pages.bytes);
    out.insert(out.end(), bytes.begin(), bytes.end());
  }
  return out;
}

void copy_back(const std::vector<std::byte>& copy, std::span<std::byte> arena, const ArenaLayout& layout) {
  auto from = copy.begin();
  for (const ArenaLayout::Window& window : windows_of(layout)) {
    const ArenaLayout::Window pages = pages_of(window);
    const auto end = from + static_cast<std::ptrdiff_t>(pages.bytes);
    std::copy(from, end, arena.begin() + static_cast<std::ptrdiff_t>(pages.offset));
    from = end;
  }
}

}  // namespace kiln::worker
