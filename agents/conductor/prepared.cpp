#include "agents/conductor/prepared.h"

#include <algorithm>

#include "runtime/base/error.h"
#include "runtime/base/json.h"

namespace kiln::agents {
namespace {

constexpr std::int32_t kSamples = 5;  // of an incumbent, to share the budget out; each race has it again
// Incumbents of a CPU that one worker times: a process of its own for each took longer than its samples. On a GPU,
// whose worker stays, memory is what is short.
constexpr std::size_t kAtOnce = 12;

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
  const std::vector<Region>& regions = out.partition.regions;
  const auto progress = [&](double part, const std::string& label) {
    lab.journal().progress({"baseline", 0.04 + 0.05 * part, json::object{{"detail", label}}});
  };
  for (std::size_t i = 0; i < regions.size(); ++i) {
    progress(0.5 * static_cast<double>(i) / static_cast<double>(regions.size()), regions[i].label);
    out.standalone.push_back(standalone(regions[i], lab.input().seed));
    out.incumbents.push_back(incumbent_of(lab, out.standalone.back()));
  }
  const std::size_t at_once = lab.node().gpu ? 1 : kAtOnce;
  for (std::size_t begin = 0; begin < regions.size(); begin += at_once) {
    const std::size_t end = std::min(regions.size(), begin + at_once);
    progress(0.5 + 0.5 * static_cast<double>(begin) / static_cast<double>(regions.size()), regions[begin].label);
    std::vector<Subject> subjects;
    for (std::size_t i = begin; i < end; ++i) subjects.push_back({regions[i].key, out.incumbents[i].plan});
    const SampleFact samples = lab.measure(subjects, Lab::Extent::region, kSamples, false, lab.input().seed);
    for (std::size_t i = begin; i < end; ++i) {
      const SampleFact::Subject& subject = samples.subjects.at(i - begin);
      if (subject.verdict != Verdict::ok)
        throw Error(ErrorCode::unavailable,
                    "cannot run the incumbent of '" + regions[i].label + "': " + std::string(name(subject.verdict)) +
                        ": " + subject.evidence,
                    "kctl doctor");
      out.incumbent_time.push_back(summary_of(subject, lab.input().policy.confidence));
      out.incumbent_ns[regions[i].key] = out.incumbent_time.back().median_ns;
    }
  }
  return out;
}

}  // namespace kiln::agents
