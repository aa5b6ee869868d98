// The instrument measured with itself: the cost of an empty launch, and how often it sees a difference where none is.
#pragma once

#include <filesystem>
#include <span>

namespace kiln::targets::cpu {

// Median wall time in nanoseconds of one kiln_run over one launch of `threads` empty tasks, threads awake. `release` is
// a release directory whose plan has no input and no output.
[[nodiscard]] double launch_latency_ns(const std::filesystem::path& release, int threads);

// The same plan as two subjects, sampled in turns, 40 trials of 21 pairs: the share of trials whose 97 % interval of
// the median difference leaves out zero. An honest instrument gives about 0.03.
[[nodiscard]] double false_difference_rate(const std::filesystem::path& release, int threads);

// Whether the distribution-free interval of the median of `differences` leaves out zero: order statistics 6 and 16 of
// 21, coverage 97.3 % (binomial, p = 1/2: 1 - 2 P[B(21, 1/2) <= 5]). Needs exactly 21 values.
[[nodiscard]] bool leaves_out_zero(std::span<const double> differences);

}  // namespace kiln::targets::cpu
