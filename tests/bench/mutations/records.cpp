#include "tests/bench/mutations/records.h"

#include <algorithm>
#include <iterator>

#include "runtime/base/error.h"
#include "runtime/base/files.h"
#include "runtime/base/json.h"

namespace kiln::mutation {
namespace {

constexpr const char* kNames[] = {"not built", "same code", "equal", "within class", "special values only",
                                  "caught",    "survived",  "right", "refused"};

Outcome outcome_of(const std::string& text) {
  const auto* const found =
      std::find_if(std::begin(kNames), std::end(kNames), [&](const char* n) { return text == n; });
  if (found == std::end(kNames))
    throw Error(ErrorCode::corrupt, "cannot read a record: no outcome '" + text + "'");
  return static_cast<Outcome>(found - std::begin(kNames));
}

json::object to_json(const Trial& t) {
  return {{"key", t.key},
          {"family", t.family},
          {"subject", t.subject},
          {"operation", t.operation},
          {"difference", t.difference},
          {"outcome", name(t.outcome)},
          {"verdict", t.verdict},
          {"reason", t.reason}};
}

Trial trial_from(const std::string& line) {
  const json::value parsed = json::parse(line, "a record");
  const json::object& o = json::as_object(parsed, "a record");
  const auto text = [&](const char* key) { return json::get_string(o, key, "a record"); };
  return {text("key"),       text("family"),     text("subject"),
          text("operation"), text("difference"), outcome_of(text("outcome")),
          text("verdict"),   text("reason")};
}

}  // namespace

const char* name(Outcome outcome) { return kNames[static_cast<std::size_t>(outcome)]; }

Records::Records(const std::filesystem::path& file) {
  if (file.empty()) return;
  std::string kept;
  if (std::filesystem::exists(file)) {
    const std::string text = read_file(file);
    for (std::size_t at = 0, end; (end = text.find('\n', at)) != std::string::npos; at = end + 1) {
      Trial trial = trial_from(text.substr(at, end - at));
      at_[trial.key] = trials_.size();
      trials_.push_back(std::move(trial));
      kept.append(text, at, end + 1 - at);
    }
    if (kept.size() != text.size()) write_file_atomic(file, kept);
  }
  out_.open(file, std::ios::app);
  if (!out_) throw Error(ErrorCode::io, "cannot append to '" + file.string() + "'");
}

void Records::add(Trial trial) {
  if (out_.is_open()) out_ << json::canonical(to_json(trial)) << '\n' << std::flush;
  at_[trial.key] = trials_.size();
  trials_.push_back(std::move(trial));
}

}  // namespace kiln::mutation
