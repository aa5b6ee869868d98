#include "daemon/kilnd/layout.h"

#include <cstdlib>

#include "runtime/base/error.h"

namespace kiln::kilnd {
namespace fs = std::filesystem;
namespace {

// An absolute path from the environment; the specification says that relative ones are to be ignored.
fs::path from_environment(const char* name) {
  const char* text = std::getenv(name);
  const fs::path path = text == nullptr ? "" : text;
  return path.is_absolute() ? path : fs::path();
}

}  // namespace

Layout layout_of(const fs::path& executable) {
  const fs::path prefix = executable.parent_path().parent_path();
  const fs::path installed = prefix / "libexec/kiln/kiln-worker";
  return {fs::exists(installed) ? installed : executable.parent_path() / "kiln-worker", prefix / "include/kiln",
          prefix / "share/kiln/corpus.db", prefix / "share/kiln/policies/default.toml"};
}

fs::path own_executable() {
  std::error_code error;
  const fs::path path = fs::read_symlink("/proc/self/exe", error);
  if (error) throw Error(ErrorCode::io, "cannot tell where kilnd is installed: " + error.message());
  return path;
}

fs::path default_state(bool user) {
  if (!user) return "/var/lib/kiln";
  if (const fs::path state = from_environment("XDG_STATE_HOME"); !state.empty()) return state / "kiln";
  if (const fs::path home = from_environment("HOME"); !home.empty()) return home / ".local/state/kiln";
  throw Error(ErrorCode::invalid_input, "cannot choose a state directory: neither XDG_STATE_HOME nor HOME is set",
              "give --state DIR");
}

fs::path default_socket(bool user) {
  if (!user) return "/run/kiln/control.sock";
  if (const fs::path runtime = from_environment("XDG_RUNTIME_DIR"); !runtime.empty())
    return runtime / "kiln/control.sock";
  throw Error(ErrorCode::invalid_input, "cannot choose a socket: XDG_RUNTIME_DIR is not set", "give --socket PATH");
}

}  // namespace kiln::kilnd
