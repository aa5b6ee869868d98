// Reads one TOML file key by key, with types, ranges and places in its errors, and knows which keys nobody asked for.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/base/error.h"

namespace kiln::policies {

class Reader {
 public:
  // Throws Error(invalid_input) with line and column when it is not TOML.
  Reader(std::string_view toml, std::string_view file_name);
  ~Reader();

  // `key` is "section.key"; absent gives the fallback. Wrong type or out of [low, high]: Error(invalid_input) with the
  // place.
  std::int64_t integer(std::string_view key, std::int64_t fallback, std::int64_t low, std::int64_t high);
  double number(std::string_view key, double fallback, double low, double high);
  bool boolean(std::string_view key, bool fallback);
  std::string text(std::string_view key, std::string_view fallback);
  std::string choice(std::string_view key, std::string_view fallback, const std::vector<std::string_view>& allowed);
  std::vector<std::string> texts(std::string_view key);
  // Each of them once, and each of `allowed`.
  std::vector<std::string> texts_among(std::string_view key, std::span<const std::string_view> allowed);

  // Error for the first key that none of the calls above named, with the nearest known one.
  void refuse_unknown_keys() const;
  [[noreturn]] void fail(std::string_view key, const std::string& cause) const;

 private:
  struct Parsed;
  std::unique_ptr<Parsed> parsed_;
  std::string file_name_;
  std::vector<std::string> known_;
};

}  // namespace kiln::policies
