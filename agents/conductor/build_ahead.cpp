#include "agents/conductor/build_ahead.h"

#include <algorithm>
#include <iterator>
#include <set>

#include "agents/conductor/alone.h"
#include "agents/conductor/first_steps.h"
#include "agents/writer/constructs.h"
#include "agents/writer/writer.h"
#include "runtime/base/error.h"

namespace kiln::agents {
namespace {

// Kernels of one fact: an operator sees progress, and a stop takes effect, between two of them.
constexpr std::size_t kAtOnce = 32;

// What a job's search of `region` proposes in its first round, rendered; one that cannot be, or that the policy
// forbids, is no work for a compiler there either.
std::vector<RenderedKernel> first_round(Lab& lab, const Region& region, std::int32_t candidates,
                                        std::int64_t& skipped) {
  const graph::Graph alone = standalone(region, lab.input().seed);
  const Partition whole = whole_region(alone, region);
  const Kernel kernel = one_kernel(whole.regions.front());
  const Candidates from = candidates_for(lab, whole.regions.front(), kernel, Purpose::candidate);
  std::vector<RenderedKernel> out;
  for (const Proposal& proposal : propose(from.spaces, {}, lab.priors(region.key), {},
                                          seed_for(lab.input(), region.key, "round 0"), candidates)) {
    try {
      RenderedKernel rendered = render(from.spec_of(proposal.variant), whole.regions.front(), kernel, proposal.variant,
                                       from.figures, from.node);
      if (forbidden_construct(rendered, lab.input().policy.forbidden)) ++skipped;
      else out.push_back(std::move(rendered));
    } catch (const Error&) {  // the job calls it invalid
      ++skipped;
    }
  }
  return out;
}

struct Work {
  std::vector<RenderedKernel> kernels;
  std::size_t regions = 0;
  std::int64_t skipped = 0;
};

// In the order in which a job asks for them: its baseline, the incumbent of each region, then the candidates, and the
// same of the parts that regions have.
Work work_of(Lab& lab, std::int32_t candidates) {
  Work work;
  const auto add = [&](std::vector<RenderedKernel> kernels) {
    std::move(kernels.begin(), kernels.end(), std::back_inserter(work.kernels));
  };
  const auto add_incumbent = [&](const graph::Graph& g) {
    add(incumbent_kernels(lab, baseline(g, buildable(lab, Purpose::incumbent))));
  };
  add_incumbent(lab.input().workload);
  AlgebraOutcome algebra;
  const graph::Graph workload = rewritten(lab, algebra);
  if (!algebra.rewrites.empty()) add_incumbent(workload);
  const Buildable accepted = buildable(lab, Purpose::candidate);
  const Partition partition = partition_fused(workload, accepted);
  work.regions = partition.regions.size();
  std::vector<Region> parts;
  for (const Region& region : partition.regions) {
    const graph::Graph alone = standalone(region, lab.input().seed);
    add_incumbent(alone);
    if (std::optional<Baseline> apart = in_parts(region, alone, accepted))
      std::move(apart->partition.regions.begin(), apart->partition.regions.end(), std::back_inserter(parts));
  }
  for (const Region& region : partition.regions) add(first_round(lab, region, candidates, work.skipped));
  for (const Region& part : parts) {
    add_incumbent(standalone(part, lab.input().seed));
    add(first_round(lab, part, candidates, work.skipped));
  }
  return work;
}

}  // namespace

AheadOutcome build_ahead(const JobInput& input, const AheadRequest& request, Workbench& bench, BlobStore& blobs,
                         Journal& journal, const std::function<json::array(const std::string& region)>& priors,
                         const std::function<std::int64_t()>& clock_ns) {
  if (!request.node.gpu)
    throw Error(ErrorCode::invalid_input, "cannot build ahead: the description of the node has no GPU",
                "kctl node --json on the GPU's node, after a job for it");
  Lab lab(input, bench, blobs, journal, priors, clock_ns);
  require_computable(lab);
  lab.describe(request.node);
  journal.progress({"plan", 0.0, json::object{{"detail", "drawing candidates"}}});
  const std::int32_t usual = first_round_size(lab.node(), lab.input().policy);
  const Work work = work_of(lab, request.candidates > 0 ? request.candidates : usual);

  AheadOutcome out;
  std::set<std::string> recipes, failed;  // by recipe and by source: a kernel may stand in the work more than once
  for (std::size_t begin = 0; begin < work.kernels.size(); begin += kAtOnce) {
    (void)lab.now("build");  // also where a cancelled job stops
    const std::size_t end = std::min(work.kernels.size(), begin + kAtOnce);
    const double done = static_cast<double>(begin) / static_cast<double>(work.kernels.size());
    journal.progress({"build", 0.05 + 0.9 * done,
                      json::object{{"detail", std::to_string(begin) + " of " + std::to_string(work.kernels.size()) +
                                                  " kernels"},
                                   {"failed", failed.size()}}});
    const std::vector<RenderedKernel> piece(work.kernels.begin() + static_cast<std::ptrdiff_t>(begin),
                                            work.kernels.begin() + static_cast<std::ptrdiff_t>(end));
    for (BuildOutcome& built : lab.build(piece)) {
      if (!built.ok()) failed.insert(built.kernel.source);
      else if (!built.fact.recipe.empty() && recipes.insert(built.fact.recipe).second)
        out.objects.push_back(std::move(built.fact));
    }
  }
  const ObjectCounts counts = lab.objects();
  out.summary = {{"regions", work.regions},     {"kernels", counts.built + counts.from_cache},
                 {"built", counts.built},       {"from_cache", counts.from_cache},
                 {"failed", failed.size()},     {"skipped", work.skipped}};
  json::array decided;
  for (const BuildFact& object : out.objects) decided.emplace_back(object.recipe);
  journal.decision("bundle", decided);
  return out;
}

}  // namespace kiln::agents
