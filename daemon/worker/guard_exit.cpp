#include "daemon/worker/guard_exit.h"

#include <algorithm>

namespace kiln::worker {
namespace {

// 01wsiiii: w wrote, s behind, i the window.
constexpr int kMark = 0x40, kMarkMask = 0xc0, kWrote = 0x20, kBehind = 0x10, kWindow = 0x0f;

}  // namespace

int exit_status_of(const GuardTouch& touch) {
  return kMark | (touch.wrote ? kWrote : 0) | (touch.side == Edge::end ? kBehind : 0) |
         static_cast<int>(std::min<std::size_t>(touch.window, kWindow));
}

std::optional<GuardTouch> guard_touch_of(int exit_status) {
  if ((exit_status & kMarkMask) != kMark) return std::nullopt;
  return GuardTouch{(exit_status & kWrote) != 0, (exit_status & kBehind) != 0 ? Edge::end : Edge::begin,
                    static_cast<std::size_t>(exit_status & kWindow)};
}

std::string describe(const GuardTouch& touch) {
  return std::string(touch.wrote ? "wrote to" : "read") + " the guard page " +
         (touch.side == Edge::end ? "behind" : "before") + " tensor " + std::to_string(touch.window) +
         ", counting inputs and then outputs";
}

}  // namespace kiln::worker
