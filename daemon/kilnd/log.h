// The daemon's log: native journal records under systemd, plain lines otherwise. Thread-safe.
#pragma once

#include <atomic>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace kiln::kilnd {

enum class Level : std::uint8_t { error, warning, info, debug };
[[nodiscard]] std::string_view name(Level level);
[[nodiscard]] std::optional<Level> level_of(std::string_view name);

// What an operator can act on has an id that systemd/kiln.catalog explains; `journalctl MESSAGE_ID=...` finds it.
inline constexpr std::string_view kMessageReady = "b0f7cc0d8d6c4b0f9d2b64c4a4f0c5e1";
inline constexpr std::string_view kMessageReloadRefused = "5a1d5d0c2c1e4f9a8a3be2f0d7c6b9a2";
inline constexpr std::string_view kMessageJobFailed = "c8e3f1a2947b4d1fb6d05e7a8c9b0d13";

using Fields = std::vector<std::pair<std::string_view, std::string>>;  // journal fields: "JOB_ID", "MESSAGE_ID", ...

class Log {
 public:
  enum class Sink : std::uint8_t { journal, lines };
  explicit Log(Sink sink, int fd = 2) : sink_(sink), fd_(fd) {}

  // True when standard error is connected to the journal: $JOURNAL_STREAM names its device and inode (systemd.exec(5)).
  [[nodiscard]] static bool under_journal();

  void set_level(Level level) { level_ = level; }
  void write(Level level, std::string_view text, const Fields& fields = {}) const;
  void error(std::string_view text, const Fields& fields = {}) const { write(Level::error, text, fields); }
  void warning(std::string_view text, const Fields& fields = {}) const { write(Level::warning, text, fields); }
  void info(std::string_view text, const Fields& fields = {}) const { write(Level::info, text, fields); }

 private:
  Sink sink_;
  int fd_;
  std::atomic<Level> level_{Level::info};
};

// Control characters as \xNN and at most 2000 bytes: text from outside cannot forge a line.
[[nodiscard]] std::string printable(std::string_view text);

}  // namespace kiln::kilnd
