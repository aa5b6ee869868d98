#include "runtime/thread_pool.h"

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <new>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace kiln::runtime {
namespace {

// Long enough to bridge the gap between two launches of a plan (a few microseconds of the caller's bookkeeping, or a
// launch with a single task), short enough that an idle session is asleep before a scheduler tick has passed.
constexpr auto spin_time = std::chrono::microseconds(30);

void relax() {
#if defined(__x86_64__)
  _mm_pause();
#else
  std::this_thread::yield();
#endif
}

// Spins until `ready` or the time is over; the clock is read once per 16 looks, since it costs as much as all of them.
template <class Ready>
bool spin(Ready ready) {
  const auto end = std::chrono::steady_clock::now() + spin_time;
  do {
    for (int i = 0; i < 16; ++i) {
      if (ready()) return true;
      relax();
    }
  } while (std::chrono::steady_clock::now() < end);
  return ready();
}

}  // namespace

ThreadPool::ThreadPool(std::int32_t threads, std::int64_t scratch_bytes) : threads_(std::max(threads, 1)) {
  const auto rounded = (static_cast<std::size_t>(std::max<std::int64_t>(scratch_bytes, 1)) + 63) / 64 * 64;
  try {
    for (std::int32_t i = 0; i < threads_; ++i) {
      scratch_.push_back(static_cast<std::byte*>(std::aligned_alloc(64, rounded)));
      if (!scratch_.back()) throw std::bad_alloc();
    }
    for (std::int32_t i = 1; i < threads_; ++i)
      workers_.emplace_back([this, i] { watch(static_cast<std::size_t>(i)); });
  } catch (...) {
    stop();
    throw;
  }
}

ThreadPool::~ThreadPool() { stop(); }

void ThreadPool::stop() {
  stopping_.store(true);
  epoch_.fetch_add(1);
  epoch_.notify_all();
  for (std::thread& t : workers_) t.join();
  for (std::byte* s : scratch_) std::free(s);
}

void ThreadPool::run(const Work& work) {
  if (threads_ == 1 || work.tasks <= 1) {
    work_ = work;
    run_tasks(0, work.tasks, 0);
    return;
  }
  work_ = work;
  unfinished_.store(work.tasks, std::memory_order_relaxed);
  ticket_.store(++serial_ << 32 | static_cast<std::uint64_t>(work.tasks), std::memory_order_release);
  // A worker counts itself as asleep before it looks at the epoch a last time: one of the two sees the other.
  epoch_.fetch_add(1, std::memory_order_seq_cst);
  if (sleepers_.load(std::memory_order_seq_cst) != 0) epoch_.notify_all();
  help(0);
  const auto done = [this] { return unfinished_.load(std::memory_order_acquire) == 0; };
  // A worker that holds tasks may have lost its core, perhaps to this very thread: give way instead of spinning on.
  while (!spin(done)) std::this_thread::yield();
}

void ThreadPool::help(std::size_t thread) {
  std::uint64_t seen = ticket_.load(std::memory_order_acquire);
  for (;;) {
    const auto left = static_cast<std::int64_t>(seen & 0xffffffffu);
    if (left == 0) return;
    // Guided: large shares first, single tasks at the end, so that few claims are made and all threads end together.
    const std::int64_t share = std::max<std::int64_t>(1, left / (2 * threads_));
    if (!ticket_.compare_exchange_weak(seen, seen - static_cast<std::uint64_t>(share), std::memory_order_acq_rel,
                                       std::memory_order_acquire))
      continue;
    run_tasks(work_.tasks - left, share, thread);
    unfinished_.fetch_sub(share, std::memory_order_acq_rel);
    seen = ticket_.load(std::memory_order_acquire);
  }
}

void ThreadPool::run_tasks(std::int64_t first, std::int64_t count, std::size_t thread) {
  kiln_task task{first, work_.tasks, scratch_[thread], work_.state, threads_};
  for (; task.index < first + count; ++task.index) work_.kernel(work_.args, &task);
}

void ThreadPool::watch(std::size_t thread) {
  std::uint32_t seen = 0;
  for (;;) {
    const auto started = [&] { return epoch_.load(std::memory_order_acquire) != seen; };
    if (!spin(started)) {
      sleepers_.fetch_add(1, std::memory_order_seq_cst);
      while (!started()) epoch_.wait(seen, std::memory_order_seq_cst);
      sleepers_.fetch_sub(1, std::memory_order_seq_cst);
    }
    seen = epoch_.load(std::memory_order_acquire);
    if (stopping_.load()) return;
    help(thread);
  }
}

}  // namespace kiln::runtime
