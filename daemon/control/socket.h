// The listening socket's file. A pathname socket, never an abstract one: those have no mode (CVE-2020-15257).
#pragma once

#include <sys/types.h>

#include <filesystem>
#include <optional>

#include "runtime/base/unique_fd.h"

namespace kiln::control {

// Binds and listens with `mode` from the first moment on. A file left by a daemon that died is replaced, also while a
// child of it still has the socket; when a daemon answers on it: Error(conflict). `group`, if given, becomes the
// file's.
[[nodiscard]] UniqueFd bind_socket(const std::filesystem::path& path, mode_t mode, std::optional<gid_t> group);

}  // namespace kiln::control
