// The table of routes. A route that is not here does not exist; each names the least role it needs.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "daemon/control/context.h"
#include "daemon/control/message.h"

namespace kiln::control {

enum class Kind : std::uint8_t { call, upload, events };
// Where a handler runs: on the I/O thread (memory only), or in the back room, whose threads may wait for a disk.
enum class Place : std::uint8_t { io_thread, back_room };

// For a POST that says everything in its path: no body, or an empty JSON object, which some clients cannot leave out.
inline constexpr std::int64_t kEmptyBodyBytes = 64;

using Handler = void (*)(Context&, const Request&, const Reply&);

struct Route {
  std::string_view method;
  std::string_view pattern;  // "/v1/jobs/{id}"
  Role role = Role::admin;
  bool mutates = false;      // leaves an audit record, also when refused
  std::int64_t body_limit = 0;  // bytes; uploads: see Context::blob_limit_bytes
  Kind kind = Kind::call;
  Place place = Place::back_room;
  std::string_view query;    // names it takes, separated by spaces
  Handler handler = nullptr;
};

[[nodiscard]] std::span<const Route> routes();

// Matches method and path and fills request.parameters. Throws Error(not_found). When only the method does not fit,
// returns null and sets `allow`.
[[nodiscard]] const Route* find_route(Request& request, std::string& allow);

}  // namespace kiln::control
