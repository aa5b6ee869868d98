#include "runtime/base/json.h"

#include <algorithm>
#include <boost/json/basic_parser_impl.hpp>
#include <unordered_set>

namespace kiln::json {
namespace {

namespace bj = boost::json;

// A SAX handler that builds nothing and only refuses an object that has one key twice; Boost.JSON's own DOM parser
// keeps the last value silently.
class DuplicateKeys {
 public:
  static constexpr std::size_t max_object_size = std::size_t(-1);
  static constexpr std::size_t max_array_size = std::size_t(-1);
  static constexpr std::size_t max_key_size = std::size_t(-1);
  static constexpr std::size_t max_string_size = std::size_t(-1);

  std::string duplicate;

  bool on_document_begin(bj::error_code&) { return true; }
  bool on_document_end(bj::error_code&) { return true; }
  bool on_object_begin(bj::error_code&) {
    keys_.emplace_back();
    return true;
  }
  bool on_object_end(std::size_t, bj::error_code&) {
    keys_.pop_back();
    return true;
  }
  bool on_array_begin(bj::error_code&) { return true; }
  bool on_array_end(std::size_t, bj::error_code&) { return true; }
  bool on_key_part(bj::string_view part, std::size_t, bj::error_code&) {
    key_.append(part.data(), part.size());
    return true;
  }
  bool on_key(bj::string_view part, std::size_t, bj::error_code& ec) {
    key_.append(part.data(), part.size());
    if (!keys_.back().insert(key_).second) {
      duplicate = key_;
      ec = bj::error::syntax;
      return false;
    }
    key_.clear();
    return true;
  }
  bool on_string_part(bj::string_view, std::size_t, bj::error_code&) { return true; }
  bool on_string(bj::string_view, std::size_t, bj::error_code&) { return true; }
  bool on_number_part(bj::string_view, bj::error_code&) { return true; }
  bool on_int64(std::int64_t, bj::string_view, bj::error_code&) { return true; }
  bool on_uint64(std::uint64_t, bj::string_view, bj::error_code&) { return true; }
  bool on_double(double, bj::string_view, bj::error_code&) { return true; }
  bool on_bool(bool, bj::error_code&) { return true; }
  bool on_null(bj::error_code&) { return true; }
  bool on_comment_part(bj::string_view, bj::error_code&) { return true; }
  bool on_comment(bj::string_view, bj::error_code&) { return true; }

