// The golden sets: small cases whose results somebody else computed. Each holds the oracle to those results, and every
// template of the corpus that computes the case to the oracle, as any candidate is held.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "agents/conductor/conductor.h"
#include "agents/evaluator/evaluator.h"
#include "agents/search/search.h"
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
    Variant variant;
    Judgement judgement;
    std::string cause{}, proof{};  // the debugger's; empty when it is right
  };
  std::vector<Kernel> kernels;
  [[nodiscard]] bool passed() const;
};
[[nodiscard]] json::object to_json(const GoldenResult& result);

// What the case computes, checked; its weights are constants. Throws Error(invalid_input) naming the case.
[[nodiscard]] graph::Graph golden_graph(const store::GoldenCase& c);

// Which variants of a template compute a case.
enum class GoldenExtent : std::uint8_t {
  defaults,  // its defaults: all of the corpus in a minute
  spread,    // its whole space, or its defaults and as few more as hold every value of every tunable: kMostSpread
};
constexpr std::size_t kMostSpread = 12;  // variants of one template for one case

// Rows of the space that spread() takes, its default first. Every value of every tunable that a valid row has is in one
// of them, as far as kMostSpread rows can hold them; what is left of kMostSpread is spread evenly over the space.
[[nodiscard]] std::vector<std::size_t> spread(const Space& space);

// `node` needs features, cores and cache sizes. Throws Error(invalid_input) naming the case whose graph or tensors do
// not fit together, or the template, the line and the expression that cannot be evaluated; what a kernel does wrong is
// in the results.
[[nodiscard]] std::vector<GoldenResult> run_golden(const std::vector<store::GoldenCase>& cases,
                                                   const std::vector<store::TemplateSpec>& templates,
                                                   GoldenExtent extent, const NodeFacts& node,
                                                   const policies::Policy& policy, Workbench& bench, BlobStore& blobs);

}  // namespace kiln::agents
