#include "agents/conductor/compose.h"

#include <algorithm>

namespace kiln::agents {

std::optional<Composed> compose(Lab& lab, const graph::Graph& workload, const Prepared& prepared, const Trace& trace) {
  const std::size_t count = prepared.partition.regions.size();
  Splits splits(count, nullptr);
  std::vector<std::vector<BuiltKernel>> of_region(count);
  Composed out;
  for (const RegionOutcome& region : trace.regions) {
    const std::size_t i = prepared.index(region.region);
    const Assembled& incumbent = prepared.incumbents[i];
    if (region.choice.split) splits[i] = &incumbent.parts;
    of_region[i] = region.choice.split ? incumbent.kernels : std::vector{region.winner.value()};
    for (std::size_t k = 0; k < of_region[i].size(); ++k) {
      const std::string part = region.choice.split ? "." + std::to_string(k) : "";
      const RenderedKernel& kernel = of_region[i][k].kernel;
      out.sources.emplace_back(region.region + part + "." + kernel.file_name, kernel.source);
    }
  }
  if (std::none_of(splits.begin(), splits.end(), [](const Baseline* s) { return s == nullptr; })) return std::nullopt;
  const SplitPartition whole = split(workload, prepared.partition, splits);
  std::vector<BuiltKernel> kernels;
  for (std::vector<BuiltKernel>& own : of_region) kernels.insert(kernels.end(), own.begin(), own.end());
  const bool as_imported = trace.algebra.rewrites.empty() && whole.values.values.size() == workload.values.size();
  const std::string constants = as_imported ? lab.input().constants_blob : lab.store_constants(whole.values);
  out.plan = assemble(whole.values, whole.partition, kernels, constants, lab.threads());
  return out;
}

}  // namespace kiln::agents
