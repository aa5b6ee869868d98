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
  std::vector<BuiltKernel> kernels;
};

// Chooses, renders and builds the incumbent of `g`. Throws Error(unsupported) naming the region that no template
// computes.
[[nodiscard]] Assembled incumbent_of(Lab& lab, const graph::Graph& g);

// Every template of the corpus that accepts the region's kernel, with its enumerated space; empty spaces are left out.
struct Candidates {
  std::vector<const store::TemplateSpec*> specs;  // parallel to spaces
  std::vector<Space> spaces;
  Figures figures;
};
// Whether some template of the job's corpus accepts a kernel.
[[nodiscard]] Buildable buildable(const Lab& lab);
[[nodiscard]] Candidates candidates_for(const Lab& lab, const Region& region, const Kernel& kernel);

}  // namespace kiln::agents