 private:
  std::string key_;
  std::vector<std::unordered_set<std::string>> keys_;
};

[[noreturn]] void fail(std::string_view what, const std::string& cause) {
  throw Error(ErrorCode::invalid_input, "cannot parse " + std::string(what) + ": " + cause);
}

[[noreturn]] void fail_member(std::string_view key, std::string_view what, std::string_view cause) {
  throw Error(ErrorCode::invalid_input,
              "cannot read member '" + std::string(key) + "' of " + std::string(what) + ": " + std::string(cause));
}

void sort_keys(value& v) {
  if (auto* list = v.if_array()) {
    for (auto& item : *list) sort_keys(item);
  } else if (auto* members = v.if_object()) {
    std::vector<std::pair<std::string, value>> sorted;
    for (auto& member : *members) sorted.emplace_back(member.key(), std::move(member.value()));
    std::sort(sorted.begin(), sorted.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
    members->clear();
    for (auto& [key, item] : sorted) {
      sort_keys(item);
      members->emplace(key, std::move(item));
    }
  }
}

void print(const value& v, std::string& out, std::size_t indent) {
  const std::string pad(indent + 2, ' ');
  if (const auto* list = v.if_array(); list && !list->empty()) {
    const bool flat = std::none_of(list->begin(), list->end(),
                                   [](const value& item) { return item.is_array() || item.is_object(); });
    if (flat) {
      out += bj::serialize(v);
      return;
    }
    out += "[\n";
    for (std::size_t i = 0; i < list->size(); ++i) {
      out += pad;
      print((*list)[i], out, indent + 2);
      out += i + 1 < list->size() ? ",\n" : "\n";
    }
    out += std::string(indent, ' ') + "]";
  } else if (const auto* members = v.if_object(); members && !members->empty()) {
    out += "{\n";
    std::size_t i = 0;
    for (const auto& member : *members) {
      out += pad + bj::serialize(value(member.key())) + ": ";
      print(member.value(), out, indent + 2);
      out += ++i < members->size() ? ",\n" : "\n";
    }
    out += std::string(indent, ' ') + "}";
  } else {
    out += bj::serialize(v);
  }
}

}  // namespace

value parse(std::string_view text, std::string_view what, Limits limits) {
  if (text.size() > limits.bytes)
    throw Error(ErrorCode::limit, "cannot parse " + std::string(what) + ": it has " + std::to_string(text.size()) +
                                      " bytes, more than the limit of " + std::to_string(limits.bytes));
  bj::parse_options options;
  options.max_depth = limits.depth;
  bj::basic_parser<DuplicateKeys> checker(options);
  bj::error_code ec;
  const std::size_t used = checker.write_some(false, text.data(), text.size(), ec);
  if (!checker.handler().duplicate.empty())
    fail(what, "member '" + checker.handler().duplicate + "' stands twice, near byte " + std::to_string(used));
  if (ec) fail(what, ec.message() + " near byte " + std::to_string(used));
  if (used < text.size() && text.find_first_not_of(" \t\r\n", used) != std::string_view::npos)
    fail(what, "extra bytes after the value at byte " + std::to_string(used));

  value out = bj::parse(bj::string_view(text.data(), text.size()), ec, {}, options);
  if (ec) fail(what, ec.message());
  return out;
}

std::string canonical(const value& v) {
  value sorted = v;
  sort_keys(sorted);
  return bj::serialize(sorted);
}

std::string pretty(const value& v) {
  std::string out;
  print(v, out, 0);
  out += '\n';
  return out;
}

const value& at(const object& o, std::string_view key, std::string_view what) {
  const value* found = o.if_contains(bj::string_view(key.data(), key.size()));
  if (!found) fail_member(key, what, "it is missing");
  return *found;
}

const object& as_object(const value& v, std::string_view what) {
  if (!v.is_object()) fail(what, "an object is needed");
  return v.get_object();
}

const array& as_array(const value& v, std::string_view what) {
  if (!v.is_array()) fail(what, "an array is needed");
  return v.get_array();
}

std::string get_string(const object& o, std::string_view key, std::string_view what) {
  const value& v = at(o, key, what);
  if (!v.is_string()) fail_member(key, what, "a string is needed");
  return std::string(v.get_string());
}

std::int64_t get_int(const object& o, std::string_view key, std::string_view what) {
  const value& v = at(o, key, what);
  bj::error_code ec;
  const auto number = v.is_number() ? v.to_number<std::int64_t>(ec) : 0;
  if (!v.is_number() || ec) fail_member(key, what, "a 64-bit integer is needed");
  return number;
}

double get_double(const object& o, std::string_view key, std::string_view what) {
  const value& v = at(o, key, what);
  if (!v.is_number()) fail_member(key, what, "a number is needed");
  return v.to_number<double>();
}

bool get_bool(const object& o, std::string_view key, std::string_view what) {
  const value& v = at(o, key, what);
  if (!v.is_bool()) fail_member(key, what, "true or false is needed");
  return v.get_bool();
}

std::vector<std::int64_t> get_ints(const object& o, std::string_view key, std::string_view what) {
  const value& v = at(o, key, what);
  if (!v.is_array()) fail_member(key, what, "an array of integers is needed");
  std::vector<std::int64_t> out;
  for (const value& item : v.get_array()) {
    bj::error_code ec;
    const auto number = item.is_number() ? item.to_number<std::int64_t>(ec) : 0;
    if (!item.is_number() || ec) fail_member(key, what, "an array of integers is needed");
    out.push_back(number);
  }
  return out;
}

std::vector<std::string> get_strings(const object& o, std::string_view key, std::string_view what) {
  const value& v = at(o, key, what);
  if (!v.is_array()) fail_member(key, what, "an array of strings is needed");
  std::vector<std::string> out;
  for (const value& item : v.get_array()) {
    if (!item.is_string()) fail_member(key, what, "an array of strings is needed");
    out.emplace_back(item.get_string());
  }
  return out;
}

std::optional<std::string> find_string(const object& o, std::string_view key, std::string_view what) {
  const value* v = o.if_contains(bj::string_view(key.data(), key.size()));
  if (!v || v->is_null()) return std::nullopt;
  return get_string(o, key, what);
}

std::optional<std::int64_t> find_int(const object& o, std::string_view key, std::string_view what) {
  const value* v = o.if_contains(bj::string_view(key.data(), key.size()));
  if (!v || v->is_null()) return std::nullopt;
  return get_int(o, key, what);
}

}  // namespace kiln::json
