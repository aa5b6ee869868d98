// search_replay REPEATS FILE.json.gz...: replays the search over recorded spaces (Kernel Tuner cache format) and prints
// its score per space beside that of random search. The score is that of the autotuning methodology (Willemsen et al.,
// "A methodology for comparing optimization algorithms for auto-tuning"): 0 is expected random search without
// replacement, 1 is the optimum at once; the budget ends when random has covered 95 % of median to optimum. Every
// evaluation is charged its recorded compile, verification, benchmark and framework time.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <functional>
#include <map>
#include <set>

#include "runtime/base/random.h"
#include "agents/search/search.h"
#include "runtime/base/json.h"
#include "tests/bench/inflate.h"

namespace {

using namespace kiln;
using namespace kiln::agents;

constexpr int kPoints = 50;

struct Recorded {
  Space space;
  std::vector<double> ms, cost;  // per row; ms 0 when it failed
  std::vector<double> sorted;    // valid times, slowest first
};

double number_or(const json::object& o, std::string_view key, double otherwise) {
  const json::value* v = o.if_contains(key);
  return v && v->is_number() ? v->to_number<double>() : otherwise;
}

Recorded load(const char* path) {
  Recorded r;
  const json::value root = json::parse(testing::inflate(path), path, {.bytes = 1u << 30, .depth = 16});
  const json::object& o = json::as_object(root, path);
  const json::object& values = json::as_object(json::at(o, "tune_params", path), path);
  r.space.family = "recorded";
  r.space.template_name = "replay";
  for (const std::string& name : json::get_strings(o, "tune_params_keys", path)) {
    std::vector<std::int64_t> list = json::get_ints(values, name, path);
    std::sort(list.begin(), list.end());
    if (list.size() < 2) continue;
    r.space.names.push_back(name);
    r.space.values.push_back(std::move(list));
  }
  std::map<std::vector<std::uint16_t>, std::pair<double, double>> rows;
  for (const auto& member : json::as_object(json::at(o, "cache", path), path)) {
    const json::object& entry = json::as_object(member.value(), path);
    std::vector<std::uint16_t> row;
    for (std::size_t i = 0; i < r.space.names.size(); ++i) {
      const auto& list = r.space.values[i];
      const auto at = std::lower_bound(list.begin(), list.end(), json::get_int(entry, r.space.names[i], path));
      row.push_back(static_cast<std::uint16_t>(at - list.begin()));
    }
    double cost = 0;
    for (const char* part : {"compile_time", "verification_time", "benchmark_time", "framework_time"})
      cost += number_or(entry, part, 0);
    rows[row] = {number_or(entry, "time", 0), cost};
  }
  for (const auto& [row, record] : rows) {
    r.space.rows.push_back(row);
    r.ms.push_back(record.first);
    r.cost.push_back(record.second);
    if (record.first > 0) r.sorted.push_back(record.first);
  }
  std::sort(r.sorted.rbegin(), r.sorted.rend());
  return r;
}

// Value at a position from the slowest (1) to the fastest (N), interpolated.
double at_rank(const std::vector<double>& sorted, double rank) {
  const double at = std::clamp(rank - 1, 0.0, static_cast<double>(sorted.size() - 1));
  const auto below = static_cast<std::size_t>(at);
  const std::size_t above = std::min(below + 1, sorted.size() - 1);
  return sorted[below] + (at - static_cast<double>(below)) * (sorted[above] - sorted[below]);
}

struct Budget {
  double typical = 0, begin = 0, end = 0;  // cost of one draw, cost at the first and last scored point
  const std::vector<double>* sorted = nullptr;
  [[nodiscard]] double random_at(double cost) const {
    const double draws = std::max(cost / typical, 1.0), n = static_cast<double>(sorted->size());
    return at_rank(*sorted, draws * (n + 1) / (draws + 1));
  }
};

Budget budget_of(const Recorded& r) {
  std::vector<double> costs;
  for (std::size_t i = 0; i < r.ms.size(); ++i)
    if (r.ms[i] > 0) costs.push_back(r.cost[i]);
  std::nth_element(costs.begin(), costs.begin() + static_cast<std::ptrdiff_t>(costs.size() / 2), costs.end());
  Budget b;
  b.typical = costs[costs.size() / 2];
  b.sorted = &r.sorted;
  const double best = r.sorted.back(), median = r.sorted[r.sorted.size() / 2];
  for (double draws = 1; draws <= static_cast<double>(r.sorted.size()); ++draws) {
    const double covered = (median - b.random_at(draws * b.typical)) / (median - best);
    if (b.begin == 0 && covered >= 0.01) b.begin = draws * b.typical;
    b.end = draws * b.typical;
    if (covered >= 0.95) break;
  }
  return b;
}

// Best rank found (1 slowest) at each scored point.
using Search = std::function<std::vector<std::size_t>(const std::vector<Trial>&, std::uint64_t seed)>;

std::vector<double> ranks_found(const Recorded& r, const Budget& b, std::uint64_t seed, const Search& search) {
  std::vector<std::pair<double, double>> best;  // cost so far, best ms
  std::vector<Trial> trials;
  double spent = 0, fastest = r.sorted.front();
  while (spent < b.end && trials.size() < r.ms.size()) {
    for (const std::size_t row : search(trials, seed)) {
      spent += r.cost[row];
      if (r.ms[row] > 0) fastest = std::min(fastest, r.ms[row]);
      best.emplace_back(spent, fastest);
      trials.push_back(
          {variant_of(r.space, row), r.ms[row] > 0 ? Verdict::ok : Verdict::launch_failed, r.ms[row] * 1e6});
    }
  }
  std::vector<double> out;
  for (int i = 0; i < kPoints; ++i) {
    const double t = b.begin + (b.end - b.begin) * i / (kPoints - 1);
    double value = r.sorted.front();
    for (const auto& [cost, ms] : best)
      if (cost <= t) value = ms;
    out.push_back(
        static_cast<double>(std::lower_bound(r.sorted.rbegin(), r.sorted.rend(), value) == r.sorted.rend()
                                ? 1
                                : r.sorted.rend() - std::lower_bound(r.sorted.rbegin(), r.sorted.rend(), value)));
  }
  return out;
}

double score(const Recorded& r, const Budget& b, int repeats, const Search& search) {
  std::vector<double> ranks(kPoints, 0.0);
  for (int i = 0; i < repeats; ++i) {
    const std::vector<double> one = ranks_found(r, b, static_cast<std::uint64_t>(i) + 1, search);
    for (std::size_t p = 0; p < one.size(); ++p) ranks[p] += one[p] / repeats;
  }
  double sum = 0;
  for (int p = 0; p < kPoints; ++p) {
    const double random = b.random_at(b.begin + (b.end - b.begin) * p / (kPoints - 1));
    sum += (random - at_rank(r.sorted, ranks[static_cast<std::size_t>(p)])) / (random - r.sorted.back());
  }
  return sum / kPoints;
}

}  // namespace

