// Reading and writing the members that the artifacts share: counts in range, doubles that may be Inf or NaN, lists.
#pragma once

#include <cstdint>
#include <string_view>
#include <utility>
#include <vector>

#include "runtime/base/json.h"

namespace kiln::agents::fields {

// A measured figure may be Inf or NaN, for which JSON has no number: then it is the text "inf", "-inf" or "nan".
[[nodiscard]] json::value number(double figure);
[[nodiscard]] double number(const json::value& v, std::string_view what);
[[nodiscard]] double number(const json::object& o, std::string_view key, std::string_view what);
[[nodiscard]] std::vector<double> numbers(const json::object& o, std::string_view key, std::string_view what);
[[nodiscard]] json::array numbers(const std::vector<double>& figures);

// Throws Error(invalid_input) unless 0 <= member <= limit.
[[nodiscard]] std::int64_t count(const json::object& o, std::string_view key, std::string_view what,
                                 std::int64_t limit = std::int64_t{1} << 53);
[[nodiscard]] std::int32_t small_count(const json::object& o, std::string_view key, std::string_view what);

// The member as a list, each element read by `read`.
template <class Read>
[[nodiscard]] auto list(const json::object& o, std::string_view key, std::string_view what, Read read) {
  std::vector<decltype(read(std::declval<const json::value&>()))> out;
  for (const json::value& item : json::as_array(json::at(o, key, what), what)) out.push_back(read(item));
  return out;
}

}  // namespace kiln::agents::fields
