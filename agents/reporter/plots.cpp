#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "agents/artifacts/fields.h"
#include "agents/reporter/page.h"
#include "runtime/base/json.h"

namespace kiln::agents::page {
namespace {

struct Point {
  std::string label, verdict;
  double ns = 0;
  [[nodiscard]] bool measured() const { return ns > 0 && (verdict == "ok" || verdict == "slower"); }
};

// At most 28 bytes, cut between characters.
std::string shortened(const std::string& text) {
  if (text.size() <= 28) return text;
  std::size_t end = 26;
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xc0) == 0x80) --end;
  return text.substr(0, end) + "..";
}

double median_of(const json::object& region, const char* who) {
  const json::object& subject = json::as_object(json::at(region, who, "region"), who);
  return fields::number(json::as_object(json::at(subject, "summary", who), who), "median_ns", who);
}

std::vector<Point> points(const json::object& region) {
  std::vector<Point> out;
  for (const json::value& item : json::as_array(json::at(region, "candidates", "region"), "candidates")) {
    const json::object& c = json::as_object(item, "candidate");
    out.push_back({variant(json::at(c, "variant", "candidate")), json::get_string(c, "verdict", "candidate"),
                   fields::number(c, "median_ns", "candidate")});
  }
  return out;
}

bool in_sight(double ns, const LogAxis& y) { return ns >= y.low && ns <= y.high; }

std::string level(const char* cls, double ns, const LogAxis& y, double from, double to) {
  if (!in_sight(ns, y)) return {};
  return fmt::format("<line class=\"{0}\" x1=\"{1}\" x2=\"{2}\" y1=\"{3:.1f}\" y2=\"{3:.1f}\"/>", cls, from, to,
                     y.at(ns));
}

// Above its line and the dots that lie on it; drawn last, since a dot on a name makes both unreadable.
std::string level_name(const char* text, double ns, const LogAxis& y, double to) {
  if (!in_sight(ns, y)) return {};
  return fmt::format("<text class=\"note\" x=\"{}\" y=\"{:.1f}\" text-anchor=\"end\">{}</text>", to, y.at(ns) - 8,
                     text);
}

}  // namespace

std::string convergence(const json::object& region) {
  constexpr double kWidth = 380, kHeight = 200, kLeft = 58, kRight = 10, kTop = 20, kBottom = 30;
  const std::vector<Point> all = points(region);
  const double incumbent = median_of(region, "incumbent");
  const double floor = fields::number(region, "floor_ns", "region");
  double low = incumbent > 0 ? incumbent : HUGE_VAL, high = incumbent;
  for (const Point& p : all) {
    if (!p.measured()) continue;
    low = std::min(low, p.ns);
    high = std::max(high, p.ns);
  }
  if (!std::isfinite(low) || !(high > 0)) return "<p class=\"muted\">Nothing was measured.</p>\n";
  // The floor belongs in the picture unless it is so far below that it would flatten everything else.
  if (floor > 0 && floor > low / 20) low = std::min(low, floor);
  const double top = std::min(high, std::max(incumbent, low) * 10);  // what is ten times slower is drawn at the edge
  const LogAxis y{low / 1.15, top * 1.2, kHeight - kBottom, kTop};
  const auto x = [&](std::size_t i) {
    return kLeft + 8 +
           (kWidth - kLeft - kRight - 16) * static_cast<double>(i) /
               static_cast<double>(std::max<std::size_t>(all.size(), 2) - 1);
  };
  std::string svg;
  for (const double tick : y.ticks())
    svg += fmt::format(
        "<line class=\"grid\" x1=\"{0}\" x2=\"{1}\" y1=\"{2:.1f}\" y2=\"{2:.1f}\"/><text class=\"tick\" x=\"{3}\" "
        "y=\"{4:.1f}\" "
        "text-anchor=\"end\">{5}</text>",
        kLeft, kWidth - kRight, y.at(tick), kLeft - 5, y.at(tick) + 4, duration(tick));
  svg += level("level", incumbent, y, kLeft, kWidth - kRight);
  svg += level("floor", floor, y, kLeft, kWidth - kRight);
  const std::string names =
      level_name("incumbent", incumbent, y, kWidth - kRight) + level_name("floor", floor, y, kWidth - kRight);
  std::string path, dots;
  double best = 0;
  for (std::size_t i = 0; i < all.size(); ++i) {
    const Point& p = all[i];
    const std::string title =
        "<title>" +
        escaped(fmt::format("{}. {}: {} {}", i + 1, p.label, p.verdict, p.measured() ? duration(p.ns) : "")) +
        "</title>";
    if (!p.measured()) {
      dots += fmt::format("<path class=\"failed\" d=\"M{0:.1f} {1} l6 6 m0 -6 l-6 6\">{2}</path>", x(i) - 3, kTop - 12,
                          title);
    } else {
      dots += fmt::format("<circle class=\"{}\" cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"3\">{}</circle>",
                          p.verdict == "ok" ? "winner" : "incumbent", x(i), y.at(p.ns), title);
      if (best == 0) path = fmt::format("M{:.1f} {:.1f}", x(i), y.at(p.ns));
      else if (p.ns < best) path += fmt::format(" H{:.1f} V{:.1f}", x(i), y.at(p.ns));
      best = best == 0 ? p.ns : std::min(best, p.ns);
    }
  }
  if (best > 0) svg += fmt::format("<path class=\"best\" d=\"{} H{:.1f}\"/>", path, kWidth - kRight);
  const auto failed = std::count_if(all.begin(), all.end(), [](const Point& p) { return !p.measured(); });
  return fmt::format(
             "<figure class=\"small\"><svg viewBox=\"0 0 {} {}\" role=\"img\" aria-label=\"Best time so far over {} "
             "candidates, {} failed\">",
             kWidth, kHeight, all.size(), failed) +
         svg + dots + names +
         fmt::format(
             "<text class=\"axis\" x=\"{}\" y=\"{}\" text-anchor=\"middle\">{} candidates in the order tried, {} "
             "failed (✕)</text></svg>",
             (kLeft + kWidth) / 2, kHeight - 8, all.size(), failed) +
         "<figcaption>" + escaped(json::get_string(region, "label", "region")) + "</figcaption></figure>\n";
}

