// Roofline: attained FLOP/s against arithmetic intensity, under the ceilings that were measured on this node (Williams,
// Waterman, Patterson, CACM 52:4, 2009). An open circle is the incumbent of a region, a filled one its winner.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>

#include "agents/artifacts/facts.h"
#include "agents/artifacts/fields.h"
#include "agents/reporter/page.h"
#include "runtime/base/json.h"

namespace kiln::agents::page {
namespace {

constexpr double kWidth = 760, kHeight = 400, kLeft = 72, kRight = 20, kTop = 16, kBottom = 48;
constexpr double kNameHeight = 14;  // of a ceiling's name, with the space around it

struct Dot {
  std::string label, number;
  double intensity = 0, incumbent = 0, winner = 0;  // FLOP/byte, FLOP/s
};

std::vector<Dot> dots(const json::object& report) {
  std::map<std::string, std::pair<double, double>> cost;  // region -> flops, bytes
  const json::object& profile = json::as_object(json::at(report, "profile", "report"), "report.profile");
  for (const json::value& item :
       json::as_array(json::at(profile, "regions", "report.profile"), "report.profile.regions")) {
    const json::object& r = json::as_object(item, "report.profile.regions");
    cost[json::get_string(r, "region", "profile")] = {fields::number(r, "flops", "profile"),
                                                      fields::number(r, "bytes", "profile")};
  }
  std::vector<Dot> out;
  std::size_t index = 0;
  for (const json::value& item : json::as_array(json::at(report, "regions", "report"), "report.regions")) {
    const json::object& r = json::as_object(item, "report.regions");
    ++index;
    const auto found = cost.find(json::get_string(r, "key", "region"));
    if (found == cost.end() || !(found->second.first > 0) || !(found->second.second > 0)) continue;
    const auto [flops, bytes] = found->second;
    const auto attained = [&, work = flops](const char* who) {
      const json::object& subject = json::as_object(json::at(r, who, "region"), who);
      const double ns = fields::number(json::as_object(json::at(subject, "summary", who), who), "median_ns", who);
      return ns > 0 ? work / ns * 1e9 : 0;
    };
    out.push_back({json::get_string(r, "label", "region"), std::to_string(index), flops / bytes, attained("incumbent"),
                   attained("winner")});
  }
  return out;
}

std::string grid(const LogAxis& x, const LogAxis& y) {
  std::string out;
  for (const double tick : x.ticks())
    out += fmt::format(
        "<line class=\"grid\" x1=\"{0:.1f}\" x2=\"{0:.1f}\" y1=\"{1}\" y2=\"{2}\"/><text class=\"tick\" x=\"{0:.1f}\" "
        "y=\"{3}\" "
        "text-anchor=\"middle\">{4:g}</text>",
        x.at(tick), kTop, kHeight - kBottom, kHeight - kBottom + 16, tick);
  for (const double tick : y.ticks())
    out += fmt::format(
        "<line class=\"grid\" x1=\"{1}\" x2=\"{2}\" y1=\"{0:.1f}\" y2=\"{0:.1f}\"/><text class=\"tick\" x=\"{3}\" "
        "y=\"{4:.1f}\" "
        "text-anchor=\"end\">{5}</text>",
        y.at(tick), kLeft, kWidth - kRight, kLeft - 6, y.at(tick) + 4, rate(tick, ""));
  return out;
}

struct Ceilings {
  double flops = 0;                                       // the highest
  std::vector<std::pair<std::string, double>> compute;    // name, FLOP/s
  std::vector<std::pair<std::string, double>> bandwidth;  // name, bytes/s; fastest first
};

Ceilings ceilings(const NodeFacts& node) {
  Ceilings c;
  for (const char* name : {"f32", "f32_by_tiles"}) {
    const auto found = node.flops.find(name);
    if (found == node.flops.end() || !(found->second > 0)) continue;
    c.compute.emplace_back(name, found->second);
    c.flops = std::max(c.flops, found->second);
  }
  for (const auto& [name, figure] : node.bandwidth)
    if (figure > 0 && name.find("_read") != std::string::npos) c.bandwidth.emplace_back(name, figure);
  std::sort(c.bandwidth.begin(), c.bandwidth.end(), [](const auto& a, const auto& b) { return a.second > b.second; });
  return c;
}

std::string ceiling_lines(const Ceilings& c, const LogAxis& x, const LogAxis& y) {
  std::string out;
  for (const auto& [name, flops] : c.compute)
    out += fmt::format(
        "<line class=\"roof\" x1=\"{0}\" x2=\"{1}\" y1=\"{2:.1f}\" y2=\"{2:.1f}\"/><text class=\"note\" x=\"{3}\" "
        "y=\"{4:.1f}\" "
        "text-anchor=\"end\">{5} {6}</text>",
        kLeft, kWidth - kRight, y.at(flops), kWidth - kRight - 4, y.at(flops) - 6, escaped(name),
        rate(flops, "FLOP/s"));
  const double decade = (y.from - y.to) / std::log10(y.high / y.low);  // pixels
  double above = HUGE_VAL;                                             // bandwidth of the line above
  int crowded = 0;                                                     // lines in a row that are close to the one above
  for (const auto& [name, bandwidth] : c.bandwidth) {
    // From where the line enters the plot to where it meets the compute ceiling.
    const double begin = std::max(x.low, y.low / bandwidth);
    const double end = std::min(x.high, (c.flops > 0 ? c.flops : y.high) / bandwidth);
    if (!(begin < end)) continue;
    const double x1 = x.at(begin), y1 = y.at(begin * bandwidth), x2 = x.at(end), y2 = y.at(end * bandwidth);
    const double angle = std::atan2(y2 - y1, x2 - x1) * 180 / 3.14159265358979;
    // A name that finds the line above too close goes below its own line, and further along when that is taken as well.
    const bool close = std::log10(above / bandwidth) * decade * std::cos(std::atan2(y2 - y1, x2 - x1)) < kNameHeight;
    crowded = close ? crowded + 1 : 0;
    above = bandwidth;
    const double along = crowded > 1 ? 0.12 + 0.3 * (crowded - 1) : 0.12;
    const double tx = x1 + along * (x2 - x1), ty = y1 + along * (y2 - y1);
    out += fmt::format(
        "<line class=\"roof\" x1=\"{:.1f}\" y1=\"{:.1f}\" x2=\"{:.1f}\" y2=\"{:.1f}\"/><text class=\"note\" "
        "transform=\"translate({:.1f} {:.1f}) rotate({:.1f})\" dy=\"{}\">{} {}</text>",
        x1, y1, x2, y2, tx, ty, angle, close ? 12 : -4, escaped(name), rate(bandwidth, "B/s"));
  }
  return out;
}

// Where the number of a dot stands from the dot's centre.
struct Place {
  double dx, dy;
  const char* anchor;
  double middle;  // of the number, from the centre
};
constexpr Place kPlaces[] = {{8, 4, "start", 12}, {-8, 4, "end", -12}, {0, -9, "middle", 0}, {0, 17, "middle", 0}};

// The first place that neither a circle nor another number has; the first of all when each is taken. Takes it.
Place free_place(double cx, double cy, std::vector<std::pair<double, double>>& taken) {
  const auto centre = [&](const Place& p) { return std::pair(cx + p.middle, cy + p.dy - 4); };
  const auto is_free = [&](const Place& p) {
    const auto [px, py] = centre(p);
    return std::none_of(taken.begin(), taken.end(), [px = px, py = py](const auto& t) {
      return std::abs(t.first - px) < 10 && std::abs(t.second - py) < 11;
    });
  };
  const Place* found = std::find_if(std::begin(kPlaces), std::end(kPlaces), is_free);
  const Place place = found == std::end(kPlaces) ? kPlaces[0] : *found;
  taken.push_back(centre(place));
  return place;
}

std::string marks(const std::vector<Dot>& all, const LogAxis& x, const LogAxis& y) {
  std::string out, numbers;
  std::vector<std::pair<double, double>> taken;
  for (const Dot& d : all)
    for (const double attained : {d.incumbent, d.winner})
      if (attained > 0) taken.emplace_back(x.at(d.intensity), y.at(attained));
  for (const Dot& d : all) {
    const double cx = x.at(d.intensity);
    if (d.incumbent > 0 && d.winner > 0)
      out += fmt::format("<line class=\"gain\" x1=\"{0:.1f}\" x2=\"{0:.1f}\" y1=\"{1:.1f}\" y2=\"{2:.1f}\"/>", cx,
                         y.at(d.incumbent), y.at(d.winner));
    if (d.incumbent > 0)
      out += fmt::format(
          "<circle class=\"incumbent\" cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"4.5\"><title>{}: incumbent {}</title></circle>",
          cx, y.at(d.incumbent), escaped(d.label), rate(d.incumbent, "FLOP/s"));
    if (!(d.winner > 0)) continue;
    const double cy = y.at(d.winner);
    const Place place = free_place(cx, cy, taken);
    out += fmt::format(
        "<circle class=\"winner\" cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"5\"><title>{}: winner {}</title></circle>", cx, cy,
        escaped(d.label), rate(d.winner, "FLOP/s"));
    numbers += fmt::format("<text class=\"id\" x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"{}\">{}</text>", cx + place.dx,
                           cy + place.dy, place.anchor, d.number);
  }
  return out + numbers;  // over the circles
}

}  // namespace

std::string roofline(const json::object& report) {
  const Ceilings roof = ceilings(node_facts_from_json(json::at(report, "node", "report")));
  const std::vector<Dot> all = dots(report);
  if (all.empty()) return "<p class=\"muted\">No region has both FLOPs and bytes to plot.</p>\n";
  double low_x = HUGE_VAL, high_x = 0, low_y = HUGE_VAL, high_y = roof.flops;
  for (const Dot& d : all) {
    low_x = std::min(low_x, d.intensity);
    high_x = std::max(high_x, d.intensity);
    for (const double attained : {d.incumbent, d.winner}) {
      if (!(attained > 0)) continue;
      low_y = std::min(low_y, attained);
      high_y = std::max(high_y, attained);
    }
  }
  if (!std::isfinite(low_y) || !(high_y > 0)) return "<p class=\"muted\">No region was measured.</p>\n";
  if (roof.flops > 0 && !roof.bandwidth.empty())
    high_x = std::max(high_x, roof.flops / roof.bandwidth.back().second * 2);
  const LogAxis x{low_x / 2.5, high_x * 2.5, kLeft, kWidth - kRight};
  const LogAxis y{low_y / 2.5, high_y * 1.8, kHeight - kBottom, kTop};
  return fmt::format(
             "<figure><svg viewBox=\"0 0 {} {}\" role=\"img\" aria-label=\"Roofline: attained FLOP/s over arithmetic "
             "intensity, "
             "{} regions\">",
             kWidth, kHeight, all.size()) +
         grid(x, y) + ceiling_lines(roof, x, y) + marks(all, x, y) +
         fmt::format(
             "<text class=\"axis\" x=\"{}\" y=\"{}\" text-anchor=\"middle\">arithmetic intensity, FLOP per byte</text>"
             "<text class=\"axis\" transform=\"translate(14 {}) rotate(-90)\" "
             "text-anchor=\"middle\">FLOP/s</text></svg>"
             "<figcaption>Lines: ceilings measured on this node. <span class=\"key open\"></span> incumbent, <span "
             "class=\"key full\"></span> "
             "winner; numbers as in the table of regions.</figcaption></figure>\n",
             (kLeft + kWidth - kRight) / 2, kHeight - 10, (kTop + kHeight - kBottom) / 2);
}

}  // namespace kiln::agents::page
