// Strict JSON on top of Boost.JSON: outside bytes are parsed with limits, and members are read with errors that
// name the place. Canonical text (sorted keys, no spaces, shortest round-trip numbers) is what digests are taken of.
#pragma once

#include <boost/json.hpp>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/base/error.h"
#include "runtime/base/json_fwd.h"

namespace kiln::json {

struct Limits {
  std::size_t bytes = 16u << 20;
  std::size_t depth = 32;
};

// Throws Error(invalid_input) naming `what` and the byte offset; duplicate keys, bytes after the value, invalid
// UTF-8 and anything past a limit are errors.
[[nodiscard]] value parse(std::string_view text, std::string_view what, Limits limits = {});

// Keys sorted by byte order, no white space. Equal values give equal text.
[[nodiscard]] std::string canonical(const value& v);
// Two-space indentation, keys in the order of insertion; for files that people read.
[[nodiscard]] std::string pretty(const value& v);

// Member access that throws Error(invalid_input, "cannot read member 'x' of <what>: ...") on absence or wrong type.
[[nodiscard]] const value& at(const object& o, std::string_view key, std::string_view what);
[[nodiscard]] const object& as_object(const value& v, std::string_view what);
[[nodiscard]] const array& as_array(const value& v, std::string_view what);
[[nodiscard]] std::string get_string(const object& o, std::string_view key, std::string_view what);
[[nodiscard]] std::int64_t get_int(const object& o, std::string_view key, std::string_view what);
[[nodiscard]] double get_double(const object& o, std::string_view key, std::string_view what);  // any JSON number
[[nodiscard]] bool get_bool(const object& o, std::string_view key, std::string_view what);
[[nodiscard]] std::vector<std::int64_t> get_ints(const object& o, std::string_view key, std::string_view what);
[[nodiscard]] std::vector<std::string> get_strings(const object& o, std::string_view key, std::string_view what);
// Absent or null gives nullopt.
[[nodiscard]] std::optional<std::string> find_string(const object& o, std::string_view key, std::string_view what);
[[nodiscard]] std::optional<std::int64_t> find_int(const object& o, std::string_view key, std::string_view what);

template <class Range>
[[nodiscard]] array to_array(const Range& range) {
  array out;
  for (const auto& item : range) out.emplace_back(value(item));
  return out;
}

}  // namespace kiln::json
