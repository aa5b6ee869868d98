// Numbers and tables as people read them. Nothing here is stable output; --json is.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace kiln::kctl {

[[nodiscard]] std::string format_ns(double ns);              // "812 ns", "1.93 us", "45.2 ms", "1.20 s"
[[nodiscard]] std::string format_bytes(double bytes);        // "512 B", "1.5 KiB", "3.2 GiB"
[[nodiscard]] std::string format_rate(double per_second, std::string_view unit);  // "62.1 GB/s", decimal prefixes
[[nodiscard]] std::string format_seconds(double seconds);    // "42 s", "3 min 5 s", "2 h 4 min"
[[nodiscard]] std::string format_time(std::int64_t wall_ns); // "2026-01-31 12:00:05 UTC"; "-" for 0
[[nodiscard]] std::string short_id(std::string_view id);     // the first 12 digits of a digest; other ids whole

// "90", "90s", "10m", "2h" -> seconds; throws UsageError naming `what`.
[[nodiscard]] std::int64_t parse_seconds(const std::string& text, std::string_view what);
[[nodiscard]] std::int64_t parse_integer(const std::string& text, std::string_view what);

// The middle of a text that is too long becomes "...". Counts bytes: labels and paths are ASCII.
[[nodiscard]] std::string elide_middle(const std::string& text, std::size_t width);

// Columns aligned by their widest cell; a column whose header begins with '>' is flush right. Escape sequences for
// colour do not count.
class Table {
 public:
  explicit Table(std::vector<std::string> header) : header_(std::move(header)) {}
  void add(std::vector<std::string> row) { rows_.push_back(std::move(row)); }
  [[nodiscard]] bool empty() const { return rows_.empty(); }
  [[nodiscard]] std::string text() const;  // lines with their ends; no trailing spaces

 private:
  std::vector<std::string> header_;
  std::vector<std::vector<std::string>> rows_;
};

}  // namespace kiln::kctl
