// The command line of kilnd, and its exit codes.
#pragma once

#include <filesystem>
#include <optional>

#include "daemon/kilnd/config.h"
#include "runtime/base/error.h"

namespace kiln::kilnd {

struct Options {
  std::filesystem::path config;  // empty: /etc/kiln/kilnd.toml where it exists, none with --user
  std::filesystem::path state, socket;
  bool user = false;
  bool foreground = false;
  bool check_config = false;
};

// 0 ended as told, 1 failed, 2 wrong usage, 3 wrong configuration or policy, 4 another daemon is there, 5 the store,
// the corpus or the key is damaged or too new.
enum class Exit : int { ok = 0, failed = 1, usage = 2, configuration = 3, conflict = 4, damaged = 5 };
[[nodiscard]] Exit exit_of(ErrorCode code);

// Empty: the program has printed its help, its version or what is wrong; `exit` says how it ends.
[[nodiscard]] std::optional<Options> parse_options(int argc, const char* const* argv, Exit& exit);

// Defaults, then the file, then the command line.
[[nodiscard]] Settings load_settings(const Options& options);

}  // namespace kiln::kilnd
