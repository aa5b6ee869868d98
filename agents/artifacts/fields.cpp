#include "agents/artifacts/fields.h"

#include <cmath>
#include <limits>
#include <string>

#include "runtime/base/json.h"

namespace kiln::agents::fields {

json::value number(double figure) {
  if (std::isfinite(figure)) return figure;
  return std::isnan(figure) ? json::value("nan") : json::value(figure > 0 ? "inf" : "-inf");
}

double number(const json::value& v, std::string_view what) {
  if (v.is_double()) return v.get_double();
  if (v.is_int64()) return static_cast<double>(v.get_int64());
  if (v.is_uint64()) return static_cast<double>(v.get_uint64());
  if (v.is_string()) {
    if (v.get_string() == "nan") return std::numeric_limits<double>::quiet_NaN();
    if (v.get_string() == "inf") return std::numeric_limits<double>::infinity();
    if (v.get_string() == "-inf") return -std::numeric_limits<double>::infinity();
  }
  throw Error(ErrorCode::invalid_input, "cannot read a number of " + std::string(what) + ": it is something else");
}

double number(const json::object& o, std::string_view key, std::string_view what) {
  return number(json::at(o, key, what), std::string(what) + ", member '" + std::string(key) + "'");
}

std::vector<double> numbers(const json::object& o, std::string_view key, std::string_view what) {
  return list(o, key, what, [&](const json::value& v) { return number(v, what); });
}

json::array numbers(const std::vector<double>& figures) {
  json::array out;
  for (const double figure : figures) out.push_back(number(figure));
  return out;
}

std::int64_t count(const json::object& o, std::string_view key, std::string_view what, std::int64_t limit) {
  const std::int64_t value = json::get_int(o, key, what);
  if (value < 0 || value > limit)
    throw Error(ErrorCode::invalid_input, "cannot read member '" + std::string(key) + "' of " + std::string(what) +
                                              ": " + std::to_string(value) + " is outside 0.." + std::to_string(limit));
  return value;
}

std::int32_t small_count(const json::object& o, std::string_view key, std::string_view what) {
  return static_cast<std::int32_t>(count(o, key, what, std::numeric_limits<std::int32_t>::max()));
}

}  // namespace kiln::agents::fields
