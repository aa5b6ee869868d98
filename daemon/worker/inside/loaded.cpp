#include "daemon/worker/inside/loaded.h"

#include <time.h>

#include <filesystem>

namespace kiln::worker {
namespace {

// Threads of this process.
std::ptrdiff_t count_threads() {
  return std::distance(std::filesystem::directory_iterator("/proc/self/task"), std::filesystem::directory_iterator());
}

// The main thread, and those of the sessions that are loaded.
std::ptrdiff_t allowed_threads = 1;

}  // namespace

void wait_for_ended_threads() {
  constexpr timespec kPause{0, 100'000};
  for (int i = 0; i < 10'000 && count_threads() > allowed_threads; ++i) ::nanosleep(&kPause, nullptr);
}

Loaded::Loaded(const std::string& directory, int threads, std::size_t sessions) {
  const std::ptrdiff_t before = count_threads();
  sessions_.push_back(std::make_unique<Candidate>(directory, threads));
  while (sessions_.size() < sessions) sessions_.push_back(sessions_.front()->another());
  threads_ = count_threads() - before;
  allowed_threads += threads_;
}

Loaded::~Loaded() {
  sessions_.clear();
  if (left_threads_) return;  // their code stays; the parent ends this process
  allowed_threads -= threads_;
  wait_for_ended_threads();
}

void Loaded::require_no_more_threads() {
  left_threads_ = count_threads() > allowed_threads;
  for (const std::unique_ptr<Candidate>& session : sessions_) session->unload_at_end(!left_threads_);
  if (left_threads_) throw Refused{"a kernel started a thread of its own", "forbidden"};
}

}  // namespace kiln::worker
