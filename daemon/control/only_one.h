// Holds a flag for as long as it lives, so that one call of a kind runs at a time.
#pragma once

#include <atomic>
#include <string>

#include "runtime/base/error.h"

namespace kiln::control {

class OnlyOne {
 public:
  // Error(conflict, "cannot <what>: another one is running") when the flag is held.
  OnlyOne(std::atomic<bool>& flag, const std::string& what) : flag_(flag) {
    if (flag_.exchange(true))
      throw Error(ErrorCode::conflict, "cannot " + what + ": another one is running", "wait for its end");
  }
  ~OnlyOne() { flag_ = false; }
  OnlyOne(const OnlyOne&) = delete;
  OnlyOne& operator=(const OnlyOne&) = delete;

 private:
  std::atomic<bool>& flag_;
};

}  // namespace kiln::control
