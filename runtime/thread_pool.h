// The threads of one session: threads - 1 workers and the caller, which share out the tasks of one launch at a time.
//
// A launch ends when its tasks are done, not when every worker has shown up: a worker that the operating system woke
// late costs nothing, and a machine with fewer free cores than threads still makes progress.
//
// Each thread has its own share of the tasks, the same one in each launch with as many: rows that one kernel wrote lie
// in the cache of the core whose thread reads them next. A thread that is done takes from the far end of another's
// share.
//
// A share is one atomic word. Who takes tasks from it holds the launch open until it counts them as done, so the
// launch's fields are stable whenever they are read. Workers watch `epoch` for a short while after a launch and then
// sleep on a futex: launches that follow closely cost no system call, an idle session no CPU.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <thread>
#include <vector>

#include "runtime/kernel_abi.h"

namespace kiln::runtime {

class ThreadPool {
 public:
  struct Work {
    kiln_kernel_fn kernel = nullptr;
    void* const* args = nullptr;
    std::int64_t tasks = 0;
    void* state = nullptr;
    std::byte* scratch = nullptr;    // of thread 0, the others' behind it, each 64-byte aligned; null: the pool's
    std::int64_t scratch_bytes = 0;  // per thread
  };

  // `scratch_bytes` per thread, for work that brings none. Throws std::bad_alloc or std::system_error.
  ThreadPool(std::int32_t threads, std::int64_t scratch_bytes);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  // Runs all tasks and returns when they are done. Not reentrant, one caller at a time.
  void run(const Work& work);

  // Returns when every worker is awake; they sleep again after some 30 us without a launch. The same caller as run().
  void wake();

 private:
  void watch(std::size_t thread);
  void stop();
  // Takes and runs tasks of the open launch until none is left.
  void help(std::size_t thread);
  bool help_with(std::size_t share, std::size_t thread);
  void run_tasks(std::int64_t first, std::int64_t count, std::size_t thread);

  struct alignas(64) Share { std::atomic<std::uint64_t> left{0}; };  // first << 32 | end

  const std::int32_t threads_;
  std::vector<std::byte*> scratch_;
  Work work_;                                        // written by the caller between launches only
  std::vector<Share> shares_;                        // parallel to the threads, the caller's first
  alignas(64) std::atomic<std::int64_t> unfinished_{0};
  alignas(64) std::atomic<std::uint32_t> epoch_{0};  // launches started; what workers watch
  std::atomic<std::int32_t> sleepers_{0};
  std::atomic<int> callers_cpu_{-1};                 // where the caller was when it last woke somebody
  std::atomic<bool> stopping_{false};
  std::vector<std::thread> workers_;
};

}  // namespace kiln::runtime
