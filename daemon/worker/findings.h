// What the oracle is asked of an arena, and what it says of one.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "agents/artifacts/facts.h"
#include "agents/graph/homogeneity.h"
#include "daemon/worker/arena.h"

namespace kiln::worker {

// A set of inputs of a graph, the poison of the outputs beside them, and where their guards are.
struct Question {
  std::string graph_digest;
  const graph::Graph& graph;
  const graph::Homogeneity* powers;  // null: the graph has no family "doubled"
  std::string family;
  std::uint64_t seed = 0;
  std::byte poison{};
  Edge edge = Edge::end;

  // The family "doubled": inputs of "normal" times two, where the graph's powers say so.
  [[nodiscard]] bool is_doubled() const { return family == "doubled" && powers != nullptr; }
  [[nodiscard]] std::string drawn_family() const { return is_doubled() ? "normal" : family; }
  // Names what of it an evaluation depends on.
  [[nodiscard]] std::string evaluation() const {
    return graph_digest + "/" + drawn_family() + "/" + std::to_string(seed);
  }
  [[nodiscard]] ArenaLayout layout() const;
};

struct Findings {
  std::int64_t guard = -1;               // offset of a guard byte that was overwritten; -1: there is none
  std::int64_t input = -1;               // one that was changed
  bool unstable = false;                 // two calls over the same inputs left other outputs
  OutputElement unwritten, undoubled;    // first of each kind
  std::string digest, expected_digest;   // of a candidate's outputs and of the oracle's
  std::vector<agents::ErrorFact> errors;
  std::string evaluator;                 // who computed the right outputs
};
// What was written outside of the outputs, for people; empty: nothing.
[[nodiscard]] std::string overwritten(const Findings& findings);
[[nodiscard]] json::object to_json(const Findings& findings);
// Throws Error(corrupt).
[[nodiscard]] Findings findings_from_json(const json::object& o);

}  // namespace kiln::worker
