// JSON columns, as the repositories write and read them.
#pragma once

#include <string>

#include "runtime/base/json.h"

namespace kiln::store {

inline json::object parse_column(const std::string& text) {
  return json::as_object(json::parse(text, "a stored row", {.bytes = std::size_t{64} << 20, .depth = 32}),
                         "a stored row");
}
inline std::string column(const json::object& o) { return boost::json::serialize(o); }

}  // namespace kiln::store
