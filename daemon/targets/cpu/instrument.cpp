#include "daemon/targets/cpu/instrument.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <vector>

#include "runtime/base/error.h"
#include "runtime/kiln.h"

namespace kiln::targets::cpu {
namespace {

using Clock = std::chrono::steady_clock;

constexpr int trials = 40;
constexpr std::size_t pairs = 21;

void require(kiln_status status) {
  if (status != KILN_OK)
    throw Error(ErrorCode::unavailable, std::string("cannot run the instrument's own plan: ") + kiln_last_error());
}

// One loaded plan without inputs and outputs.
class Subject {
 public:
  Subject(const std::filesystem::path& release, int threads) {
    kiln_options options = kiln_options_default();
    options.threads = threads;
    require(kiln_open(release.c_str(), &options, &release_));
    if (const kiln_status status = kiln_session_create(release_, &session_); status != KILN_OK) {
      kiln_close(release_);
      require(status);
    }
  }
  ~Subject() {
    kiln_session_destroy(session_);
    kiln_close(release_);
  }
  Subject(const Subject&) = delete;
  Subject& operator=(const Subject&) = delete;

  double sample() {
    static const void* const no_inputs[1] = {nullptr};
    void* no_outputs[1] = {nullptr};
    const auto begin = Clock::now();
    require(kiln_run(session_, no_inputs, no_outputs));
    return std::chrono::duration<double, std::nano>(Clock::now() - begin).count();
  }

 private:
  kiln_release* release_ = nullptr;
  kiln_session* session_ = nullptr;
};

}  // namespace

double launch_latency_ns(const std::filesystem::path& release, int threads) {
  Subject subject(release, threads);
  std::vector<double> ns;
  for (int i = 0; i < 500; ++i) (void)subject.sample();
  for (int i = 0; i < 2001; ++i) ns.push_back(subject.sample());
  std::nth_element(ns.begin(), ns.begin() + 1000, ns.end());
  return ns[1000];
}

bool leaves_out_zero(std::span<const double> differences) {
  if (differences.size() != pairs) throw Error(ErrorCode::internal, "cannot judge differences: 21 are needed");
  std::array<double, pairs> sorted{};
  std::copy(differences.begin(), differences.end(), sorted.begin());
  std::sort(sorted.begin(), sorted.end());
  return sorted[5] > 0 || sorted[15] < 0;
}

double false_difference_rate(const std::filesystem::path& release, int threads) {
  Subject a(release, threads), b(release, threads);
  for (int i = 0; i < 20; ++i) (void)(a.sample() + b.sample());
  int seen = 0;
  for (int t = 0; t < trials; ++t) {
    std::array<double, pairs> differences{};
    for (std::size_t p = 0; p < pairs; ++p) {
      // Turns alternate, as those of measured subjects do: who goes first has the colder caches.
      const bool a_first = p % 2 == 0;
      const double first = a_first ? a.sample() : b.sample();
      const double second = a_first ? b.sample() : a.sample();
      differences[p] = a_first ? first - second : second - first;
    }
    if (leaves_out_zero(differences)) ++seen;
  }
  return static_cast<double>(seen) / trials;
}

}  // namespace kiln::targets::cpu