std::string timeline(const json::array& spans) {
  if (spans.empty()) return "<p class=\"muted\">No phase was recorded.</p>\n";
  constexpr double kWidth = 760, kLeft = 190, kRight = 70, kRow = 20, kTop = 6;
  struct Span { std::string phase, detail; double begin, end; };
  std::vector<Span> all;
  double first = HUGE_VAL, last = 0;
  for (const json::value& item : spans) {
    const json::object& o = json::as_object(item, "timeline");
    const json::value& detail = json::at(o, "detail", "timeline");
    all.push_back({json::get_string(o, "phase", "timeline"),
                   detail.is_string() ? std::string(detail.get_string()) : json::canonical(detail),
                   json::get_double(o, "begin_ns", "timeline"), json::get_double(o, "end_ns", "timeline")});
    first = std::min(first, all.back().begin);
    last = std::max(last, all.back().end);
  }
  const double scale = (kWidth - kLeft - kRight) / std::max(last - first, 1.0);
  std::string svg;
  for (std::size_t i = 0; i < all.size(); ++i) {
    const Span& s = all[i];
    const double top = kTop + kRow * static_cast<double>(i), left = kLeft + (s.begin - first) * scale;
    const double width = std::max(1.5, (s.end - s.begin) * scale);
    const std::string name = shortened(s.phase);
    svg += fmt::format(
        "<text class=\"tick\" x=\"{}\" y=\"{:.1f}\" text-anchor=\"end\">{}</text><rect class=\"bar\" x=\"{:.1f}\" "
        "y=\"{:.1f}\" "
        "width=\"{:.1f}\" height=\"{}\"><title>{}</title></rect><text class=\"note\" x=\"{:.1f}\" "
        "y=\"{:.1f}\">{}</text>",
        kLeft - 8, top + 13, escaped(name), left, top + 3, width, kRow - 6, escaped(s.phase + ": " + s.detail),
        left + width + 5, top + 13, duration(s.end - s.begin));
  }
  return fmt::format("<figure><svg viewBox=\"0 0 {} {}\" role=\"img\" aria-label=\"Timeline of {} phases over {}\">",
                     kWidth, kTop * 2 + kRow * static_cast<double>(all.size()), all.size(), duration(last - first)) +
         svg +
         fmt::format("</svg><figcaption>{} from the first phase to the last.</figcaption></figure>\n",
                     duration(last - first));
}

}  // namespace kiln::agents::page
