// A loaded candidate, and the threads that libkiln made for it: a kernel that starts one more is found by counting.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <vector>

#include "daemon/worker/inside/candidate.h"

namespace kiln::worker {

// Returns when the threads that this process started itself, and joined, are gone: they stand under /proc for a moment
// more, and would be taken for a kernel's when threads are counted.
void wait_for_ended_threads();

class Loaded {
 public:
  // `threads`: of each of its sessions; 0: what the plan was tuned for. Throws Refused, Faulted.
  explicit Loaded(const std::string& directory, int threads = 0, std::size_t sessions = 1);
  ~Loaded();
  Loaded(const Loaded&) = delete;
  Loaded& operator=(const Loaded&) = delete;

  [[nodiscard]] std::size_t sessions() const { return sessions_.size(); }
  [[nodiscard]] Candidate& candidate(std::size_t session = 0) { return *sessions_.at(session); }

  // A plan runs on libkiln's threads. One more was started by a kernel, and may work on after its call has returned:
  // throws Refused. Threads that the worker itself started have been joined.
  void require_no_more_threads();

 private:
  std::vector<std::unique_ptr<Candidate>> sessions_;  // of one release
  std::ptrdiff_t threads_ = 0;
  bool left_threads_ = false;
};

}  // namespace kiln::worker
