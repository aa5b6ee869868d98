// The daemon's questions to the oracle worker: our own code, which holds expected outputs and never loads a
// candidate.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "agents/artifacts/facts.h"
#include "daemon/worker/arena.h"
#include "daemon/worker/object_source.h"
#include "daemon/worker/process.h"
#include "runtime/base/json.h"

namespace kiln::worker {

// What outputs hold before a run: a NaN in every float type, and something that is none.
inline constexpr int kPoisons[] = {0xFF, 0x7B};

// Names one set of inputs of a graph, the poison of the outputs beside them, and where their guard pages are.
struct ArenaKey {
  std::string graph;  // blob digest
  std::string family;
  std::uint64_t seed = 0;
  int poison = kPoisons[0];
  Edge edge = Edge::end;
};

// What the oracle says of an arena after a run.
struct Judgement {
  std::string overwritten;              // what was written outside of the outputs; empty: nothing
  std::string digest, expected_digest;  // of the outputs' bytes, and of the oracle's
  OutputElement unwritten;              // one that still has its poison
  OutputElement undoubled;              // one that is not doubled exactly as the inputs were, in the family "doubled"
  std::vector<agents::ErrorFact> errors;
};

// Every call may throw Stopped (daemon/worker/attempts.h), or Error(unavailable) when the oracle itself
// fails.
class OracleClient {
 public:
  // Given an architecture, the digest of the oracle's kernels for it; called when a graph is worth a GPU.
  using KernelsFor = std::function<std::string(const std::string& architecture)>;

  OracleClient(Launch launch, const ObjectSource& objects, KernelsFor kernels_for);

  // The graph of the questions that follow, and its constants or "", by blob digest.
  void give_graph(const std::string& graph, const std::string& constants);

  // Whether the graph has a family "doubled": a right kernel's outputs are exactly powers of two of those over
  // "normal", which must be judged right before.
  [[nodiscard]] bool doubles() const { return doubles_; }

  struct Arena {
    json::value layout;  // daemon/worker/arena.h
    UniqueFd memory;     // inputs made, outputs poisoned
  };
  [[nodiscard]] Arena arena(const ArenaKey& key);
  [[nodiscard]] Judgement judge(const ArenaKey& key, UniqueFd memory);
  // What computed the expected outputs of the last judgement: "interpreter", "GPU", or "interpreter, since ...".
  [[nodiscard]] const std::string& evaluator() const { return evaluator_; }

 private:
  WorkerProcess& worker();
  [[nodiscard]] Frame ask(Frame& request);

  const Launch launch_;
  const ObjectSource& objects_;
  const KernelsFor kernels_for_;
  std::unique_ptr<WorkerProcess> worker_;
  std::string given_;  // the graph that the worker holds
  bool doubles_ = false;
  std::string evaluator_;
};

}  // namespace kiln::worker
