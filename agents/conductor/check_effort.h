// How much is checked of a candidate, by what the oracle costs.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "agents/artifacts/facts.h"

namespace kiln::agents {

// Input families to check with: all where the oracle is cheap, fewer for heavy graphs and for more than 100 MB of
// tensors, never fewer than two.
[[nodiscard]] std::vector<std::string> check_families(double flops, double bytes);

// The least that is checked of anything.
[[nodiscard]] std::vector<std::string> fewest_families();

// A region's call as its incumbent makes it.
struct UsualCall {
  double ns = 0;
  double bytes = 0;  // of inputs and outputs
};
// When one run of a candidate on a GPU counts as hung, where an endless loop holds the device up for all others: 3 s,
// in which a new worker makes its context; a thousand times the incumbent's call; and copies of its tensors to and fro
// at 1 GB/s.
[[nodiscard]] std::int64_t device_deadline_ns(const UsualCall& usual);

// How often more what may win is checked with fresh values: a mistake that few inputs show passes one round. At most
// eight; fewer where the oracle would need more than some seconds or 512 MiB for them.
[[nodiscard]] std::int32_t confirming_rounds(double flops, double bytes);

// How many subjects one interleaved measurement of a region that moves so many bytes may have: 2 to 12.
[[nodiscard]] std::size_t subjects_at_once(const NodeFacts& node, double bytes);

}  // namespace kiln::agents
