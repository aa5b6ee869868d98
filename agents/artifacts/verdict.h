// The closed list of what can become of a candidate. A failed candidate is data.
#pragma once

#include <cstdint>
#include <string_view>

namespace kiln::agents {

enum class Verdict : std::uint8_t {
  ok,
  invalid,        // does not satisfy its template's constraints; never built
  build_failed,
  build_timeout,
  launch_failed,  // loaded, but refused to start (missing symbol, CPU feature, workspace)
  crashed,        // the worker died by a signal while running it
  hung,           // past its deadline
  wrong,          // an element is further from the oracle than the precision class allows
  nondeterministic,
  out_of_bounds,  // wrote past a buffer, or into an input
  slower,
  implausible,    // faster than the roofline of its precision class allows
  forbidden,      // does what a kernel may not: keeps memory between calls, calls others, starts a thread
};

[[nodiscard]] std::string_view name(Verdict v);
[[nodiscard]] Verdict verdict_from_name(std::string_view text);

// The outcome of comparing two timings; only `faster` is promoted.
enum class Comparison : std::uint8_t { faster, slower, same, ambiguous };
[[nodiscard]] std::string_view name(Comparison c);
[[nodiscard]] Comparison comparison_from_name(std::string_view text);

}  // namespace kiln::agents
