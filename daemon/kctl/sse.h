// Server-sent events, as the HTML standard's "event stream interpretation" defines them: bytes in, events out.
#pragma once

#include <deque>
#include <optional>
#include <string>
#include <string_view>

namespace kiln::kctl {

struct SseEvent {
  std::string id;    // the last id seen, which outlives the event that brought it
  std::string kind;  // "message" when the stream names none
  std::string data;
};

// Fed with any cut of the stream; lines may end in LF, CR or CRLF. A line or an event past 1 MiB throws Error(limit).
class SseParser {
 public:
  void feed(std::string_view bytes);
  [[nodiscard]] std::optional<SseEvent> next();

 private:
  void end_of_line();
  std::string line_, id_, kind_, data_;
  bool has_data_ = false;
  bool after_cr_ = false;
  bool first_line_ = true;
  std::deque<SseEvent> ready_;
};

}  // namespace kiln::kctl
