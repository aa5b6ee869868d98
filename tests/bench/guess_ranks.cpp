// How well the templates' first guesses (agents/search/estimate.h) order configurations: over what cuda_kernels bench
// measured and wrote to kernels.json, without a GPU.
//
//   guess_ranks KERNELS.json [MULTIPROCESSORS]    of the GPU that measured; 132 unless given
//
// Prints a row per region and template: how many configurations, the rank correlation of guess and time (Spearman; 1 is
// the same order), the fastest time, the fastest among the eight of least guess, and what the guess of the fastest was;
// in microseconds. Then a row for each region over all its templates, which a search chooses among.
#include <fmt/core.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <map>
#include <numeric>
#include <string>
#include <utility>
#include <vector>

#include "agents/search/search.h"
#include "runtime/base/error.h"
#include "runtime/base/json.h"
#include "tests/cuda/device_kernel.h"
#include "tests/cuda/graphs.h"

using namespace kiln;

namespace {

struct Point {
  double guess = 0, time = 0;  // nanoseconds
};

std::vector<double> ranks(const std::vector<Point>& points, double Point::*by) {
  std::vector<std::size_t> order(points.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](auto a, auto b) { return points[a].*by < points[b].*by; });
  std::vector<double> out(points.size());
  for (std::size_t i = 0; i < order.size();) {  // equals share the mean of their ranks
    std::size_t end = i;
    while (end < order.size() && points[order[end]].*by == points[order[i]].*by) ++end;
    for (std::size_t k = i; k < end; ++k) out[order[k]] = static_cast<double>(i + end - 1) / 2;
    i = end;
  }
  return out;
}

double spearman(const std::vector<Point>& points) {
  const std::vector<double> a = ranks(points, &Point::guess), b = ranks(points, &Point::time);
  const double middle = (static_cast<double>(points.size()) - 1) / 2;
  double ab = 0, aa = 0, bb = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    ab += (a[i] - middle) * (b[i] - middle);
    aa += (a[i] - middle) * (a[i] - middle);
    bb += (b[i] - middle) * (b[i] - middle);
  }
  return aa > 0 && bb > 0 ? ab / std::sqrt(aa * bb) : 0;
}

void print_row(const std::string& region, const std::string& name, std::vector<Point> points) {
  std::stable_sort(points.begin(), points.end(), [](auto& a, auto& b) { return a.guess < b.guess; });
  const auto faster = [](const Point& a, const Point& b) { return a.time < b.time; };
  const auto best = std::min_element(points.begin(), points.end(), faster);
  const auto eight = points.begin() + std::min<std::ptrdiff_t>(8, std::ssize(points));
  fmt::print("{:<42} {:<18} {:5} {:6.2f} {:9.1f} {:9.1f} {:9.1f}\n", region, name, points.size(), spearman(points),
             best->time * 1e-3, std::min_element(points.begin(), eight, faster)->time * 1e-3, best->guess * 1e-3);
}

// Every configuration of a template for a region, by its tunables, with its guess.
std::map<std::map<std::string, std::int64_t>, double> guesses(const graph::Graph& g, const std::string& name,
                                                              const agents::NodeFacts& node) {
  std::vector<std::int32_t> nodes(g.nodes.size());
  std::iota(nodes.begin(), nodes.end(), 0);
  const agents::Region region = agents::cut_region(g, nodes).region;
  const std::optional<agents::Kernel> kernel = agents::lower(region);
  std::map<std::map<std::string, std::int64_t>, double> out;
  for (const store::TemplateSpec& spec : testing::device_templates()) {
    if (!kernel || spec.family + "/" + spec.name != name) continue;
    const agents::Space space =
        agents::enumerate(spec, region, *kernel, agents::figures_of(*kernel, node, 1), node);
    for (std::size_t row = 0; row < space.estimate_ns.size(); ++row)
      out[agents::variant_of(space, row).tunables] = static_cast<double>(space.estimate_ns[row]);
  }
  return out;
}

int compare(const std::string& file, std::int32_t multiprocessors) {
  std::ifstream in(file);
  if (!in) throw Error(ErrorCode::not_found, "cannot read '" + file + "': it cannot be opened");
  const std::string text{std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
  const json::value parsed = json::parse(text, file);
  std::map<std::string, std::map<std::string, std::vector<const json::object*>>> measured;  // by region and template
  for (const json::value& row : json::as_array(parsed, file)) {
    const json::object& of = json::as_object(row, file);
    measured[json::get_string(of, "region", file)][json::get_string(of, "template", file)].push_back(&of);
  }
  const agents::NodeFacts node = testing::device_node("sm_90a", multiprocessors);
  fmt::print("{:<42} {:<18} {:>5} {:>6} {:>9} {:>9} {:>9}\n", "region", "template", "of", "order", "fastest",
             "of eight", "guessed");
  for (const testing::NamedGraph& named : testing::large_graphs()) {
    std::vector<Point> all;
    for (const auto& [name, rows] : measured[named.name]) {
      const auto known = guesses(named.graph, name, node);
      std::vector<Point> points;
      for (const json::object* row : rows) {
        std::map<std::string, std::int64_t> tunables;
        for (const auto& [key, value] : json::as_object(row->at("tunables"), file))
          tunables[std::string(key)] = value.to_number<std::int64_t>();
        if (const auto found = known.find(tunables); found != known.end())
          points.push_back({found->second, json::get_double(*row, "ns", file)});
      }
      if (points.empty()) continue;  // no guess, or a space of another version
      print_row(named.name, name, points);
      all.insert(all.end(), points.begin(), points.end());
    }
    if (measured[named.name].size() > 1 && !all.empty()) print_row(named.name, "all", all);
  }
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2 || argc > 3) {
    fmt::print(stderr, "usage: guess_ranks KERNELS.json [MULTIPROCESSORS]\n");
    return 2;
  }
  try {
    return compare(argv[1], argc > 2 ? std::atoi(argv[2]) : 132);
  } catch (const std::exception& error) {
    fmt::print(stderr, "guess_ranks: {}\n", error.what());
    return 1;
  }
}
