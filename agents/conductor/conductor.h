// The conductor: the loop. The only caller of agents, in an order that one page of code (conductor.cpp) shows.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "agents/conductor/journal.h"
#include "agents/workbench.h"
#include "policies/policy.h"
#include "runtime/base/json.h"
#include "store/corpus/corpus.h"

namespace kiln::agents {

// All that a job starts from. Equal inputs and an equal journal give equal decisions.
struct JobInput {
  std::string job;
  std::string workload_id, workload_name;
  std::string target{"cpu"};  // or "cuda": what its releases run on, and templates are for
  graph::Graph workload;
  std::string graph_blob;      // digest of the serialized graph
  std::string constants_blob;  // digest, or empty
  std::vector<std::string> rewrites;  // what import folded and recognised
  policies::Policy policy;
  std::vector<store::TemplateSpec> corpus;
  std::string corpus_digest;
  std::uint64_t seed = 1;
  // What runs now: the plan of the current release, which the tuned plan has to beat. Absent for the first job of a
  // workload, whose incumbent is the baseline.
  std::optional<Plan> incumbent;
};

// What the conductor needs of the store beside the journal: blobs by digest. Content-addressed, so replay may repeat
// it.
class BlobStore {
 public:
  virtual ~BlobStore() = default;
  virtual std::string put(std::string_view bytes) = 0;
  // Whether the blob of this digest and size is there, as if it were put: bytes that are need not be brought again.
  [[nodiscard]] virtual bool keep(const std::string& digest, std::int64_t bytes) = 0;
  [[nodiscard]] virtual std::string get(const std::string& digest) const = 0;
};

struct JobOutcome {
  Plan baseline;
  Plan tuned;
  std::vector<std::pair<std::string, std::string>> sources;  // file name, text: of the tuned plan
  bool right = false;      // the tuned plan is as right as its model's own types allow; else it is not released at all
  bool promote = false;    // the policy promotes it without an operator
  json::object decision;
  json::array summary;     // one row per region
  json::object speed_up;   // of the whole workload, in a fresh process
  json::object algebraic;  // the algebraic rewrites of the tuned plan and their own gain; empty where there were none
  json::object memory;     // bytes of both plans, and of a framework that runs op by op (agents/planner/memory.h)
  json::object objects;    // {"built", "from_cache"}: kernels compiled for this job, and taken from earlier builds
  json::object trace;      // the reporter's input
  std::vector<std::pair<std::string, std::string>> artifacts;  // export name, text
  json::array priors;      // [{region, variant, verdict, median_ns}]
};

// Runs a job from the start over `journal` (see there): live, resumed and replayed alike. `priors` is recorded as a
// fact. `clock_ns` (monotonic) is read through the journal only. Throws Error; a cancelled job throws Error(cancelled).
[[nodiscard]] JobOutcome run_job(const JobInput& input, Workbench& bench, BlobStore& blobs, Journal& journal,
                                 const std::function<json::array(const std::string& region)>& priors,
                                 const std::function<std::int64_t()>& clock_ns);

}  // namespace kiln::agents
