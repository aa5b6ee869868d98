// What a region or a workload runs on today: op by op, each with the vendor's kernel where the corpus has one, else
// with the default variant of the first template that accepts it.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "agents/conductor/lab.h"

namespace kiln::agents {

// A plan with the graph it computes, ready to be checked and timed.
struct Assembled {
  Plan plan;
  Lab::StoredGraph stored;
  Baseline parts;                    // its own graph, op by op
  std::vector<BuiltKernel> kernels;  // parallel to parts.partition.regions
};
[[nodiscard]] std::string op_by_op_label(const Assembled& incumbent);  // "3 launches, op by op"
[[nodiscard]] std::string template_of(const Variant& variant);         // "matmul/packed"

// The kernels of the incumbent, parallel to the regions. Throws as incumbent_of() does.
[[nodiscard]] std::vector<RenderedKernel> incumbent_kernels(const Lab& lab, const Baseline& base);

// Chooses, renders and builds the incumbent of `g`. Throws Error(unsupported) naming the region that no template
// computes.
[[nodiscard]] Assembled incumbent_of(Lab& lab, const graph::Graph& g);

// Who asks for templates. The policy's search.families, search.vendor and search.forbidden hold candidates; the
// incumbent runs today whatever they say.
enum class Purpose : std::uint8_t { incumbent, candidate };

// Every template of the corpus that accepts the region's kernel, with its enumerated space; empty spaces are left out.
// Where the policy allows candidates none, the incumbent's own kernel is the only one: it may stay.
struct Candidates {
  std::vector<const store::TemplateSpec*> specs;  // parallel to spaces
  std::vector<Space> spaces;
  Figures figures;
  NodeFacts node;  // without the instruction sets that the policy forbids

  // Of a variant's template. Throws Error(internal) when it is none of these.
  [[nodiscard]] const store::TemplateSpec& spec_of(const Variant& variant) const;
};
// Which of them the incumbent runs by its defaults: a vendor's where there is one, else the first, unless by their
// first guesses (estimate.h) another takes less than a quarter of its time. Not for none.
[[nodiscard]] std::size_t reference_of(const Candidates& candidates);
// Whether some template of the job's corpus accepts a kernel.
[[nodiscard]] Buildable buildable(const Lab& lab, Purpose purpose);
[[nodiscard]] Candidates candidates_for(const Lab& lab, const Region& region, const Kernel& kernel, Purpose purpose);
// The same with those templates first that take least by their own cost models; of those within a factor of two, that
// won most. A vendor's stand beside the first. `wins`: by "matmul/packed".
[[nodiscard]] Candidates likely_first(Candidates found, const std::map<std::string, std::int32_t>& wins);
// The defaults of the first `most` templates of a region, likely_first, as far as the policy lets them be built.
[[nodiscard]] std::vector<RenderedKernel> first_kernels(const Lab& lab, const Region& region,
                                                        const std::map<std::string, std::int32_t>& wins,
                                                        std::size_t most);

}  // namespace kiln::agents
