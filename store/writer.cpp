#include "store/writer.h"

#include <chrono>

#include "runtime/base/error.h"

namespace kiln::store {
namespace {
constexpr std::chrono::milliseconds kIdle{250};
constexpr std::int64_t kCommitsBetweenCheckpoints = 2000;  // bounds the log while writes never pause
constexpr std::size_t kBatch = 256;
}  // namespace

Writer::Writer(Database& db, std::function<void(const std::exception_ptr&)> on_failure)
    : db_(db), on_failure_(std::move(on_failure)), thread_([this](std::stop_token stop) { loop(std::move(stop)); }) {}

Writer::~Writer() {
  thread_.request_stop();
  thread_.join();
}

void Writer::write(std::function<void(Database&)> work) {
  std::future<void> done;
  {
    const std::lock_guard lock(mutex_);
    queue_.push_back({std::move(work), {}, {}});
    done = queue_.back().done.get_future();
  }
  wake_.notify_one();
  done.get();
}

void Writer::post(std::function<void(Database&)> work) {
  {
    const std::lock_guard lock(mutex_);
    queue_.push_back({std::move(work), {}, {}});
  }
  wake_.notify_one();
}

void Writer::loop(std::stop_token stop) {
  for (;;) {
    std::deque<Item> batch;
    {
      std::unique_lock lock(mutex_);
      const auto ready = [this] { return !queue_.empty(); };
      if (since_checkpoint_ > 0 && !wake_.wait_for(lock, stop, kIdle, ready) && !stop.stop_requested()) {
        lock.unlock();
        checkpoint();
        continue;
      }
      if (!wake_.wait(lock, stop, ready)) break;  // stopped, and nothing queued
      while (!queue_.empty() && batch.size() < kBatch) {
        batch.push_back(std::move(queue_.front()));
        queue_.pop_front();
      }
    }
    commit(batch);
    if (since_checkpoint_ >= kCommitsBetweenCheckpoints) checkpoint();
  }
  checkpoint();
}

void Writer::commit(std::deque<Item>& batch) {
  std::exception_ptr failure;
  try {
    db_.exec("BEGIN IMMEDIATE");
    for (Item& item : batch) {
      db_.exec("SAVEPOINT item");
      try {
        item.work(db_);
        db_.exec("RELEASE item");
      } catch (...) {
        item.error = std::current_exception();
        // A full disk may have rolled back the whole transaction; then nothing of the batch is in place.
        if (!db_.in_transaction()) std::rethrow_exception(item.error);
        db_.exec("ROLLBACK TO item; RELEASE item");
      }
    }
    db_.exec("COMMIT");
    ++since_checkpoint_;
  } catch (...) {
    failure = std::current_exception();
    try {
      if (db_.in_transaction()) db_.exec("ROLLBACK");
    } catch (const Error&) {  // the failure on its way is the one to tell
    }
  }
  for (Item& item : batch) {
    if (failure) item.error = failure;
    if (item.error) on_failure_(item.error);
    if (item.error) item.done.set_exception(item.error);
    else item.done.set_value();
  }
}

void Writer::checkpoint() noexcept {
  since_checkpoint_ = 0;
  try {
    db_.checkpoint();
  } catch (...) {
    on_failure_(std::current_exception());
  }
}

}  // namespace kiln::store
