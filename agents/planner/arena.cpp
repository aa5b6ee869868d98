#include "agents/planner/arena.h"

#include <algorithm>
#include <numeric>
#include <utility>

namespace kiln::agents {

Arena place(const std::vector<Lifetime>& buffers) {
  std::vector<std::size_t> order(buffers.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](std::size_t a, std::size_t b) { return buffers[a].bytes > buffers[b].bytes; });
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

}  // namespace kiln::agents
