// One caller's use of a release: its own temporary arena, threads and kernel states.
#pragma once

#include <vector>

#include "runtime/release.h"

namespace kiln::runtime {

// A session of a release on a CPU.
class Session {
 public:
  explicit Session(const Release& release);
  // The caller's buffers in the order of the plan. `launch_ns` may be null. Allocates nothing.
  void run(const void* const* inputs, void* const* outputs, double* launch_ns);
  void wake() { launcher_.wake(); }

 private:
  // The caller's buffer, or its aligned stand-in.
  std::byte* place(const void* callers, std::size_t bounce) const;

  const Release& release_;
  Mapping temporary_;
  // Stand-ins for buffers that are not 64-byte aligned; pages that are never touched cost nothing.
  Mapping bounce_;
  std::vector<std::int64_t> bounce_offset_;  // inputs, then outputs
  std::vector<std::byte*> address_;          // per buffer of the plan
  std::vector<std::size_t> callers_buffers_; // those that change with each call
  Launcher launcher_;
};

}  // namespace kiln::runtime
