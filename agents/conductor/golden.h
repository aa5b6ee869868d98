// The golden sets: small cases whose results somebody else computed. Each holds the oracle to those results, and every
// template of the corpus that computes the case to the oracle, as any candidate is held.
#pragma once

#include <string>
#include <vector>

#include "agents/conductor/conductor.h"
#include "agents/evaluator/evaluator.h"
#include "agents/workbench.h"
#include "runtime/base/json_fwd.h"

namespace kiln::agents {

struct GoldenResult {
  std::string family, name, origin;
  // Of the FP64 interpreter against the golden values: largest absolute difference over all outputs, and whether the
  // case allows it.
  double oracle_error = 0;
  bool oracle_agrees = false;
  struct Kernel {
    Variant variant;  // the template's defaults for this case
    Judgement judgement;
  };
  std::vector<Kernel> kernels;
  [[nodiscard]] bool passed() const;
};
[[nodiscard]] json::object to_json(const GoldenResult& result);

// `node` needs features, cores and cache sizes. Throws Error(invalid_input) naming the case whose graph or tensors do
// not fit together; what a kernel does wrong is in the results.
[[nodiscard]] std::vector<GoldenResult> run_golden(const std::vector<store::GoldenCase>& cases,
                                                   const std::vector<store::TemplateSpec>& templates,
                                                   const NodeFacts& node, const policies::Policy& policy,
                                                   Workbench& bench, BlobStore& blobs);

}  // namespace kiln::agents
