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
#include "daemon/worker/findings.h"
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

// Every call may throw Stopped (daemon/worker/attempts.h), or Error(unavailable) when the oracle itself fails.
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

  // Of one call, or of several that stand one behind the other in memory of the GPU.
  struct Arena {
    json::value layout;  // daemon/worker/arena.h
    json::value shared;  // of the GPU's memory {id, bytes, arenas}; null: `memory` is a memory file, for every call
    UniqueFd memory;     // inputs made, outputs poisoned
  };
  // For so many calls from the same state.
  [[nodiscard]] Arena arena(const ArenaKey& key, int calls);
  // Throws Stopped when another arena must be asked for.
  [[nodiscard]] Findings judge(const ArenaKey& key, Arena arena);
  // The process that runs candidates cannot have the GPU's memory of this one: arenas are memory files from now on.
  void do_not_share(const std::string& why) { unshared_ = why; }
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
  int unjudged_ = 0;      // arenas of the GPU's memory
  std::string unshared_;  // why none are made; empty: they may be
  std::string evaluator_;
};

}  // namespace kiln::worker
