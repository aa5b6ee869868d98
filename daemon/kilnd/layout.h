// Where the files of an installation are, from where the program is: <prefix>/sbin/kilnd, <prefix>/share/kiln, ... A
// relocated tarball and a build folder have the same shape.
#pragma once

#include <filesystem>

namespace kiln::kilnd {

struct Layout {
  std::filesystem::path worker;   // kiln-worker
  std::filesystem::path include;  // holds runtime/kernel_abi.h
  std::filesystem::path corpus;   // corpus.db
  std::filesystem::path policy;   // the default policy
};

[[nodiscard]] Layout layout_of(const std::filesystem::path& executable);
[[nodiscard]] std::filesystem::path own_executable();  // Error(io)

// Where state and socket are without a configuration. `user`: $XDG_STATE_HOME/kiln and
// $XDG_RUNTIME_DIR/kiln/control.sock (XDG Base Directory Specification 0.8); Error(invalid_input) when the variables
// are missing.
[[nodiscard]] std::filesystem::path default_state(bool user);
[[nodiscard]] std::filesystem::path default_socket(bool user);

}  // namespace kiln::kilnd
