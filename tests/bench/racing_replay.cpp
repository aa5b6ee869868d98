// racing_replay REPEATS FILE.json.gz...: what racing saves and what it loses, on recorded raw samples (Kernel Tuner
// cache format, `times` of every configuration). A field of configurations is drawn, as many as a region may try;
// everyone gets the race's first samples, the finalists the rest, and the least median wins. It is compared with taking
// every sample of everyone. Saved: the share of the measuring time. Lost: how much slower the race's winner is by all
// of its samples.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <numeric>

#include "agents/benchmark/benchmark.h"
#include "runtime/base/random.h"
#include "runtime/base/json.h"
#include "tests/bench/inflate.h"

namespace {

using namespace kiln;
using namespace kiln::agents;

// As in agents/conductor/tune_region.cpp and the default policy.
constexpr std::size_t kFirst = 5, kFinalists = 6, kField = 64;

using Samples = std::vector<double>;  // ns

std::vector<Samples> load(const char* path) {
  const json::value root = json::parse(testing::inflate(path), path, {.bytes = 1u << 30, .depth = 16});
  std::vector<Samples> out;
  for (const auto& member : json::as_object(json::at(json::as_object(root, path), "cache", path), path)) {
    const json::value* times = json::as_object(member.value(), path).if_contains("times");
    if (!times || !times->is_array()) continue;  // failed to build or to run
    Samples samples;
    for (const json::value& ms : times->get_array()) samples.push_back(ms.to_number<double>() * 1e6);
    if (samples.size() > kFirst) out.push_back(std::move(samples));
  }
  return out;
}

double median(const Samples& samples) { return summarize(samples, 0.95).median_ns; }
double time_of(const Samples& samples, std::size_t from, std::size_t to) {
  return std::accumulate(samples.begin() + static_cast<std::ptrdiff_t>(from),
                         samples.begin() + static_cast<std::ptrdiff_t>(to), 0.0);
}

struct Race {
  double saved = 0, lost = 0;
};

Race race(const std::vector<const Samples*>& field) {
  std::vector<SampleFact::Subject> first;
  double everything = 0, spent = 0, best = HUGE_VAL;
  for (const Samples* samples : field) {
    first.push_back({"", Verdict::ok, {}, {samples->begin(), samples->begin() + kFirst}, {}, {}});
    everything += time_of(*samples, 0, samples->size());
    spent += time_of(*samples, 0, kFirst);
    best = std::min(best, median(*samples));
  }
  double chosen = HUGE_VAL;
  for (const std::size_t i : finalists(first, {0}, kFinalists)) {  // the first stands for the default
    spent += time_of(*field[i], kFirst, field[i]->size());
    chosen = std::min(chosen, median(*field[i]));
  }
  return {1 - spent / everything, chosen / best - 1};
}

struct Figures {
  double saved = 0, lost = 0, worst = 0, right = 0;
};

Figures replay(const std::vector<Samples>& all, int repeats, std::uint64_t seed) {
  Figures f;
  SplitMix64 random(seed);
  for (int r = 0; r < repeats; ++r) {
    std::vector<const Samples*> field;
    for (std::size_t i = 0; i < std::min(kField, all.size()); ++i) field.push_back(&all[random.below(all.size())]);
    const Race one = race(field);
    f.saved += one.saved / repeats;
    f.lost += one.lost / repeats;
    f.worst = std::max(f.worst, one.lost);
    f.right += (one.lost == 0 ? 1.0 : 0.0) / repeats;
  }
  return f;
}

}  // namespace

int main(int argc, char** argv) try {
  if (argc < 3) {
    fmt::print(stderr, "usage: racing_replay REPEATS FILE.json.gz...\n");
    return 2;
  }
  const int repeats = std::atoi(argv[1]);
  if (repeats < 1) throw Error(ErrorCode::invalid_input, "cannot replay: REPEATS is a positive number");
  fmt::print("{:<60} {:>6} {:>8} {:>8} {:>8} {:>8}\n", "space", "rows", "saved %", "lost %", "worst %", "best %");
  Figures sum;
  for (int i = 2; i < argc; ++i) {
    const std::vector<Samples> all = load(argv[i]);
    const Figures f = replay(all, repeats, static_cast<std::uint64_t>(i));
    fmt::print("{:<60} {:>6} {:>8.1f} {:>8.3f} {:>8.2f} {:>8.1f}\n", argv[i], all.size(), 100 * f.saved, 100 * f.lost,
               100 * f.worst, 100 * f.right);
    sum.saved += f.saved / (argc - 2);
    sum.lost += f.lost / (argc - 2);
  }
  fmt::print("{:<60} {:>6} {:>8.1f} {:>8.3f}\n", "mean", "", 100 * sum.saved, 100 * sum.lost);
  return 0;
} catch (const std::exception& error) {
  fmt::print(stderr, "racing_replay: {}\n", error.what());
  return 1;
}
