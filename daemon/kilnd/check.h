// One line of `kctl doctor`.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "runtime/base/json_fwd.h"

namespace kiln::kilnd {

struct Check {
  enum class Result : std::uint8_t {
    pass,
    caution,
    fail
  };  // caution: jobs run, and are slower, less sure or less contained
  std::string name;
  Result result = Result::pass;
  std::string detail;  // what was found
  std::string cure;    // a command or an action; empty when there is nothing to cure
};

[[nodiscard]] inline Check passed(std::string name, std::string detail) {
  return {std::move(name), Check::Result::pass, std::move(detail), {}};
}
[[nodiscard]] inline Check caution(std::string name, std::string detail, std::string cure) {
  return {std::move(name), Check::Result::caution, std::move(detail), std::move(cure)};
}
[[nodiscard]] inline Check failed(std::string name, std::string detail, std::string cure) {
  return {std::move(name), Check::Result::fail, std::move(detail), std::move(cure)};
}

[[nodiscard]] json::object to_json(const Check& check);

}  // namespace kiln::kilnd
