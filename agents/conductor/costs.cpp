#include "agents/conductor/costs.h"

#include <algorithm>

#include "agents/benchmark/benchmark.h"

namespace kiln::agents {
namespace {

constexpr double kConfidence = 0.95;  // of an interval that nobody asks for here

}  // namespace

Costs costs_of(const SampleFact::Subject& subject) {
  return {summarize(subject.ns, kConfidence).median_ns, summarize(subject.cost(), kConfidence).median_ns};
}

double floor_ns(const RegionProfile& region, const policies::Policy& policy, const NodeFacts& node) {
  if (policy.objective != "throughput" || node.gpu) return region.floor_ns;
  return std::max(region.compute_ns, region.memory_ns / node.cores);
}

bool near_floor(double best, double floor_ns, const policies::Policy& policy) {
  return policy.objective != "energy" && best > 0 && floor_ns / best >= policy.stop_at_floor_fraction;
}

}  // namespace kiln::agents
