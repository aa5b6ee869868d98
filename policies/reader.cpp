#include "policies/reader.h"

#include <algorithm>
#include <numeric>
#include <toml++/toml.h>

#include "runtime/base/error.h"

namespace kiln::policies {
namespace {

std::string place(const toml::source_region& source) {
  return "line " + std::to_string(source.begin.line) + ", column " + std::to_string(source.begin.column);
}

// Levenshtein distance, for "did you mean".
std::size_t distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), std::size_t{0});
  for (std::size_t i = 1; i <= a.size(); ++i) {
    std::size_t diagonal = row[0];
    row[0] = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t substituted = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
      diagonal = row[j];
      row[j] = std::min({row[j] + 1, row[j - 1] + 1, substituted});
    }
  }
  return row.back();
}

std::string listed(std::span<const std::string_view> words) {
  std::string list;
  for (const std::string_view word : words) list += (list.empty() ? "\"" : ", \"") + std::string(word) + "\"";
  return list;
}

}  // namespace

struct Reader::Parsed {
  toml::table table;
};

Reader::Reader(std::string_view toml, std::string_view file_name)
    : parsed_(std::make_unique<Parsed>()), file_name_(file_name) {
  try {
    parsed_->table = toml::parse(toml, file_name_);
  } catch (const toml::parse_error& error) {
    throw Error(ErrorCode::invalid_input, "cannot load policy '" + file_name_ + "': " + place(error.source()) + ": " +
                                              std::string(error.description()));
  }
}

Reader::~Reader() = default;

void Reader::fail(std::string_view key, const std::string& cause) const {
  const auto node = parsed_->table.at_path(key);
  const std::string where = node ? place(node.node()->source()) + ": " : std::string();
  throw Error(ErrorCode::invalid_input,
              "cannot load policy '" + file_name_ + "': " + where + "'" + std::string(key) + "': " + cause,
              "kctl policy check " + file_name_);
}

std::int64_t Reader::integer(std::string_view key, std::int64_t fallback, std::int64_t low, std::int64_t high) {
  known_.emplace_back(key);
  const auto node = parsed_->table.at_path(key);
  if (!node) return fallback;
  if (!node.is_integer()) fail(key, "an integer is needed");
  const std::int64_t value = node.as_integer()->get();
  if (value < low || value > high)
    fail(key, std::to_string(value) + " is outside " + std::to_string(low) + " to " + std::to_string(high));
  return value;
}

double Reader::number(std::string_view key, double fallback, double low, double high) {
  known_.emplace_back(key);
  const auto node = parsed_->table.at_path(key);
  if (!node) return fallback;
  if (!node.is_number()) fail(key, "a number is needed");
  const double value = *node.value<double>();
  if (!(value >= low && value <= high))
    fail(key, std::to_string(value) + " is outside " + std::to_string(low) + " to " + std::to_string(high));
  return value;
}

bool Reader::boolean(std::string_view key, bool fallback) {
  known_.emplace_back(key);
  const auto node = parsed_->table.at_path(key);
  if (!node) return fallback;
  if (!node.is_boolean()) fail(key, "true or false is needed");
  return node.as_boolean()->get();
}

std::string Reader::text(std::string_view key, std::string_view fallback) {
  known_.emplace_back(key);
  const auto node = parsed_->table.at_path(key);
  if (!node) return std::string(fallback);
  if (!node.is_string()) fail(key, "a string is needed");
  return node.as_string()->get();
}

std::string Reader::choice(std::string_view key, std::string_view fallback,
                           const std::vector<std::string_view>& allowed) {
  const std::string value = text(key, fallback);
  if (std::find(allowed.begin(), allowed.end(), value) != allowed.end()) return value;
  fail(key, "\"" + value + "\" is not known; this version has " + listed(allowed));
}

std::vector<std::string> Reader::texts(std::string_view key) {
  known_.emplace_back(key);
  const auto node = parsed_->table.at_path(key);
  std::vector<std::string> out;
  if (!node) return out;
  if (!node.is_array()) fail(key, "an array of strings is needed");
  for (const toml::node& item : *node.as_array()) {
    if (!item.is_string()) fail(key, "an array of strings is needed");
    out.push_back(item.as_string()->get());
  }
  return out;
}

std::vector<std::string> Reader::texts_among(std::string_view key, std::span<const std::string_view> allowed) {
  std::vector<std::string> out = texts(key);
  for (std::size_t i = 0; i < out.size(); ++i) {
    if (std::find(out.begin(), out.begin() + static_cast<std::ptrdiff_t>(i), out[i]) !=
        out.begin() + static_cast<std::ptrdiff_t>(i))
      fail(key, "\"" + out[i] + "\" is there twice");
    if (std::find(allowed.begin(), allowed.end(), out[i]) == allowed.end())
      fail(key, "\"" + out[i] + "\" is not known; this version has " + listed(allowed));
  }
  return out;
}

void Reader::refuse_unknown_keys() const {
  const auto refuse = [&](const std::string& key, const toml::node& node) {
    const auto nearest = std::min_element(
        known_.begin(), known_.end(),
        [&](const std::string& a, const std::string& b) { return distance(a, key) < distance(b, key); });
    throw Error(ErrorCode::invalid_input,
                "cannot load policy '" + file_name_ + "': " + place(node.source()) + ": unknown key '" + key +
                    "'; did you mean '" + *nearest + "'?",
                "kctl policy check " + file_name_);
  };
  for (const auto& [section, node] : parsed_->table) {
    const std::string name(section.str());
    if (const toml::table* members = node.as_table()) {
      for (const auto& [key, member] : *members) {
        const std::string path = name + "." + std::string(key.str());
        if (std::find(known_.begin(), known_.end(), path) == known_.end()) refuse(path, member);
      }
    } else if (std::find(known_.begin(), known_.end(), name) == known_.end()) {
      refuse(name, node);
    }
  }
}

}  // namespace kiln::policies
