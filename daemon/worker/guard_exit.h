// How a run worker that touched a guard page says so: by the status that it leaves with, since who met a fault can do
// little more. A candidate may leave with any status; it only accuses itself.
#pragma once

#include <cstddef>
#include <optional>
#include <string>

#include "daemon/worker/arena.h"

namespace kiln::worker {

struct GuardTouch {
  bool wrote = false;      // false: read
  Edge side = Edge::end;   // of the window
  std::size_t window = 0;  // of all inputs and then all outputs; the last that fits stands for those behind it
};

[[nodiscard]] int exit_status_of(const GuardTouch& touch);
[[nodiscard]] std::optional<GuardTouch> guard_touch_of(int exit_status);
// "read the guard page behind tensor 0"
[[nodiscard]] std::string describe(const GuardTouch& touch);

}  // namespace kiln::worker
