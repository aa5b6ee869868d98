// The seam to the hardware. Only the conductor calls it, each call is one fact, and only a worker process implements
// what touches a device (daemon/worker). Tests replace it with recorded or invented facts.
//
// Failure: a candidate that fails gives a fact with a verdict. An Error means that the bench itself is broken.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "agents/artifacts/facts.h"
#include "agents/artifacts/objective.h"
#include "agents/artifacts/plan.h"
#include "agents/artifacts/rendered.h"
#include "agents/graph/graph.h"

namespace kiln::agents {

struct BuildRequest {
  RenderedKernel kernel;
  std::int64_t timeout_ns = 30'000'000'000;  // of the compiler's processor time; of the wall's ten times as much
};

// A plan that can be loaded: its code objects and constants are in the blob store under their digests.
struct Subject {
  std::string name;  // unique in one request
  Plan plan;
};

struct CheckRequest {
  std::string graph;      // blob digest of the graph's JSON (agents/graph/serialize.h): what the plan must compute
  std::string constants;  // blob digest of the bytes behind that graph's constants; empty when it has none
  Subject subject;
  std::vector<std::string> families;
  std::uint64_t seed = 0;  // fresh values; unknown to the candidate
  std::int64_t timeout_ns = 60'000'000'000;
};

// Inputs whose right outputs the oracle knows: one timed call, at a place that the candidate cannot foresee, is given
// these.
struct Proof {
  std::string graph, constants;  // as in CheckRequest
  std::string family;
  std::uint64_t seed = 0;
};

struct MeasureRequest {
  std::vector<Subject> subjects;  // interleaved in rotating order
  std::optional<Proof> proof;     // nothing: the outputs of timed calls are not looked at
  std::int32_t warmup = 3;
  std::int32_t samples = 5;       // per subject, each with one of every other: a round
  // Rounds end after this, but for the least that a comparison needs: a slow or busy node gives fewer samples.
  std::int64_t limit_ns = 20'000'000'000;
  Objective objective = Objective::latency;
  std::int32_t instances = 1;  // of a plan on a CPU, one thread each, that serve at once where throughput is measured
  bool cold = true;  // flush at least twice the last-level cache, or rotate buffers past it, before each sample
  bool fresh_process = false;
  bool per_launch = false;
  std::int64_t timeout_ns = 60'000'000'000;  // beyond that limit, of one subject: whoever is at work then hangs
  std::uint64_t seed = 0;
};

enum class Probing {
  recent,  // what was found some minutes ago will do
  anew,    // seconds
};

class Workbench {
 public:
  virtual ~Workbench() = default;
  virtual NodeFacts probe(Probing how) = 0;  // detection and measured ceilings
  // In parallel on the cores; results parallel to requests. Code objects go to the blob store.
  virtual std::vector<BuildFact> build(std::span<const BuildRequest> requests) = 0;
  virtual CheckFact check(const CheckRequest& request) = 0;
  virtual SampleFact measure(const MeasureRequest& request) = 0;
  // What the counter of energy of the bench's target has counted since the last call, whoever used it; 0 for the first.
  // Throws Error(unavailable) where there is none.
  virtual double joules() = 0;
};

}  // namespace kiln::agents
