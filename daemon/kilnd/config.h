// kilnd.toml: every key is validated with its place, an unknown key is an error. A file is taken whole or refused
// whole.
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "daemon/control/server.h"
#include "daemon/kilnd/log.h"

namespace kiln::kilnd {

struct Settings {
  // [paths]
  std::filesystem::path state, socket, corpus, worker, include, policy;
  std::string gpu_libraries{};  // folders with colons between; empty: where the system's loader looks
  // [gpu]
  std::int32_t gpu = 0;  // which of the node's, by the driver's count
  // [access]: group names or numbers
  std::vector<std::string> viewer_groups, operator_groups, admin_groups;
  std::string socket_group;  // owns the socket's file; empty: the daemon's own
  // [limits]
  control::Limits limits;
  std::int64_t object_cache_bytes = std::int64_t{4} << 30;  // 0: no object outlives its job
  // [log]
  Level level = Level::info;
};

// `defaults` holds what is not in the file. Error(invalid_input, "cannot load configuration 'x': line 3, column 1:
// ...").
[[nodiscard]] Settings parse_config(std::string_view toml, std::string_view file_name, const Settings& defaults);

// The numbers behind the names. Error(invalid_input) naming the key of a group that does not exist.
[[nodiscard]] control::AccessRules resolve_access(const Settings& settings);
[[nodiscard]] gid_t resolve_group(const std::string& group, std::string_view key);

struct Change {
  std::string key, from, to;
  bool at_restart = false;  // a running daemon keeps the old value
};
[[nodiscard]] std::vector<Change> changes(const Settings& from, const Settings& to);

}  // namespace kiln::kilnd
