#include "daemon/kctl/sse.h"

#include "runtime/base/error.h"

namespace kiln::kctl {
namespace {
constexpr std::size_t kLimit = 1u << 20;
constexpr std::string_view kByteOrderMark = "\xef\xbb\xbf";
}  // namespace

void SseParser::feed(std::string_view bytes) {
  for (const char c : bytes) {
    const bool was_cr = after_cr_;
    after_cr_ = c == '\r';
    if (c == '\n' && was_cr) continue;  // the second half of one line end
    if (c == '\n' || c == '\r') {
      end_of_line();
      continue;
    }
    if (line_.size() + data_.size() >= kLimit)
      throw Error(ErrorCode::limit, "cannot read the daemon's events: one of them is longer than 1 MiB");
    line_.push_back(c);
  }
}

void SseParser::end_of_line() {
  std::string_view line = line_;
  if (first_line_ && line.starts_with(kByteOrderMark)) line.remove_prefix(kByteOrderMark.size());
  first_line_ = false;
  if (line.empty()) {
    if (has_data_) ready_.push_back({id_, kind_.empty() ? "message" : kind_, data_});
    kind_.clear();
    data_.clear();
    has_data_ = false;
  } else if (line.front() != ':') {
    const auto colon = line.find(':');
    const std::string_view field = line.substr(0, colon);
    std::string_view text = colon == std::string_view::npos ? std::string_view{} : line.substr(colon + 1);
    if (text.starts_with(' ')) text.remove_prefix(1);
    if (field == "data") {
      if (has_data_) data_.push_back('\n');
      data_ += text;
      has_data_ = true;
    } else if (field == "event") {
      kind_ = text;
    } else if (field == "id" && text.find('\0') == std::string_view::npos) {
      id_ = text;
    }
  }
  line_.clear();
}

std::optional<SseEvent> SseParser::next() {
  if (ready_.empty()) return std::nullopt;
  SseEvent event = std::move(ready_.front());
  ready_.pop_front();
  return event;
}

}  // namespace kiln::kctl
