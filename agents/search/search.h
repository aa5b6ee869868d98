// The search: which variants of a region to try next. Pure: the enumerated space, what was tried, priors, and a seed.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "agents/artifacts/facts.h"
#include "agents/artifacts/variant.h"
#include "agents/region/kernel.h"
#include "runtime/base/json_fwd.h"
#include "store/corpus/corpus.h"

namespace kiln::agents {

// The figures that template expressions may name: the region's (m, n, k, batch, length, outer, elements, ...: see
// docs/template-format.md) and the node's (cores, threads, l1d_bytes, l2_bytes, l3_bytes, vector_bytes, has_avx512f,
// ...).
using Figures = std::map<std::string, double>;
[[nodiscard]] Figures figures_of(const Kernel& kernel, const NodeFacts& node, std::int32_t threads);

// muParser over `figures` and `tunables`. Throws Error(invalid_input) naming the expression and the cause.
[[nodiscard]] double evaluate(const std::string& expression, const Figures& figures,
                              const std::map<std::string, std::int64_t>& tunables);

// Every valid configuration of one template for one region, enumerated once.
struct Space {
  std::string region, family, template_name, template_digest;
  std::vector<std::string> names;                    // tunables, in template order
  std::vector<std::vector<std::int64_t>> values;     // per tunable
  std::vector<std::vector<std::uint16_t>> rows;      // valid index tuples, lexicographic
  std::int32_t default_row = -1;                     // the template's defaults, or the nearest valid row
  std::vector<float> estimate_ns;                    // per row: a first guess (estimate.h), or empty
};
// Empty rows when the template does not accept the kernel (anchor, types, CPU features, constraints).
[[nodiscard]] Space enumerate(const store::TemplateSpec& spec, const Region& region, const Kernel& kernel,
                              const Figures& figures, const NodeFacts& node);
[[nodiscard]] Variant variant_of(const Space& space, std::size_t row);

struct Trial {
  Variant variant;
  Verdict verdict = Verdict::ok;
  double median_ns = 0;  // when ok or slower; nanojoules where a job minimizes energy: compared with each other alone
};

// A constraint that the debugger learned: configurations of this template where all of `when` hold are skipped.
struct LearnedConstraint {
  std::string family, template_name;
  std::map<std::string, std::int64_t> when;
  std::string because;
};
[[nodiscard]] bool excludes(const LearnedConstraint& c, const Variant& v);

// `why`: "default", "prior", "likely", "forest", "neighbour", "random"; "carried" from another region.
struct Proposal { Variant variant; std::string why; };

// Up to `batch` untried variants over all spaces. First the defaults of each space and the priors, then a mix of tree
// surrogate and neighbourhood of the best; never one that was tried or excluded. Empty when the spaces are exhausted.
[[nodiscard]] std::vector<Proposal> propose(const std::vector<Space>& spaces, const std::vector<Trial>& trials,
                                            const std::vector<Trial>& priors,
                                            const std::vector<LearnedConstraint>& learned, std::uint64_t seed,
                                            std::int32_t batch);
// The fastest trials of another region as configurations of these spaces, at most so many: of templates and tunables
// that both have, since a kernel that does almost the same has almost the same best.
[[nodiscard]] std::vector<Proposal> carried_over(const std::vector<Space>& spaces, std::vector<Trial> trials,
                                                 std::size_t most);
[[nodiscard]] json::object to_json(const Proposal& p);

}  // namespace kiln::agents
