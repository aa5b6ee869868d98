#include "daemon/control/message.h"

#include <algorithm>
#include <charconv>

#include "runtime/base/error.h"
#include "runtime/base/json.h"

namespace kiln::control {
namespace {

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

std::int64_t integer(std::string_view text, const std::string& what, std::int64_t least, std::int64_t most) {
  std::int64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size() || number < least || number > most)
    throw Error(ErrorCode::invalid_input, "cannot read " + what + ": it is no integer between " +
                                              std::to_string(least) + " and " + std::to_string(most));
  return number;
}

}  // namespace

Answer json_answer(const json::value& value, unsigned status) {
  Answer answer;
  answer.status = status;
  answer.body = json::pretty(value);
  if (answer.body.empty() || answer.body.back() != '\n') answer.body += '\n';
  return answer;
}

Answer raw_answer(std::string content_type, std::string body) {
  Answer answer;
  answer.content_type = std::move(content_type);
  answer.body = std::move(body);
  return answer;
}

std::string percent_decode(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (std::size_t i = 0; i < text.size(); ++i) {
    char c = text[i];
    if (c == '%') {
      const int high = i + 2 < text.size() ? hex_digit(text[i + 1]) : -1;
      const int low = i + 2 < text.size() ? hex_digit(text[i + 2]) : -1;
      if (high < 0 || low < 0)
        throw Error(ErrorCode::invalid_input, "cannot read the request's target: '%' without two hexadecimal digits");
      c = static_cast<char>(high * 16 + low);
      i += 2;
    }
    if (c == '\0') throw Error(ErrorCode::invalid_input, "cannot read the request's target: it holds a NUL");
    out += c;
  }
  return out;
}

void parse_target(std::string_view target, Request& request) {
  if (target.empty() || target.front() != '/')
    throw Error(ErrorCode::invalid_input, "cannot read the request's target: it does not begin with '/'");
  const std::size_t mark = target.find('?');
  request.path = std::string(target.substr(0, mark));
  if (mark == std::string_view::npos) return;
  std::string_view rest = target.substr(mark + 1);
  while (!rest.empty()) {
    const std::size_t end = std::min(rest.find('&'), rest.size());
    const std::string_view pair = rest.substr(0, end);
    rest.remove_prefix(std::min(end + 1, rest.size()));
    if (pair.empty()) continue;
    const std::size_t equals = std::min(pair.find('='), pair.size());
    std::string key = percent_decode(pair.substr(0, equals));
    std::string value = percent_decode(pair.substr(std::min(equals + 1, pair.size())));
    if (!request.query.emplace(key, std::move(value)).second)
      throw Error(ErrorCode::invalid_input, "cannot read the request's target: parameter '" + key + "' is given twice");
  }
}

std::int64_t query_int(const Request& request, const std::string& key, std::int64_t absent, std::int64_t least,
                       std::int64_t most) {
  const auto found = request.query.find(key);
  return found == request.query.end() ? absent : integer(found->second, "parameter '" + key + "'", least, most);
}

json::object json_body(const Request& request, std::initializer_list<std::string_view> known) {
  json::Limits limits;
  limits.bytes = 1u << 20;
  const json::value body = json::parse(request.body, "the request's body", limits);
  const json::object& object = json::as_object(body, "the request's body");
  for (const auto& member : object) {
    const std::string_view key(member.key().data(), member.key().size());
    if (std::find(known.begin(), known.end(), key) == known.end())
      throw Error(ErrorCode::invalid_input, "cannot read the request's body: unknown member '" + std::string(key) + "'",
                  "GET /v1/openapi.json lists the members");
  }
  return object;
}

}  // namespace kiln::control
