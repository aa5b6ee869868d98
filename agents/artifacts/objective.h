// What a policy wants made less, and hence what one sample of a measurement is of (docs/measuring.md).
#pragma once

#include <cstdint>
#include <string_view>

namespace kiln::agents {

enum class Objective : std::uint8_t {
  latency,     // nanoseconds of one call, alone
  throughput,  // nanoseconds per result while the whole device serves
  energy,      // nanojoules per call while calls follow each other
};

[[nodiscard]] std::string_view name(Objective objective);
[[nodiscard]] Objective objective_from_name(std::string_view text);  // throws Error(invalid_input)

}  // namespace kiln::agents
