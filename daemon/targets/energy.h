// What calls take, by a counter of energy that moves in steps. A counter is looked at between calls, and only where it
// has just moved: what is left uncertain is two looks, or two of its steps where those are shorter, in the whole span.
#pragma once

#include <cstdint>
#include <functional>

namespace kiln::targets {

struct EnergyCounter {
  std::function<std::uint64_t()> microjoules;  // since some moment; never falls
  double step_ns = 0;                          // it moves about this often
};

struct Spent {
  double ns = 0, nj = 0;  // of one call, of those that followed each other
};

// `work` makes `calls` of them and returns when they are done. They go on until the begin and the end are uncertain by
// less than 1 % of the span, the counter has moved by 100 of NVML's millijoules, and four of its steps are in it.
// `now_ns` is monotonic. Throws Error(unavailable) when the counter stands still for five seconds.
[[nodiscard]] Spent energy_of_calls(const std::function<void()>& work, std::int64_t calls, const EnergyCounter& counter,
                                    const std::function<double()>& now_ns);

}  // namespace kiln::targets
