// Which candidates to check first, where a check takes far longer than a call.
#pragma once

#include <cstdint>
#include <vector>

#include "agents/conductor/lab.h"

namespace kiln::agents {

struct OrderLimits {
  std::size_t at_once = 2;       // subjects of one measurement
  std::int64_t deadline_ns = 0;  // on the job's clock: who was not looked at then comes last
  std::uint64_t seed = 0;
};

// The indices of `subjects`, fastest first, by samples that nobody judges and that decide nothing else: one of everyone
// while there is time, then a few of the fastest. What failed comes last too.
[[nodiscard]] std::vector<std::size_t> fastest_first(Lab& lab, const std::vector<Subject>& subjects,
                                                     const OrderLimits& limits);

}  // namespace kiln::agents
