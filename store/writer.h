// The one thread that writes and checkpoints. A closure runs in a savepoint of a transaction; several that wait at once
// share one commit, so that they share its fsync. write() returns when the commit is durable. An idle writer sleeps on
// a condition variable; it wakes once, a while after the last write, to fold the log into the database.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <exception>
#include <functional>
#include <future>
#include <mutex>
#include <thread>

#include "store/sqlite/database.h"

namespace kiln::store {

class Writer {
 public:
  // `on_failure` is told of a full disk or a failed sync, on the writer thread, before the caller hears of it.
  Writer(Database& db, std::function<void(const std::exception_ptr&)> on_failure);
  ~Writer();  // finishes what is queued
  Writer(const Writer&) = delete;
  Writer& operator=(const Writer&) = delete;

  void write(std::function<void(Database&)> work);  // waits for the commit, throws what `work` or the commit threw
  void post(std::function<void(Database&)> work);   // does not wait; a failure is told to on_failure only

 private:
  struct Item {
    std::function<void(Database&)> work;
    std::promise<void> done;
    std::exception_ptr error;
  };
  void loop(std::stop_token stop);
  void commit(std::deque<Item>& batch);
  void checkpoint() noexcept;

  Database& db_;
  std::function<void(const std::exception_ptr&)> on_failure_;
  std::mutex mutex_;
  std::condition_variable_any wake_;
  std::deque<Item> queue_;
  std::int64_t since_checkpoint_ = 0;  // commits; writer thread only
  std::jthread thread_;                // last: starts when all else is there
};

}  // namespace kiln::store
