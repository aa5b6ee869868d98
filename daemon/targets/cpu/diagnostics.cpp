#include <algorithm>
#include <charconv>

#include "daemon/targets/cpu/compile.h"
#include "runtime/base/json.h"

namespace kiln::targets::cpu {
namespace {

constexpr std::size_t most = 64;  // a broken template repeats itself; the first ones say it all

CompileDiagnostic from_json(const json::object& o) {
  CompileDiagnostic d;
  d.severity = json::get_string(o, "kind", "a diagnostic");
  d.message = json::get_string(o, "message", "a diagnostic");
  if (const json::value* places = o.if_contains("locations");
      places && places->is_array() && !places->get_array().empty()) {
    const json::object& place = json::as_object(places->get_array().front(), "a place");
    const json::object& caret = json::as_object(json::at(place, "caret", "a place"), "a caret");
    d.file = json::get_string(caret, "file", "a caret");
    d.line = static_cast<std::int32_t>(json::get_int(caret, "line", "a caret"));
  }
  return d;
}

// GCC prints one array per compiled file, on one line.
bool append_json(std::string_view line, std::vector<CompileDiagnostic>& out) {
  if (line.empty() || line.front() != '[') return false;
  try {
    const json::value parsed = json::parse(line, "compiler diagnostics");
    for (const json::value& v : json::as_array(parsed, "compiler diagnostics"))
      out.push_back(from_json(json::as_object(v, "a diagnostic")));
    return true;
  } catch (const Error&) {
    return false;  // a text line that happens to begin with a bracket
  }
}

bool all_digits(std::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; });
}

// "kernel.cpp:12:3: error: ..." where line and column may be missing; `at` is the space before the severity.
CompileDiagnostic from_text(std::string_view line, std::string_view severity, std::size_t at) {
  CompileDiagnostic d;
  d.severity = severity == "fatal error" ? "error" : severity;
  d.message = line.substr(std::min(line.size(), at + severity.size() + 3));
  std::string_view place = line.substr(0, at);
  std::vector<std::string_view> numbers;
  while (!place.empty() && place.back() == ':') place.remove_suffix(1);
  for (std::size_t colon = place.rfind(':'); colon != std::string_view::npos && all_digits(place.substr(colon + 1));
       colon = place.rfind(':')) {
    numbers.push_back(place.substr(colon + 1));
    place = place.substr(0, colon);
  }
  if (!numbers.empty()) std::from_chars(numbers.back().data(), numbers.back().data() + numbers.back().size(), d.line);
  d.file = place;
  return d;
}

bool append_text(std::string_view line, std::vector<CompileDiagnostic>& out) {
  for (const std::string_view severity : {"fatal error", "error", "warning", "note"}) {
    const std::size_t at = line.find(" " + std::string(severity) + ":");
    if (at == std::string_view::npos) continue;
    out.push_back(from_text(line, severity, at));
    return true;
  }
  if (line.find("undefined reference") != std::string_view::npos ||
      line.find("cannot find -l") != std::string_view::npos) {
    out.push_back({"", 0, "error", std::string(line)});
    return true;
  }
  return false;
}

}  // namespace

std::vector<CompileDiagnostic> parse_diagnostics(std::string_view text) {
  std::vector<CompileDiagnostic> out;
  std::size_t begin = 0;
  while (begin < text.size() && out.size() < most) {
    const std::size_t end = std::min(text.find('\n', begin), text.size());
    const std::string_view line = text.substr(begin, end - begin);
    if (!append_json(line, out)) (void)append_text(line, out);  // other lines are source excerpts and carets
    begin = end + 1;
  }
  if (out.size() > most) out.resize(most);
  for (CompileDiagnostic& d : out)
    if (d.message.size() > 2000) d.message.resize(2000);
  return out;
}

}  // namespace kiln::targets::cpu
