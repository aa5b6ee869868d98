// What must be true of the ground before the daemon stands on it.
#pragma once

#include <filesystem>
#include <string_view>

#include "runtime/base/unique_fd.h"

namespace kiln::kilnd {

// Whether user ids here are those of the machine: the text of /proc/self/uid_map (user_namespaces(7)).
[[nodiscard]] bool is_identity_map(std::string_view uid_map);
// In a user namespace of its own the daemon would see foreign peers under wrong ids. Error(unavailable).
void require_identity_map();

// Makes the directory with mode 0700 if it is missing and locks it: kilnd.lock, held by flock(2) for as long as the
// result lives. Error(conflict) naming the process that holds it.
[[nodiscard]] UniqueFd lock_state(const std::filesystem::path& directory);

}  // namespace kiln::kilnd
