#include "agents/planner/arena.h"

#include <algorithm>
#include <numeric>
#include <utility>

namespace kiln::agents {

namespace {

Arena place_in(const std::vector<std::size_t>& order, const std::vector<Lifetime>& buffers) {
  Arena arena;
  arena.offsets.resize(buffers.size(), 0);
  std::vector<std::size_t> placed;
  for (const std::size_t i : order) {
    std::vector<std::pair<std::int64_t, std::int64_t>> taken;  // [begin, end) of those that live at the same time
    for (const std::size_t j : placed)
      if (buffers[i].first <= buffers[j].last && buffers[j].first <= buffers[i].last)
        taken.emplace_back(arena.offsets[j], arena.offsets[j] + aligned(buffers[j].bytes));
    std::sort(taken.begin(), taken.end());
    std::int64_t offset = 0;
    for (const auto& [begin, end] : taken) {
      if (offset + aligned(buffers[i].bytes) <= begin) break;
      offset = std::max(offset, end);
    }
    arena.offsets[i] = offset;
    arena.bytes = std::max(arena.bytes, offset + aligned(buffers[i].bytes));
    placed.push_back(i);
  }
  return arena;
}

}  // namespace

Arena place(const std::vector<Lifetime>& buffers) {
  std::vector<std::size_t> order(buffers.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  const auto larger = [&](std::size_t a, std::size_t b) { return buffers[a].bytes > buffers[b].bytes; };
  const auto longer = [&](std::size_t a, std::size_t b) {
    return buffers[a].last - buffers[a].first > buffers[b].last - buffers[b].first;
  };
  const auto earlier = [&](std::size_t a, std::size_t b) { return buffers[a].first < buffers[b].first; };
  std::stable_sort(order.begin(), order.end(), larger);
  Arena best = place_in(order, buffers);
  const auto attempt = [&](const auto& before) {
    std::stable_sort(order.begin(), order.end(), before);  // equals stay largest first
    Arena arena = place_in(order, buffers);
    if (arena.bytes < best.bytes) best = std::move(arena);
  };
  attempt(longer);
  std::stable_sort(order.begin(), order.end(), larger);
  attempt(earlier);
  return best;
}

}  // namespace kiln::agents
