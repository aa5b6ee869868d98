// Workers that are killed from outside: for want of memory, or by an operator.
#pragma once

#include <cstdint>
#include <string>

#include "daemon/worker/process.h"
#include "runtime/base/error.h"

namespace kiln::worker {

inline constexpr std::int64_t kSecond = 1'000'000'000;

// Thrown when a worker was killed from outside. Its work is done again by another one; it says nothing about
// a candidate until the third time, when the candidate's appetite for memory is the likeliest cause.
struct Stopped {
  std::string evidence;
};
inline constexpr int kAttempts = 3;

// The frame of a worker of our own code, which must answer. Throws Stopped, or Error(unavailable) "cannot
// `purpose`: the `role` worker was ...".
[[nodiscard]] Frame answered(Answer answer, const std::string& purpose, const std::string& role);
[[nodiscard]] Error unavailable(const std::string& purpose, const std::string& role,
                                const std::string& evidence);

// attempt() until it is not stopped; given_up(stopped) when it was kAttempts times.
template <class Attempt, class GivenUp>
auto attempted(Attempt attempt, GivenUp given_up) {
  for (int n = 1;; ++n) {
    try {
      return attempt();
    } catch (const Stopped& stopped) {
      if (n == kAttempts) return given_up(stopped);
    }
  }
}

}  // namespace kiln::worker
