// What must be true of the state folder while the daemon runs: somebody may have changed it since the start.
#pragma once

#include <filesystem>

#include "daemon/kilnd/check.h"
#include "store/store.h"

namespace kiln::kilnd {

// disk: space and inodes on the file system of `state`.
[[nodiscard]] Check check_disk(const std::filesystem::path& state);
// state: a local file system that may hold code objects, closed to other users.
[[nodiscard]] Check check_state(const std::filesystem::path& state);
// key: node.pem and its folder belong to this user, and nobody else can read or replace the key.
[[nodiscard]] Check check_key(const std::filesystem::path& keys);
// releases: each current release is what its manifest says, file by file, and the manifest is what the store
// says.
[[nodiscard]] Check check_releases(const store::Store& store);

}  // namespace kiln::kilnd
