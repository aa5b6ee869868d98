// Order statistics.
#pragma once

#include <cstddef>
#include <utility>
#include <vector>

namespace kiln::agents {

// Linear interpolation between order statistics, q in [0, 1] (Hyndman and Fan, type 7). `sorted` ascends.
[[nodiscard]] double quantile(const std::vector<double>& sorted, double q);

// Positions (from 0) of the order statistics that hold the median with at least this confidence whatever the
// distribution, by the exact binomial tail; the whole range when there are too few samples for it.
[[nodiscard]] std::pair<std::size_t, std::size_t> median_interval(std::size_t count, double confidence);

}  // namespace kiln::agents
