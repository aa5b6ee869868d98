// What the conductor kept of a job, as the reporter's input, and the artifacts that `kctl export` writes.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "agents/conductor/tune_region.h"
#include "runtime/base/json_fwd.h"

namespace kiln::agents {

struct PhaseSpan { std::string phase; std::int64_t begin_ns = 0, end_ns = 0; std::string detail; };

// The whole workload: what runs today against tuned.
struct WholeOutcome {
  Judgement incumbent_judgement, judgement;
  Summary incumbent, tuned;
  SpeedUp search_process, fresh_process;
  Decision decision;
};

// What the rewrites that the policy allows (integers, algebraic) made of the workload before it was partitioned, and
// what they gained by themselves: the baseline of the workload as it was written against that of the rewritten one.
struct AlgebraOutcome {
  std::vector<std::string> rewrites;  // "RULE: node"; empty where there were none, and nothing was measured
  SpeedUp speed_up;
};
[[nodiscard]] json::object to_json(const AlgebraOutcome& algebra);

// One plan of several that were timed whole, in turns with what runs today.
struct PlanTrial {
  std::string name;          // "alone", "in place", "sure", "one kernel", "in parts", "without matmul/amx",
                             // "less memory": what decided its regions
  std::size_t winners = 0;   // regions that run their winner, or in parts; the others keep the incumbent's kernels
  SpeedUp speed_up;          // over what runs today
  std::int64_t working_bytes = 0;  // intermediate results and scratch (agents/planner/memory.h)
};

// Which of them became the tuned plan.
struct Composition {
  std::vector<PlanTrial> trials;
  std::string chosen;  // a trial's name; empty where there was nothing to choose from
};
[[nodiscard]] json::object to_json(const Composition& composition);

struct Trace {
  AlgebraOutcome algebra;
  ProfileReport profile;
  TuningPlan plan;
  std::vector<RegionOutcome> regions;  // in the order of the plan
  Composition composition;
  WholeOutcome whole;
  std::vector<PhaseSpan> timeline;
  ObjectCounts objects;
};
[[nodiscard]] json::object to_json(const ObjectCounts& objects);

[[nodiscard]] json::object to_json(const Trace& trace, const JobInput& input);

// One row per region, for tables: {region, label, occurrences, incumbent_ns, winner_ns, speed_up, low, high, error,
// verdict, variant}.
[[nodiscard]] json::array summary_rows(const Trace& trace);

// Export name -> text.
[[nodiscard]] std::vector<std::pair<std::string, std::string>> artifacts(const Trace& trace);

}  // namespace kiln::agents
