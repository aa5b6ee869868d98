// Random valid graphs of many kinds: chains, diamonds, broadcasts, views of views, patterns that rewrites recognise.
#pragma once

#include <cstdint>

#include "agents/graph/graph.h"

namespace kiln::testing {

// Up to twelve steps over tensors of at most a few thousand elements. Equal seeds give equal graphs. Values keep to a
// few units, so that float32 is a fair stand-in for float64.
[[nodiscard]] graph::Graph random_graph(std::uint64_t seed);

}  // namespace kiln::testing
