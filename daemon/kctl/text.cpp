#include "daemon/kctl/text.h"

#include <fmt/chrono.h>
#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <ctime>

#include "daemon/kctl/session.h"

namespace kiln::kctl {
namespace {

// Three significant digits: 1.93, 45.2, 812.
std::string three_digits(double v) { return fmt::format("{:.{}f}", v, v < 9.995 ? 2 : v < 99.95 ? 1 : 0); }

std::size_t visible_width(std::string_view text) {
  std::size_t width = 0;
  bool escape = false;
  for (const char c : text) {
    if (c == '\x1b') escape = true;
    else if (escape) escape = c != 'm';
    else ++width;
  }
  return width;
}

}  // namespace

std::string format_ns(double ns) {
  if (ns < 999.5) return fmt::format("{:.0f} ns", ns);
  if (ns < 999.5e3) return three_digits(ns / 1e3) + " us";
  if (ns < 999.5e6) return three_digits(ns / 1e6) + " ms";
  return three_digits(ns / 1e9) + " s";
}

std::string format_bytes(double bytes) {
  static constexpr std::array<std::string_view, 5> units = {"B", "KiB", "MiB", "GiB", "TiB"};
  std::size_t unit = 0;
  while (bytes >= 1024 && unit + 1 < units.size()) {
    bytes /= 1024;
    ++unit;
  }
  return fmt::format("{:.{}f} {}", bytes, unit == 0 ? 0 : 1, units.at(unit));
}

std::string format_rate(double per_second, std::string_view unit) {
  static constexpr std::array<std::string_view, 5> prefixes = {"", "k", "M", "G", "T"};
  std::size_t prefix = 0;
  while (per_second >= 999.5 && prefix + 1 < prefixes.size()) {
    per_second /= 1000;
    ++prefix;
  }
  return fmt::format("{} {}{}/s", three_digits(per_second), prefixes.at(prefix), unit);
}

std::string format_seconds(double seconds) {
  const auto whole = static_cast<std::int64_t>(std::llround(std::max(0.0, seconds)));
  if (whole < 60) return fmt::format("{} s", whole);
  if (whole < 3600) return fmt::format("{} min {} s", whole / 60, whole % 60);
  return fmt::format("{} h {} min", whole / 3600, whole / 60 % 60);
}

std::string format_time(std::int64_t wall_ns) {
  if (wall_ns == 0) return "-";
  return fmt::format("{:%Y-%m-%d %H:%M:%S} UTC", fmt::gmtime(static_cast<std::time_t>(wall_ns / 1'000'000'000)));
}

std::string short_id(std::string_view id) { return std::string(id.size() == 64 ? id.substr(0, 12) : id); }

std::int64_t parse_integer(const std::string& text, std::string_view what) {
  std::int64_t out = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), out);
  if (error != std::errc() || end != text.data() + text.size() || text.empty())
    throw UsageError(fmt::format("cannot read {} '{}': a whole number is needed", what, text));
  return out;
}

std::int64_t parse_seconds(const std::string& text, std::string_view what) {
  std::int64_t unit = 1;
  std::string digits = text;
  if (!digits.empty() && (digits.back() == 's' || digits.back() == 'm' || digits.back() == 'h')) {
    unit = digits.back() == 's' ? 1 : digits.back() == 'm' ? 60 : 3600;
    digits.pop_back();
  }
  std::int64_t count = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), count);
  if (digits.empty() || error != std::errc() || end != digits.data() + digits.size() || count < 1 || count > 1'000'000)
    throw UsageError(fmt::format("cannot read {} '{}': a time such as 90s, 10m or 2h is needed", what, text));
  return count * unit;
}

std::string elide_middle(const std::string& text, std::size_t width) {
  if (text.size() <= width) return text;
  if (width <= 3) return std::string(width, '.');
  const std::size_t kept = width - 3;
  return text.substr(0, kept / 2) + "..." + text.substr(text.size() - (kept - kept / 2));
}

std::string Table::text() const {
  std::vector<bool> right;
  std::vector<std::string> names;
  for (const std::string& h : header_) {
    right.push_back(h.starts_with('>'));
    names.push_back(h.starts_with('>') ? h.substr(1) : h);
  }
  std::vector<std::size_t> widths;
  for (const std::string& n : names) widths.push_back(n.size());
  for (const auto& row : rows_)
    for (std::size_t i = 0; i < row.size() && i < widths.size(); ++i)
      widths[i] = std::max(widths[i], visible_width(row[i]));
  std::string out;
  const auto put = [&](const std::vector<std::string>& row) {
    std::string line;
    for (std::size_t i = 0; i < row.size() && i < widths.size(); ++i) {
      const std::string pad(widths[i] - visible_width(row[i]), ' ');
      if (i > 0) line += "  ";
      line += right[i] ? pad + row[i] : row[i] + pad;
    }
    line.erase(line.find_last_not_of(' ') + 1);
    out += line + "\n";
  };
  put(names);
  for (const auto& row : rows_) put(row);
  return out;
}

}  // namespace kiln::kctl
