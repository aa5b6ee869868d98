// The search for the best kernel of one region: propose, render, build, check, judge, measure, diagnose, until the
// budget is spent, the floor is near, or the space is exhausted; then a race of the best.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "agents/benchmark/benchmark.h"
#include "agents/conductor/incumbent.h"
#include "agents/debugger/debugger.h"
#include "agents/evaluator/evaluator.h"
#include "agents/profiler/profiler.h"

namespace kiln::agents {

// One candidate's story, in the order in which it was tried.
struct CandidateRecord {
  Variant variant;
  std::string why;  // "default", "prior", "forest", "neighbour", "random", "repaired", "carried"
  Verdict verdict = Verdict::invalid;
  std::string reason;
  double median_ns = 0;
  double cost = 0;  // the median of what the objective measures, nanoseconds or nanojoules
  std::int64_t build_ns = 0;
  std::string source;  // blob
};

// What all occurrences of a region take in a call of the whole workload, by the incumbent's kernels and by its winner:
// launches of two whole plans in turns.
struct InPlace { double incumbent_ns = 0, winner_ns = 0; SpeedUp speed_up; };

// Another right finalist of a region's race.
struct Alternative {
  BuiltKernel kernel;
  Summary time;
  SpeedUp speed_up, over_winner;  // of it over the incumbent's kernels, and over the winner
  Judgement judgement;
};

struct InParts;

struct RegionOutcome {
  std::string region, label;
  std::string incumbent_label;
  Summary incumbent;
  std::vector<CandidateRecord> candidates;
  std::vector<Diagnosis> diagnoses;
  std::vector<LearnedConstraint> learned;
  std::optional<BuiltKernel> winner;
  std::vector<Alternative> alternatives;  // fastest first
  Summary winner_time;
  SpeedUp speed_up;  // in what the objective measures
  RegionChoice choice;  // between the winner and the incumbent's kernels
  std::optional<InPlace> in_place;
  Judgement judgement;  // of the winner
  Bottleneck bottleneck;
  std::string stopped_because;
  std::int64_t candidate_ns = 0;  // what one took on average, build and check
  std::shared_ptr<const InParts> in_parts;  // null where the planner knows of no parts, or it was not searched
};

// A region as several kernels, where bytes do not tell whether one is faster (planner's in_parts): its parts are
// regions of their own, searched like others, and all of them together are timed beside the region's winner.
struct InParts {
  std::vector<RegionOutcome> regions;
  std::vector<RegionProfile> profiles;  // of the regions; occurrences are those in one call of the whole region
  bool measured = false;                // else `reason` says why it was not tried, or what was wrong with it
  Assembled assembled;                  // when measured: each part by its winner or its incumbent's kernels
  Judgement judgement;
  Summary time;
  SpeedUp speed_up, over_winner;  // of it over the incumbent's kernels, and over the winner where there is one
  std::string reason;
};

struct RegionTask {
  const Region* region = nullptr;
  const RegionProfile* profile = nullptr;
  graph::Graph standalone;
  Assembled incumbent;
  double incumbent_ns = 0;  // of a call
  std::int64_t begin_ns = 0, deadline_ns = 0;  // on the recorded clock
  // What one candidate of the regions before took, build and check; 0: unknown. A round is no larger than there is
  // time for.
  std::int64_t candidate_ns = 0;
  bool each_template = true;  // a round has at least one of every template, whatever the time
  // Of templates ("matmul/packed"), in the regions before: those are tried first that won there (likely_first).
  std::map<std::string, std::int32_t> wins{};
  std::vector<Trial> hints{};  // of another region that is almost this one: the best of them are tried first
};

using RegionProgress = std::function<void(const RegionOutcome&)>;
[[nodiscard]] RegionOutcome tune_region(Lab& lab, const RegionTask& task, const RegionProgress& progress);

}  // namespace kiln::agents
