// A graph as JSON plus one blob of constants: what the store keeps and worker frames carry. docs/graph-format.md.
#pragma once

#include <memory>
#include <string>

#include "agents/graph/graph.h"
#include "runtime/base/json_fwd.h"

namespace kiln::graph {

// Constants get 64-byte aligned offsets into one blob, in order of value id; equal bytes are stored once.
struct ConstantLayout {
  std::vector<std::int64_t> offsets;  // per value, -1 when it is no constant
  std::int64_t total_bytes = 0;
};
[[nodiscard]] ConstantLayout layout_constants(const Graph& graph);
[[nodiscard]] std::string constant_blob(const Graph& graph, const ConstantLayout& layout);
// SHA-256 of that blob, in hex, without making it.
[[nodiscard]] std::string constants_digest(const Graph& graph, const ConstantLayout& layout);

[[nodiscard]] json::object to_json(const Graph& graph);
// `blob` backs the constants and must outlive nothing: the graph shares its ownership.
[[nodiscard]] Graph graph_from_json(const json::value& v, std::shared_ptr<const void> owner,
                                    std::span<const std::byte> blob);

// The members of one node that say what it computes, without its inputs and outputs.
[[nodiscard]] json::object to_json(const Op& op);

[[nodiscard]] json::object to_json(const Expr& expr);
[[nodiscard]] Expr expr_from_json(const json::value& v);

}  // namespace kiln::graph
