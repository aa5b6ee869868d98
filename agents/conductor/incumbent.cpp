#include "agents/conductor/incumbent.h"

#include <algorithm>

#include "agents/writer/writer.h"
#include "runtime/base/error.h"

namespace kiln::agents {
namespace {

RenderedKernel reference_kernel(const Lab& lab, const Region& region) {
  const std::optional<Kernel> kernel = lower(region);
  if (!kernel)
    throw Error(ErrorCode::unsupported, "cannot run '" + region.label + "': it is not one kernel of any family");
  const Candidates candidates = candidates_for(lab, region, *kernel);
  if (candidates.spaces.empty())
    throw Error(ErrorCode::unsupported, "cannot run '" + region.label + "': no template of the corpus accepts it");
  std::size_t chosen = 0;
  for (std::size_t i = 0; i < candidates.specs.size(); ++i) {
    if (candidates.specs[i]->vendor) {
      chosen = i;
      break;
    }
  }
  const Space& space = candidates.spaces[chosen];
  const auto row = static_cast<std::size_t>(std::max(0, space.default_row));
  return render(*candidates.specs[chosen], region, *kernel, variant_of(space, row), candidates.figures, lab.node());
}

}  // namespace

Buildable buildable(const Lab& lab) {
  return [&corpus = lab.input().corpus, target = lab.target()](const Kernel& kernel) {
    return std::any_of(corpus.begin(), corpus.end(),
                       [&](const store::TemplateSpec& spec) { return spec.target == target && accepts(spec, kernel); });
  };
}

Candidates candidates_for(const Lab& lab, const Region& region, const Kernel& kernel) {
  Candidates out;
  out.figures = figures_of(kernel, lab.node(), lab.threads());
  for (const store::TemplateSpec& spec : lab.input().corpus) {
    if (spec.target != lab.target() || !accepts(spec, kernel)) continue;
    Space space = enumerate(spec, region, kernel, out.figures, lab.node());
    if (space.rows.empty()) continue;
    out.specs.push_back(&spec);
    out.spaces.push_back(std::move(space));
  }
  return out;
}

Assembled incumbent_of(Lab& lab, const graph::Graph& g) {
  const Baseline base = baseline(g, buildable(lab));
  std::vector<RenderedKernel> rendered;
  for (const Region& region : base.partition.regions) rendered.push_back(reference_kernel(lab, region));
  Assembled out;
  for (BuildOutcome& built : lab.build(rendered)) {
    if (!built.ok()) {
      const std::string why = built.fact.diagnostics.empty() ? std::string(name(built.fact.verdict))
                                                             : built.fact.diagnostics.front().message;
      throw Error(ErrorCode::unavailable,
                  "cannot build the incumbent kernel " + to_string(built.kernel.variant) + ": " + why, "kctl doctor");
    }
    out.kernels.push_back({std::move(built.kernel), built.fact.object});
  }
  const Lab::StoredGraph constants = lab.store_graph(base.graph);
  out.plan = assemble(base.graph, base.partition, out.kernels, constants.constants, lab.threads());
  out.stored = lab.store_graph(g);
  return out;
}

}  // namespace kiln::agents
