// A graph as one region, its kernel by a template, and what the oracle says of the same inputs.
#pragma once

#include <string>
#include <vector>

#include "agents/graph/graph.h"
#include "tests/writer/built_kernel.h"

namespace kiln::testing {

// Small integers, so that sums and products of a few thousand are exact in float32 in every order.
[[nodiscard]] graph::Tensor small_integers(const graph::TensorType& type, unsigned seed);

// Any value of the type, and every fourth one of its ends.
[[nodiscard]] graph::Tensor any_integers(const graph::TensorType& type, unsigned seed);

// Renders `family`/`name` for the whole graph as one region, builds it and runs it twice on `inputs`. Returns how many
// elements of all outputs differ from the oracle's by more than `tolerance` of the output's largest magnitude (0: by
// anything), or were written beyond an output's end. Fails the test when the graph is not one kernel that the template
// accepts.
[[nodiscard]] int differences(const graph::Graph& g, const std::vector<graph::Tensor>& inputs,
                              const std::string& family, const std::string& name, const Setting& setting = {},
                              double tolerance = 0);
// The same with small_integers() as inputs; integer inputs keep to graph::input_domains.
[[nodiscard]] int differences(const graph::Graph& g, const std::string& family, const std::string& name,
                              const Setting& setting = {}, double tolerance = 0);

}  // namespace kiln::testing
