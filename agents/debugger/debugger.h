// The debugger: from a failed candidate to a cause with its proof, a repaired variant, or a learned constraint.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "agents/artifacts/facts.h"
#include "agents/search/search.h"
#include "runtime/base/json_fwd.h"

namespace kiln::agents {

struct Failure {
  Variant variant;
  Verdict verdict = Verdict::wrong;
  std::optional<BuildFact> build;
  std::optional<CheckFact> check;
  std::string evidence;
  std::string source{};    // the rendered kernel; empty when it is not at hand
  std::int64_t tasks = 0;  // of its launch; 0 when that is not known
};

struct Diagnosis {
  Failure failure;
  std::string cause;   // "register spill", "missing header", "reads past a tail", "precision below fp32", "unknown"
  std::string proof;   // the diagnostic, guard hit or differing tunable that shows it
  std::string action;  // "repaired: kc 1024 -> 512", "excluded: isa=avx512", "none"
  std::optional<Variant> repaired;
  std::optional<LearnedConstraint> learned;
};
[[nodiscard]] json::object to_json(const Diagnosis& d);

// `trials` are all of the region, good ones too: the cause is sought in the difference to the nearest working variant.
// Repairs are proposed in order of evidence: the tunables whose value never worked, then any other that differs from
// the nearest working variant, then several at once (Zeller and Hildebrandt, Simplifying and Isolating Failure-Inducing
// Input, 2002). While nothing works yet and the cause is one of size, the next smaller blocking is tried. Each call
// sees what earlier repairs came to, so that repeated failures walk to the smallest change that flips the verdict.
[[nodiscard]] Diagnosis diagnose(const Failure& failure, const std::vector<Space>& spaces,
                                 const std::vector<Trial>& trials);

// Constraints that `trials` contradict are dropped.
[[nodiscard]] std::vector<LearnedConstraint> uncontradicted(std::vector<LearnedConstraint> learned,
                                                            const std::vector<Trial>& trials);

}  // namespace kiln::agents