int main(int argc, char** argv) try {
  if (argc < 3) {
    fmt::print(stderr, "usage: search_replay REPEATS FILE.json.gz...\n");
    return 2;
  }
  const int repeats = std::atoi(argv[1]);
  double total = 0, total_random = 0;
  fmt::print("{:<44} {:>6} {:>7} {:>8} {:>8}\n", "space", "rows", "budget", "random", "search");
  for (int i = 2; i < argc; ++i) {
    const Recorded r = load(argv[i]);
    const Budget b = budget_of(r);
    std::map<Variant, std::size_t> rows;
    for (std::size_t row = 0; row < r.space.rows.size(); ++row) rows[variant_of(r.space, row)] = row;
    const double chance = score(r, b, repeats, [&](const std::vector<Trial>& trials, std::uint64_t seed) {
      SplitMix64 random(seed * 1000003 + trials.size());
      return std::vector<std::size_t>{random.below(r.ms.size())};
    });
    const double found = score(r, b, repeats, [&](const std::vector<Trial>& trials, std::uint64_t seed) {
      std::vector<std::size_t> out;
      const auto batch = static_cast<std::int32_t>(std::max<std::size_t>(4, trials.size() / 15));
      for (const Proposal& p : propose({r.space}, trials, {}, {}, seed, batch)) out.push_back(rows.at(p.variant));
      return out;
    });
    total += found;
    total_random += chance;
    fmt::print("{:<44} {:>6} {:>7.0f} {:>8.3f} {:>8.3f}\n", argv[i], r.ms.size(), b.end / b.typical, chance, found);
    std::fflush(stdout);
  }
  fmt::print("{:<44} {:>6} {:>7} {:>8.3f} {:>8.3f}\n", "mean", "", "", total_random / (argc - 2), total / (argc - 2));
  return 0;
} catch (const std::exception& error) {
  fmt::print(stderr, "search_replay: {}\n", error.what());
  return 1;
}
