// A request and its answer as plain values, without a socket: what resources see, and what tests and fuzzers build.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "daemon/control/roles.h"
#include "runtime/base/json_fwd.h"

namespace kiln::control {

struct Request {
  std::string method;
  std::string path;                              // percent-decoded per segment only when matched
  std::map<std::string, std::string> query;      // decoded; a key given twice is refused
  std::map<std::string, std::string> parameters; // from the path: {"id": "j-1"}
  std::string body;
  std::optional<std::int64_t> last_event_id;
  Peer peer;
  Role role = Role::none;
};

struct Answer {
  unsigned status = 200;
  std::string content_type = "application/json";
  std::string body;
  std::string object;  // what was made or changed, for the audit record
  std::string allow;   // methods, with 405
};

// Called exactly once, on any thread.
using Reply = std::function<void(Answer)>;

[[nodiscard]] Answer json_answer(const json::value& value, unsigned status = 200);
[[nodiscard]] Answer raw_answer(std::string content_type, std::string body);

// "/v1/jobs?after=3" into path and query. Throws Error(invalid_input) on bad percent-encoding, NUL and repeated keys.
void parse_target(std::string_view target, Request& request);
[[nodiscard]] std::string percent_decode(std::string_view text);

// A query parameter as a number within [least, most]; Error(invalid_input) otherwise.
[[nodiscard]] std::int64_t query_int(const Request& request, const std::string& key, std::int64_t absent,
                                     std::int64_t least, std::int64_t most);

// The body as a JSON object that has no member but `known`.
[[nodiscard]] json::object json_body(const Request& request, std::initializer_list<std::string_view> known);

}  // namespace kiln::control
