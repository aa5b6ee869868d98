// What the JSON of graphs, nodes and expressions is read and written with. Private to agents/graph.
#pragma once

#include <string>
#include <vector>

#include "agents/graph/serialize.h"
#include "runtime/base/json_fwd.h"

namespace kiln::graph::serialization {

[[noreturn]] void fail(const std::string& cause);  // Error(invalid_input)

// JSON has no Inf and NaN, and a decimal that a reader rounds would be another expression: floats are 16 hex digits.
[[nodiscard]] std::string bits_text(double value);
[[nodiscard]] double bits_value(std::string_view text);

[[nodiscard]] std::int32_t get_index(const json::object& o, std::string_view key);
[[nodiscard]] std::vector<std::int32_t> get_indices(const json::object& o, std::string_view key);

[[nodiscard]] Op op_from_json(const json::object& o);

}  // namespace kiln::graph::serialization
