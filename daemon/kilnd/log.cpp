#include "daemon/kilnd/log.h"

#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#define SD_JOURNAL_SUPPRESS_LOCATION  // the place in the source says nothing to an operator
#include <systemd/sd-journal.h>

#include <array>
#include <cstdlib>
#include <ctime>

namespace kiln::kilnd {
namespace {

constexpr std::array<std::string_view, 4> kNames = {"error", "warning", "info", "debug"};
constexpr std::array<int, 4> kPriorities = {3, 4, 6, 7};  // syslog(3)
constexpr std::size_t kLongest = 2000;

std::string utc_now() {
  const std::time_t now = std::time(nullptr);
  std::tm parts{};
  ::gmtime_r(&now, &parts);
  std::array<char, 32> text{};
  return {text.data(), std::strftime(text.data(), text.size(), "%Y-%m-%dT%H:%M:%SZ", &parts)};
}

void to_journal(Level level, const std::string& text, const Fields& fields) {
  std::vector<std::string> items{"MESSAGE=" + text,
                                 "PRIORITY=" + std::to_string(kPriorities[static_cast<std::size_t>(level)]),
                                 "SYSLOG_IDENTIFIER=kilnd"};
  for (const auto& [key, value] : fields) items.push_back(std::string(key) + "=" + printable(value));
  std::vector<iovec> vectors;
  for (std::string& item : items) vectors.push_back({item.data(), item.size()});
  (void)::sd_journal_sendv(vectors.data(),
                           static_cast<int>(vectors.size()));  // ignoring: there is nowhere else to say it
}

void to_lines(int fd, Level level, const std::string& text, const Fields& fields) {
  std::string line = utc_now() + " " + std::string(name(level)) + ": " + text;
  for (const auto& [key, value] : fields)
    if (key != "MESSAGE_ID") line += " " + std::string(key) + "=" + printable(value);
  line += '\n';
  (void)!::write(fd, line.data(), line.size());  // one write, so that threads do not mix; ignoring: as above
}

}  // namespace

std::string_view name(Level level) { return kNames[static_cast<std::size_t>(level)]; }

std::optional<Level> level_of(std::string_view text) {
  for (std::size_t i = 0; i < kNames.size(); ++i)
    if (kNames[i] == text) return static_cast<Level>(i);
  return std::nullopt;
}

bool Log::under_journal() {
  const char* stream = std::getenv("JOURNAL_STREAM");
  struct stat info {};
  if (stream == nullptr || ::fstat(STDERR_FILENO, &info) != 0) return false;
  return std::to_string(info.st_dev) + ":" + std::to_string(info.st_ino) == stream;
}

void Log::write(Level level, std::string_view text, const Fields& fields) const {
  if (level > level_.load()) return;
  const std::string safe = printable(text);
  if (sink_ == Sink::journal) {
    to_journal(level, safe, fields);
  } else {
    to_lines(fd_, level, safe, fields);
  }
}

std::string printable(std::string_view text) {
  constexpr std::string_view digits = "0123456789abcdef";
  std::string out;
  for (const char c : text.substr(0, kLongest)) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte >= 0x20 && byte != 0x7f) {
      out += c;
    } else {
      out += {'\\', 'x', digits[byte >> 4], digits[byte & 15]};
    }
  }
  return text.size() > kLongest ? out + "..." : out;
}

}  // namespace kiln::kilnd
