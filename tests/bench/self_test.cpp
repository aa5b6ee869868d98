// self_test [--comparisons N] [--rounds N] [--work STEPS] [--neighbour] [--json FILE]
//
// The instrument against itself, with the workers and the statistics of a job. Three subjects are measured interleaved:
// two with the same object, and one that does 2 % more. How often are the equal ones called different, and how often is
// the true difference found? --neighbour: another process streams through memory on the last core, in bursts. Rates are
// given for growing numbers of rounds of the same samples, with the time that they take. Ends with 1 when more than 1 %
// of equal pairs are called different by the policy's own number of rounds.
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <fmt/format.h>
#include <CLI/CLI.hpp>
#include <cstdio>

#include "agents/benchmark/benchmark.h"
#include "agents/workbench.h"
#include "policies/policy.h"
#include "runtime/base/json.h"
#include "tests/worker/object_folder.h"

using namespace kiln;
using namespace kiln::agents;

namespace {

constexpr double kMostFalse = 0.01;
constexpr int kMorePerCent = 2;

struct Options {
  int comparisons = 100;
  std::int32_t rounds = 128;
  std::int64_t work = 40'000;
  bool neighbour = false;
  std::string worker = KILN_BINARY_DIR "/bin/kiln-worker", json;
};

// Bursts of 30 ms every 50 ms over more memory than any cache holds.
[[noreturn]] void disturb() {
  cpu_set_t last;
  CPU_ZERO(&last);
  CPU_SET(static_cast<int>(::sysconf(_SC_NPROCESSORS_ONLN)) - 1, &last);
  (void)::sched_setaffinity(0, sizeof last,
                            &last);  // refused where the core is not ours; then it disturbs where it is put
  std::vector<unsigned char> memory(std::size_t{256} << 20, 1);
  const auto now_ms = [] {
    timespec t{};
    ::clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000 + t.tv_nsec / 1'000'000;
  };
  for (volatile unsigned sum = 0;;) {
    for (const auto begin = now_ms(); now_ms() - begin < 30;)
      for (std::size_t i = 0; i < memory.size(); i += 4096) sum = sum + memory[i]++;
    ::usleep(20'000);
  }
}

class Neighbour {
 public:
  explicit Neighbour(bool on) {
    if (!on) return;
    pid_ = ::fork();
    if (pid_ == 0) disturb();
    if (pid_ < 0) throw Error(ErrorCode::io, "cannot start the neighbour");
  }
  ~Neighbour() {
    if (pid_ <= 0) return;
    (void)::kill(pid_, SIGKILL);  // it may have ended
    (void)::waitpid(pid_, nullptr, 0);
  }
  Neighbour(const Neighbour&) = delete;
  Neighbour& operator=(const Neighbour&) = delete;

 private:
  pid_t pid_ = 0;
};

// A chain of dependent additions: what it takes is proportional to `steps`.
Subject subject(Workbench& bench, const std::string& name, std::int64_t steps) {
  BuildRequest request;
  request.kernel.file_name = "work.cpp";
  request.kernel.source = fmt::format(
      "#include \"runtime/kernel_abi.h\"\nextern \"C\" void work(void* const* args, const kiln_task*) {{\n"
      "  double x = 1;\n  for (long i = 0; i < {}; ++i) {{ x += 1e-9; asm volatile(\"\" : \"+x\"(x)); }}\n"
      "  *static_cast<float*>(args[1]) = static_cast<float>(x) + *static_cast<const float*>(args[0]);\n}}\n",
      steps);
  const BuildFact built = bench.build({&request, 1}).front();
  if (built.verdict != Verdict::ok) throw Error(ErrorCode::unavailable, "cannot build the instrument's own kernel");
  Plan plan;
  plan.name = name;
  plan.objects = {built.object};
  PlanLaunch launch;
  plan.buffers = {{PlanBuffer::Kind::input, 4, 0, 0}, {PlanBuffer::Kind::output, 4, 0, 0}};
  plan.inputs = {{"x", {graph::DType::f32, {1}}, 0}};
  plan.outputs = {{"y", {graph::DType::f32, {1}}, 1}};
  launch.symbol = "work";
  launch.args = {0, 1};
  plan.run = {launch};
  return {name, plan};
}

struct Rates {
  std::int32_t rounds = 0;
  int comparisons = 0, false_differences = 0, found = 0, reversed = 0;
  double sample_ns = 0;
};

std::vector<double> prefix(const std::vector<double>& all, std::int32_t count) {
  return {all.begin(), all.begin() + std::min<std::ptrdiff_t>(count, static_cast<std::ptrdiff_t>(all.size()))};
}

void count(Rates& rates, const SampleFact& fact, const policies::Policy& policy, std::uint64_t seed) {
  const auto ns = [&](std::size_t i) { return prefix(fact.subjects.at(i).ns, rates.rounds); };
  const std::vector<double> clock = prefix(fact.cycles_per_ns, rates.rounds);
  const auto verdict = [&](std::size_t incumbent, std::size_t candidate) {
    return compare(ns(incumbent), ns(candidate), clock, policy.margin, policy.confidence, seed).comparison;
  };
  const Comparison equal = verdict(0, 1), faster = verdict(2, 0);
  ++rates.comparisons;
  rates.false_differences += equal == Comparison::faster || equal == Comparison::slower ? 1 : 0;
  rates.found += faster == Comparison::faster ? 1 : 0;
  rates.reversed += faster == Comparison::slower ? 1 : 0;
  rates.sample_ns = summarize(ns(0), policy.confidence).median_ns;
}

std::vector<Rates> measure(const Options& options, const policies::Policy& policy) {
  testing::ObjectFolder objects;
  worker::BenchOptions bench_options = testing::bench_options(objects);
  bench_options.worker = options.worker;
  const std::unique_ptr<Workbench> bench = worker::make_workbench(bench_options, objects);
  MeasureRequest request;
  request.subjects = {subject(*bench, "a", options.work), subject(*bench, "the same", options.work),
                      subject(*bench, "more", options.work * (100 + kMorePerCent) / 100)};
  request.samples = options.rounds;
  request.cold = false;
  std::vector<Rates> out;
  for (std::int32_t rounds = policy.confirm_samples; rounds <= options.rounds; rounds *= 2)
    out.push_back({rounds, 0, 0, 0, 0, 0});
  const Neighbour neighbour(options.neighbour);
  for (int i = 0; i < options.comparisons; ++i) {
    request.seed = static_cast<std::uint64_t>(i);
    const SampleFact fact = bench->measure(request);
    for (const SampleFact::Subject& s : fact.subjects)
      if (s.verdict != Verdict::ok)
        throw Error(ErrorCode::unavailable, "cannot measure the instrument's own plan: " + s.evidence);
    for (Rates& rates : out) count(rates, fact, policy, request.seed);
    std::fprintf(stderr, "\r%d of %d", i + 1, options.comparisons);
  }
  std::fprintf(stderr, "\n");
  return out;
}

double share(int count, int of) { return static_cast<double>(count) / of; }

void print(const std::vector<Rates>& all, const Options& options) {
  fmt::print("{} comparisons {}\n", options.comparisons,
             options.neighbour ? "beside a noisy neighbour" : "with nothing else started by this program");
  fmt::print("{:>7} {:>12} {:>16} {:>14} {:>10} {:>14}\n", "rounds", "sample us", "equal: false %", "2 %: found %",
             "reversed", "seconds each");
  for (const Rates& r : all)
    fmt::print("{:>7} {:>12.1f} {:>16.2f} {:>14.1f} {:>10} {:>14.3f}\n", r.rounds, r.sample_ns / 1e3,
               100 * share(r.false_differences, r.comparisons), 100 * share(r.found, r.comparisons), r.reversed,
               2 * 2 * r.rounds * r.sample_ns / 1e9);  // two subjects, each run once more before its sample
}

json::array to_json(const std::vector<Rates>& all) {
  json::array out;
  for (const Rates& r : all)
    out.push_back(json::object{{"rounds", r.rounds},
                               {"comparisons", r.comparisons},
                               {"false_differences", r.false_differences},
                               {"found", r.found},
                               {"reversed", r.reversed},
                               {"sample_ns", r.sample_ns}});
  return out;
}

}  // namespace

int main(int argc, char** argv) try {
  Options options;
  CLI::App app("The instrument against itself: equal plans, and a plan that does 2 % more");
  app.add_option("--comparisons", options.comparisons)->check(CLI::PositiveNumber);
  app.add_option("--rounds", options.rounds, "samples of each subject")->check(CLI::Range(32, 100'000));
  app.add_option("--work", options.work, "dependent additions per call")->check(CLI::PositiveNumber);
  app.add_option("--worker", options.worker, "the kiln-worker that measures");
  app.add_option("--json", options.json, "file for the result");
  app.add_flag("--neighbour", options.neighbour);
  CLI11_PARSE(app, argc, argv);
  const std::vector<Rates> rates = measure(options, {});
  print(rates, options);
  if (!options.json.empty()) write_file_atomic(options.json, json::pretty(to_json(rates)));
  return share(rates.front().false_differences, rates.front().comparisons) <= kMostFalse ? 0 : 1;
} catch (const std::exception& error) {
  std::fprintf(stderr, "self_test: %s\n", error.what());
  return 1;
}
