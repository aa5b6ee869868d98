#include "agents/conductor/compose.h"

#include <algorithm>

namespace kiln::agents {
namespace {

std::size_t constants_of(const graph::Graph& g) {
  return static_cast<std::size_t>(std::count_if(g.constants.begin(), g.constants.end(),
                                                [](const auto& constant) { return constant.has_value(); }));
}

}  // namespace

Composed compose(Lab& lab, const graph::Graph& workload, const Prepared& prepared, const Trace& trace,
                 const Kernels& chosen) {
  const std::size_t count = prepared.partition.regions.size();
  Splits splits(count, nullptr);
  std::vector<std::vector<BuiltKernel>> of_region(count);
  std::vector<std::size_t> outcome_of(count);
  Composed out;
  for (std::size_t r = 0; r < trace.regions.size(); ++r) {
    const RegionOutcome& region = trace.regions[r];
    const std::size_t i = prepared.index(region.region);
    const Assembled& incumbent = prepared.incumbents[i];
    outcome_of[i] = r;
    if (!chosen[r]) splits[i] = &incumbent.parts;
    of_region[i] = chosen[r] ? std::vector{*chosen[r]} : incumbent.kernels;
    for (std::size_t k = 0; k < of_region[i].size(); ++k) {
      const std::string part = chosen[r] ? "" : "." + std::to_string(k);
      const RenderedKernel& kernel = of_region[i][k].kernel;
      out.sources.emplace_back(region.region + part + "." + kernel.file_name, kernel.source);
    }
  }
  const SplitPartition whole = split(workload, prepared.partition, splits);
  std::vector<BuiltKernel> kernels;
  std::vector<std::size_t> outcome_of_part;
  for (std::size_t i = 0; i < count; ++i) {
    outcome_of_part.insert(outcome_of_part.end(), of_region[i].size(), outcome_of[i]);
    kernels.insert(kernels.end(), of_region[i].begin(), of_region[i].end());
  }
  const bool as_imported = trace.algebra.rewrites.empty() && constants_of(whole.values) == constants_of(workload);
  const std::string constants = as_imported ? lab.input().constants_blob : lab.store_constants(whole.values);
  out.plan = assemble(whole.values, whole.partition, kernels, constants, lab.threads());
  for (const PlanLaunch& launch : out.plan.run) {
    const RegionInstance& part = whole.partition.instances.at(static_cast<std::size_t>(launch.instance));
    out.regions.push_back(outcome_of_part.at(static_cast<std::size_t>(part.region)));
  }
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
