// How many threads a launch on a GPU has. Absent from a launch on a CPU, whose tasks the session's threads share.
#pragma once

#include <cstdint>
#include <optional>

#include "runtime/base/json_fwd.h"

namespace kiln::agents {

// The launch's `tasks` are its thread blocks.
struct Geometry {
  std::int32_t block_threads = 1;  // threads of one block
  std::int64_t shared_bytes = 0;   // dynamic shared memory of one block
  std::int32_t cluster = 1;        // blocks that form one cluster; 1: none
  bool cooperative = false;        // all blocks run at the same time, or the launch is refused
  bool programmatic = false;       // may be launched before the one ahead of it ends, for which its kernel waits
  friend bool operator==(const Geometry&, const Geometry&) = default;
};

// The member "grid" of a launch, present when it has a geometry.
void put_geometry(json::object& launch, const std::optional<Geometry>& geometry);
[[nodiscard]] std::optional<Geometry> geometry_of(const json::object& launch, std::string_view what);

}  // namespace kiln::agents
