#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "agents/artifacts/fields.h"
#include "agents/artifacts/variant.h"
#include "agents/reporter/page.h"
#include "runtime/base/json.h"

namespace kiln::agents::page {

std::string escaped(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (const char c : text) {
    switch (c) {
      case '&': out += "&amp;"; break;
      case '<': out += "&lt;"; break;
      case '>': out += "&gt;"; break;
      case '"': out += "&quot;"; break;
      case '\'': out += "&#39;"; break;
      case '\n': case '\t': out += c; break;
      default:
        if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) out += "\xef\xbf\xbd";
        else out += c;
    }
  }
  return out;
}

std::string duration(double ns) {
  if (!std::isfinite(ns) || ns <= 0) return "-";
  if (ns < 1e3) return fmt::format("{:.3g} ns", ns);
  if (ns < 1e6) return fmt::format("{:.3g} µs", ns / 1e3);
  if (ns < 1e9) return fmt::format("{:.3g} ms", ns / 1e6);
  if (ns < 600e9) return fmt::format("{:.3g} s", ns / 1e9);
  return fmt::format("{:.0f} min", ns / 60e9);
}

std::string rate(double per_second, std::string_view unit) {
  if (!std::isfinite(per_second) || per_second <= 0) return "-";
  const char* prefixes[] = {"", "k", "M", "G", "T", "P"};
  std::size_t p = 0;
  while (per_second >= 1000 && p + 1 < std::size(prefixes)) {
    per_second /= 1000;
    ++p;
  }
  return fmt::format("{:.3g} {}{}", per_second, prefixes[p], unit);
}

std::string percent(double fraction) {
  if (!std::isfinite(fraction) || fraction <= 0) return "-";
  return fmt::format("{:.0f} %", fraction * 100);
}

std::string speed_up(const json::object& s) {
  constexpr std::string_view what = "speed-up";
  return fmt::format("{:.3f}× [{:.3f}, {:.3f}]", fields::number(s, "ratio", what), fields::number(s, "low", what),
                     fields::number(s, "high", what));
}

std::string variant(const json::value& v) {
  if (v.is_null()) return "none";
  return to_string(variant_from_json(v));
}

std::string badge(std::string_view verdict) {
  const bool good = verdict == "ok" || verdict == "faster";
  const bool calm = verdict == "slower" || verdict == "same" || verdict == "ambiguous";
  return fmt::format("<span class=\"badge {}\">{} {}</span>",
                     good   ? "good"
                     : calm ? "calm"
                            : "bad",
                     good   ? "✓"
                     : calm ? "○"
                            : "✕",
                     escaped(verdict));
}

std::string table(const Table& t) {
  std::string out = "<div class=\"scroll\"><table>";
  if (!t.caption.empty()) out += "<caption><span>" + t.caption + "</span></caption>";
  const auto numeric = [&](std::size_t i) { return i < t.numeric.size() && t.numeric[i] ? " class=\"n\"" : ""; };
  out += "<thead><tr>";
  for (std::size_t i = 0; i < t.head.size(); ++i)
    out += fmt::format("<th scope=\"col\"{}>{}</th>", numeric(i), t.head[i]);
  out += "</tr></thead><tbody>";
  for (const auto& row : t.rows) {
    out += "<tr>";
    for (std::size_t i = 0; i < row.size(); ++i) out += fmt::format("<td{}>{}</td>", numeric(i), row[i]);
    out += "</tr>";
  }
  return out + "</tbody></table></div>\n";
}

double LogAxis::at(double value) const {
  const double position = (std::log(std::clamp(value, low, high)) - std::log(low)) / (std::log(high) - std::log(low));
  return from + position * (to - from);
}

std::vector<double> LogAxis::ticks() const {
  const auto at_steps = [this](std::initializer_list<double> steps) {
    std::vector<double> out;
    for (double decade = std::pow(10, std::floor(std::log10(low))); decade <= high; decade *= 10)
      for (const double step : steps)
        if (decade * step >= low * 0.999 && decade * step <= high * 1.001) out.push_back(decade * step);
    return out;
  };
  const std::vector<double> usual = at_steps({1, 2, 5});
  if (usual.size() > 6) return at_steps({1});
  return usual.size() >= 3 ? usual : at_steps({1, 1.5, 2, 3, 4, 5, 6, 8});
}

}  // namespace kiln::agents::page
