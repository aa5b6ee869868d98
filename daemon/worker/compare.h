// A candidate's output against the oracle's: every element, no slack.
#pragma once

#include "agents/artifacts/facts.h"
#include "agents/graph/types.h"

namespace kiln::worker {

// `output` and `plain` in the model's type, `expected` in f64 (or the same integer type). All of one shape. The figures
// are those of agents/artifacts/facts.h; with an all-zero reference the errors are absolute.
[[nodiscard]] agents::ErrorFact compare_output(std::span<const std::byte> output, const graph::Tensor& plain,
                                               const graph::Tensor& expected, int threads = 1);

}  // namespace kiln::worker
