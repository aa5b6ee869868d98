#include "agents/conductor/compose.h"

#include <algorithm>

namespace kiln::agents {
namespace {

std::size_t constants_of(const graph::Graph& g) {
  return static_cast<std::size_t>(std::count_if(g.constants.begin(), g.constants.end(),
                                                [](const auto& constant) { return constant.has_value(); }));
}

// What a plan is assembled from.
struct Pieces {
  SplitPartition whole;
  std::vector<BuiltKernel> kernels;      // parallel to whole.partition.regions
  std::vector<std::size_t> outcomes;     // of each, an index of the outcomes
  std::vector<std::pair<std::string, std::string>> sources;
};

Pieces pieces_of(const graph::Graph& workload, const Prepared& prepared, const std::vector<RegionOutcome>& outcomes,
                 const Kernels& chosen) {
  const std::size_t count = prepared.partition.regions.size();
  Splits splits(count, nullptr);
  std::vector<std::vector<BuiltKernel>> of_region(count);
  std::vector<std::size_t> outcome_of(count);
  Pieces out;
  for (std::size_t r = 0; r < outcomes.size(); ++r) {
    const RegionOutcome& region = outcomes[r];
    const std::size_t i = prepared.index(region.region);
    outcome_of[i] = r;
    if (chosen[r].kernel) {
      of_region[i] = {*chosen[r].kernel};
    } else {
      const Assembled& several = chosen[r].parts ? *chosen[r].parts : prepared.incumbents[i];
      splits[i] = &several.parts;
      of_region[i] = several.kernels;
    }
    for (std::size_t k = 0; k < of_region[i].size(); ++k) {
      const std::string part = chosen[r].kernel ? "" : "." + std::to_string(k);
      const RenderedKernel& kernel = of_region[i][k].kernel;
      out.sources.emplace_back(region.region + part + "." + kernel.file_name, kernel.source);
    }
  }
  out.whole = split(workload, prepared.partition, splits);
  for (std::size_t i = 0; i < count; ++i) {
    out.outcomes.insert(out.outcomes.end(), of_region[i].size(), outcome_of[i]);
    out.kernels.insert(out.kernels.end(), of_region[i].begin(), of_region[i].end());
  }
  return out;
}

}  // namespace

Chosen chosen_of(const RegionOutcome& region) {
  if (region.choice.in_parts) return {nullptr, &region.in_parts->assembled};
  return {region.choice.split ? nullptr : &region.winner.value(), nullptr};
}

Composed compose(Lab& lab, const graph::Graph& workload, const Prepared& prepared, const Trace& trace,
                 const Kernels& chosen) {
  Pieces pieces = pieces_of(workload, prepared, trace.regions, chosen);
  const SplitPartition& whole = pieces.whole;
  const bool as_imported = trace.algebra.rewrites.empty() && constants_of(whole.values) == constants_of(workload);
  const std::string constants = as_imported ? lab.input().constants_blob : lab.store_constants(whole.values);
  Composed out;
  out.sources = std::move(pieces.sources);
  out.plan = assemble(whole.values, whole.partition, pieces.kernels, constants, lab.threads());
  for (const PlanLaunch& launch : out.plan.run) {
    const RegionInstance& part = whole.partition.instances.at(static_cast<std::size_t>(launch.instance));
    out.regions.push_back(pieces.outcomes.at(static_cast<std::size_t>(part.region)));
  }
  return out;
}

Assembled compose_parts(Lab& lab, const graph::Graph& alone, const Prepared& parts,
                        const std::vector<RegionOutcome>& outcomes) {
  Kernels chosen;
  for (const RegionOutcome& region : outcomes) chosen.push_back(chosen_of(region));
  Pieces pieces = pieces_of(alone, parts, outcomes, chosen);
  Assembled out;
  out.stored = lab.store_graph(alone);
  out.plan = assemble(pieces.whole.values, pieces.whole.partition, pieces.kernels,
                      lab.store_constants(pieces.whole.values), lab.threads());
  out.parts = {std::move(pieces.whole.values), std::move(pieces.whole.partition)};
  out.kernels = std::move(pieces.kernels);
  return out;
}

std::vector<std::vector<double>> times_by_region(const SampleFact::Subject& subject, const Composed& plan,
                                                 std::size_t count) {
  std::vector<std::vector<double>> out(count);
  if (subject.verdict != Verdict::ok || subject.launch_ns.empty()) return out;
  for (const std::size_t region : plan.regions) out[region].assign(subject.launch_ns.size(), 0);
  for (std::size_t s = 0; s < subject.launch_ns.size(); ++s)
    for (std::size_t i = 0; i < plan.regions.size(); ++i) out[plan.regions[i]][s] += subject.launch_ns[s].at(i);
  return out;
}

}  // namespace kiln::agents
