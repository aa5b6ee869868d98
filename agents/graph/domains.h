// The ranges of a graph's integer inputs, beside input_domains (graph.h).
#pragma once

#include <optional>
#include <vector>

#include "agents/graph/graph.h"

namespace kiln::graph {

// The same of inputs that stand for a model's constants: rows of a recurrent layer have all of its steps, as exporters
// write them, where input_domains has them end at any step.
[[nodiscard]] std::vector<std::optional<Domain>> weight_domains(const Graph& graph);

}  // namespace kiln::graph
