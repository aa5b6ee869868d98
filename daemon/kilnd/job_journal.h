// The record of one job in the store, as the conductor's Journal. One object per run of a job; used by one thread.
#pragma once

#include <atomic>
#include <cstdint>
#include <vector>

#include "agents/conductor/journal.h"
#include "runtime/base/json_fwd.h"
#include "store/store.h"

namespace kiln::kilnd {

class JobJournal : public agents::Journal {
 public:
  enum class Mode : std::uint8_t {
    live,    // goes on past the end of the record
    replay,  // the record is all there is
  };
  JobJournal(store::Store& store, std::string job, Mode mode, const std::atomic<bool>& stop);

  json::value fact(std::string_view kind, const json::value& request,
                   const std::function<json::value()>& take) override;
  void decision(std::string_view kind, const json::value& artifact) override;
  void progress(const Progress& p) override;
  [[nodiscard]] bool cancelled() const override { return stop_.load(std::memory_order_relaxed); }

  [[nodiscard]] std::int64_t entries() const { return static_cast<std::int64_t>(entries_.size()); }
  [[nodiscard]] std::int64_t decisions() const { return decisions_; }
  // Replay: throws Error(diverged) when the record goes on after the conductor ended.
  void expect_end() const;

 private:
  [[nodiscard]] const store::JobEntry* next() const;
  void append(bool decision, std::string_view kind, std::string request_digest, const std::string& content);
  [[noreturn]] void diverge(const std::string& cause) const;

  store::Store& store_;
  const std::string job_;
  const Mode mode_;
  const std::atomic<bool>& stop_;
  std::vector<store::JobEntry> entries_;
  std::size_t position_ = 0;
  std::int64_t decisions_ = 0;
};

}  // namespace kiln::kilnd
