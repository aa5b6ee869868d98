// Which candidates to check first, where a check takes far longer than a call, and which are not worth one.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "agents/conductor/lab.h"

namespace kiln::agents {

struct OrderLimits {
  std::size_t at_once = 2;       // subjects of one measurement, the incumbent among them
  std::int64_t deadline_ns = 0;  // on the job's clock: who was not looked at then comes last
  std::uint64_t seed = 0;
  UsualCall usual{};  // of the region: what a look may take (check_effort.h)
};

struct Look {
  std::size_t subject = 0;        // index
  Verdict verdict = Verdict::ok;  // of running it at all
  std::string evidence;
  double ns = 0;        // the median of its samples; infinite when it has none
  double relative = 0;  // the same over the incumbent's in these measurements; infinite too when that has none
};

// Looks at `subjects`, fastest first, by samples that nobody judges: one of everyone while there is time, then a few of
// the fastest. Who is refused or crashes among others is looked at again beside the incumbent alone, and counts as not
// looked at where there is no time for that. What was not looked at comes behind those that were, and what failed last.
[[nodiscard]] std::vector<Look> fastest_first(Lab& lab, const std::vector<Subject>& subjects, const Subject& incumbent,
                                              const OrderLimits& limits);

// Whether what a measurement says of one of several subjects may be by the others: they hold memory, and may write
// where they should not. Who hung was waited for, and who did what is forbidden did it by itself.
[[nodiscard]] bool may_be_of_others(Verdict verdict);

// For a CPU, where nothing that was not checked runs in a process with others: in order, each worth a check.
[[nodiscard]] std::vector<Look> without_looks(std::size_t count);

}  // namespace kiln::agents
