#include "daemon/targets/energy.h"

#include <algorithm>

#include "runtime/base/error.h"

namespace kiln::targets {
namespace {

constexpr double kUncertain = 0.01;            // of the span, both ends together
constexpr double kLeastSteps = 4;              // of the counter, which are not all alike
constexpr std::uint64_t kLeastUj = 100'000;    // 100 of NVML's units, and a thousand of RAPL's
constexpr double kStandstillNs = 5e9;

}  // namespace

Spent energy_of_calls(const std::function<void()>& work, std::int64_t calls, const EnergyCounter& counter,
                      const std::function<double()>& now_ns) {
  std::int64_t done = 0;
  double looked_ns = now_ns(), longest_ns = 0;
  std::uint64_t seen = counter.microjoules();
  // Works until the counter has moved.
  const auto to_next_step = [&] {
    for (const double begin_ns = looked_ns;;) {
      work();
      done += calls;
      const std::uint64_t value = counter.microjoules();
      const double now = now_ns();
      longest_ns = std::max(longest_ns, now - looked_ns);
      looked_ns = now;
      if (value != seen) {
        seen = value;
        return;
      }
      if (looked_ns - begin_ns > kStandstillNs)
        throw Error(ErrorCode::unavailable, "cannot measure energy: the counter has not moved for 5 s", "kctl doctor");
    }
  };
  to_next_step();
  const double begin_ns = looked_ns;
  const std::uint64_t begin_uj = seen;
  done = 0;
  longest_ns = 0;
  for (;;) {
    to_next_step();
    const double span_ns = looked_ns - begin_ns;
    const double uncertain_ns = 2 * std::min(longest_ns, counter.step_ns);
    const std::uint64_t spent_uj = seen - begin_uj;
    if (uncertain_ns > kUncertain * span_ns || span_ns < kLeastSteps * counter.step_ns || spent_uj < kLeastUj) continue;
    return {span_ns / static_cast<double>(done), 1e3 * static_cast<double>(spent_uj) / static_cast<double>(done)};
  }
}

}  // namespace kiln::targets
