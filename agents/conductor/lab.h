// The bench as the conductor sees it: every call goes through the journal, so that it happens once and is replayed
// after. Not thread-safe; one per job run.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "agents/conductor/check_effort.h"
#include "agents/conductor/conductor.h"
#include "agents/planner/planner.h"
#include "agents/search/search.h"

namespace kiln::agents {

// Distinct kernels that a job asked for: compiled for it, failed builds among them, or built before it.
struct ObjectCounts { std::int64_t built = 0, from_cache = 0; };

// A kernel that was sent to the compiler.
struct BuildOutcome {
  RenderedKernel kernel;
  BuildFact fact;
  [[nodiscard]] bool ok() const { return fact.verdict == Verdict::ok; }
};

class Lab {
 public:
  Lab(const JobInput& input, Workbench& bench, BlobStore& blobs, Journal& journal,
      std::function<json::array(const std::string&)> priors, std::function<std::int64_t()> clock_ns);

  // Takes the node's facts; everything below needs them. Throws Error(unsupported) when the policy counts energy and
  // the node has no counter of it.
  void probe();
  // In place of probe(), where the device is elsewhere: its facts as they were told.
  void describe(const NodeFacts& node);
  // Measures the node again and keeps the better of each ceiling: what was measured beside other load is too low. At
  // most kMostProbes times in a job; false when nothing rose.
  [[nodiscard]] bool raise_ceilings();
  [[nodiscard]] const NodeFacts& node() const { return node_; }
  [[nodiscard]] std::int32_t threads() const { return threads_; }
  [[nodiscard]] const JobInput& input() const { return input_; }
  [[nodiscard]] Journal& journal() { return journal_; }
  [[nodiscard]] BlobStore& blobs() { return blobs_; }

  // Monotonic nanoseconds, recorded. Also where a cancelled job stops: throws Error(cancelled).
  [[nodiscard]] std::int64_t now(std::string_view at);

  // Parallel to `kernels`. Equal sources are compiled once per job.
  [[nodiscard]] std::vector<BuildOutcome> build(const std::vector<RenderedKernel>& kernels);
  // Of all builds so far.
  [[nodiscard]] ObjectCounts objects() const;

  // A graph and its constants, as the worker's oracle and libkiln read them.
  struct StoredGraph { std::string graph; std::string constants; };
  [[nodiscard]] StoredGraph store_graph(const graph::Graph& g);
  // Its constants alone: the digest of their blob, empty without any.
  [[nodiscard]] std::string store_constants(const graph::Graph& g);

  // `usual`: what is known of such a call; the deadline is the policy's without it (check_effort.h).
  [[nodiscard]] CheckFact check(const StoredGraph& graph, const Subject& subject,
                                const std::vector<std::string>& families, std::uint64_t seed,
                                const std::optional<UsualCall>& usual = std::nullopt);
  // Joules that the node took since the job began, recorded; 0 where the policy has no budget of them.
  [[nodiscard]] double joules();

  // What the subjects compute: it decides whether they are measured with cold caches, one call at a time even where the
  // policy's objective is of calls that follow each other.
  enum class Extent : std::uint8_t { region, workload };
  // What a sample of it is of.
  [[nodiscard]] Objective objective(Extent extent) const;
  // Whose samples are of a counter that moves some ten times a second: each takes half a second of calls.
  [[nodiscard]] bool counts_slowly() const;
  [[nodiscard]] SampleFact measure(const std::vector<Subject>& subjects, Extent extent, std::int32_t samples,
                                   bool fresh_process, std::uint64_t seed,
                                   const std::optional<Proof>& proof = std::nullopt);
  // Times of a region's candidates before they are checked, too few for a limit of time to cut them. `usual`: each
  // subject has the deadline of a check.
  [[nodiscard]] SampleFact look(const std::vector<Subject>& subjects, std::int32_t samples, std::uint64_t seed,
                                const std::optional<UsualCall>& usual);
  // Of whole plans on a CPU, with the time of each launch (SampleFact::Subject::launch_ns).
  [[nodiscard]] SampleFact measure_launches(const std::vector<Subject>& subjects, std::int32_t samples,
                                            std::uint64_t seed);
  [[nodiscard]] std::vector<Trial> priors(const std::string& region);

 private:
  [[nodiscard]] bool cold(Extent extent) const;
  // What a measurement is known by on record, whatever its kind.
  [[nodiscard]] json::object key_of(const std::vector<Subject>& subjects, Extent extent, std::int32_t samples,
                                    std::uint64_t seed, Objective of) const;
  [[nodiscard]] MeasureRequest request_for(const std::vector<Subject>& subjects, Extent extent, std::int32_t samples,
                                           std::uint64_t seed) const;

  const JobInput& input_;
  Workbench& bench_;
  BlobStore& blobs_;
  Journal& journal_;
  std::function<json::array(const std::string&)> priors_;
  std::function<std::int64_t()> clock_ns_;
  NodeFacts node_;
  std::int32_t cores_ = 1;    // of a CPU that a plan, or its instances together, may use
  std::int32_t threads_ = 1;  // of a plan
  static constexpr std::int32_t kMostProbes = 4;  // seconds each
  std::int32_t probes_ = 1;
  double joules_ = 0;
  std::int64_t weight_bytes_ = 0;           // of the workload's distinct constants
  std::map<std::string, BuildFact> built_;  // by digest of source, flags and libraries
  std::map<std::string, std::string> constants_;  // the digest of a blob, by those of what lies in it
};

}  // namespace kiln::agents
