#include "agents/conductor/prepared.h"

#include <algorithm>

#include "runtime/base/error.h"
#include "runtime/base/json.h"

namespace kiln::agents {
namespace {

constexpr std::int32_t kSamples = 5;  // of an incumbent, to share the budget out; each race has it again

}  // namespace

std::size_t Prepared::index(const std::string& region) const {
  const auto found = std::find_if(partition.regions.begin(), partition.regions.end(),
                                  [&](const Region& r) { return r.key == region; });
  if (found == partition.regions.end())
    throw Error(ErrorCode::internal, "cannot find region " + region + " in its partition");
  return static_cast<std::size_t>(found - partition.regions.begin());
}

Prepared measure_incumbents(Lab& lab, Partition partition) {
  Prepared out;
  out.partition = std::move(partition);
  const auto count = static_cast<double>(out.partition.regions.size());
  for (const Region& region : out.partition.regions) {
    const double done = static_cast<double>(out.standalone.size()) / count;
    lab.journal().progress({"baseline", 0.04 + 0.05 * done, json::object{{"detail", region.label}}});
    out.standalone.push_back(standalone(region, lab.input().seed));
    out.incumbents.push_back(incumbent_of(lab, out.standalone.back()));
    const SampleFact samples =
        lab.measure({{region.key, out.incumbents.back().plan}}, Lab::Extent::region, kSamples, false, lab.input().seed);
    const SampleFact::Subject& subject = samples.subjects.at(0);
    if (subject.verdict != Verdict::ok)
      throw Error(ErrorCode::unavailable,
                  "cannot run the incumbent of '" + region.label + "': " + std::string(name(subject.verdict)) + ": " +
                      subject.evidence,
                  "kctl doctor");
    out.incumbent_time.push_back(summary_of(subject, lab.input().policy.confidence));
    out.incumbent_ns[region.key] = out.incumbent_time.back().median_ns;
  }
  return out;
}

}  // namespace kiln::agents
