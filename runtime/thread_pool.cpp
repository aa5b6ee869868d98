#include "runtime/thread_pool.h"

#include <sched.h>

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

// Tasks first .. end - 1. Their number fits 32 bits: the loader refuses plans with more (plan_file.cpp).
std::uint64_t range(std::int64_t first, std::int64_t end) {
  return static_cast<std::uint64_t>(first) << 32 | static_cast<std::uint64_t>(end);
}

std::int64_t aligned(std::int64_t bytes) { return (bytes + 63) / 64 * 64; }

void relax() {
#if defined(__x86_64__)
  _mm_pause();
#else
  std::this_thread::yield();
#endif
}

// The scheduler may wake a thread on the core of the one that woke it, and leaves it there for milliseconds while
// another core is idle: launches are over by then. Moves the calling thread elsewhere if it is there and may be
// elsewhere.
void leave(int cpu) {
  if (cpu < 0 || ::sched_getcpu() != cpu) return;
  cpu_set_t allowed, others;
  if (::sched_getaffinity(0, sizeof allowed, &allowed) != 0) return;  // more cores than the set holds: stay
  others = allowed;
  CPU_CLR(static_cast<std::size_t>(cpu), &others);
  if (CPU_COUNT(&others) == 0 || ::sched_setaffinity(0, sizeof others, &others) != 0) return;
  (void)::sched_setaffinity(0, sizeof allowed, &allowed);  // what was allowed a moment ago
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

ThreadPool::ThreadPool(std::int32_t threads, std::int64_t scratch_bytes)
    : threads_(std::max(threads, 1)), shares_(static_cast<std::size_t>(threads_)) {
  const auto rounded = static_cast<std::size_t>(aligned(std::max<std::int64_t>(scratch_bytes, 1)));
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
  for (std::int64_t i = 0; i < threads_; ++i)
    shares_[static_cast<std::size_t>(i)].left.store(range(work.tasks * i / threads_, work.tasks * (i + 1) / threads_),
                                                    std::memory_order_release);
  // A worker counts itself as asleep before it looks at the epoch a last time: one of the two sees the other.
  epoch_.fetch_add(1, std::memory_order_seq_cst);
  if (sleepers_.load(std::memory_order_seq_cst) != 0) {
    callers_cpu_.store(::sched_getcpu(), std::memory_order_relaxed);
    epoch_.notify_all();
  }
  help(0);
  const auto done = [this] { return unfinished_.load(std::memory_order_acquire) == 0; };
  // A worker that holds tasks may have lost its core, perhaps to this very thread: give way instead of spinning on.
  while (!spin(done)) std::this_thread::yield();
}

void ThreadPool::wake() {
  // One task per thread, none of which ends before all have begun: nobody can take two.
  std::atomic<std::int64_t> begun{0};
  void* args[] = {&begun};
  const auto meet = [](void* const* arguments, const kiln_task* task) {
    auto& count = *static_cast<std::atomic<std::int64_t>*>(arguments[0]);
    count.fetch_add(1, std::memory_order_acq_rel);
    while (count.load(std::memory_order_acquire) < task->count) std::this_thread::yield();
  };
  run({meet, args, threads_, nullptr, nullptr, 0});
}

void ThreadPool::help(std::size_t thread) {
  for (std::size_t i = 0; i < shares_.size(); ++i)
    while (help_with((thread + i) % shares_.size(), thread)) {}
}

// Half of what a share has left at a time, so that few claims are made and all threads end together: its own thread
// takes from the front, others from the end. False: it was empty.
bool ThreadPool::help_with(std::size_t share, std::size_t thread) {
  std::atomic<std::uint64_t>& left = shares_[share].left;
  std::uint64_t seen = left.load(std::memory_order_acquire);
  for (;;) {
    const auto first = static_cast<std::int64_t>(seen >> 32), end = static_cast<std::int64_t>(seen & 0xffffffffu);
    if (first == end) return false;
    const std::int64_t count = (end - first + 1) / 2;
    const bool own = share == thread;
    // A value of an earlier launch that happens to be this one's too is as good: the exchange acquires what belongs to
    // it.
    if (!left.compare_exchange_weak(seen, own ? range(first + count, end) : range(first, end - count),
                                    std::memory_order_acq_rel, std::memory_order_acquire))
      continue;
    run_tasks(own ? first : end - count, count, thread);
    unfinished_.fetch_sub(count, std::memory_order_acq_rel);
    return true;
  }
}

void ThreadPool::run_tasks(std::int64_t first, std::int64_t count, std::size_t thread) {
  std::byte* scratch = scratch_[thread];
  if (work_.scratch) scratch = work_.scratch + static_cast<std::int64_t>(thread) * aligned(work_.scratch_bytes);
  kiln_task task{first, work_.tasks, scratch, work_.state, threads_};
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
      leave(callers_cpu_.load(std::memory_order_relaxed));
    }
    seen = epoch_.load(std::memory_order_acquire);
    if (stopping_.load()) return;
    help(thread);
  }
}

}  // namespace kiln::runtime
