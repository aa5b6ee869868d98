#include "agents/conductor/prepared.h"

#include <algorithm>

#include "agents/benchmark/benchmark.h"
#include "agents/conductor/compose.h"
#include "agents/conductor/first_steps.h"
#include "agents/profiler/profiler.h"
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

namespace {

// A sum over samples with a preemption in one of them misleads the budget; one sample of a plan of minutes has to do.
std::int32_t samples_of_plan(double floor_ns) {
  constexpr double enough_ns = 5e8;  // of floors: a few seconds of calls
  return static_cast<std::int32_t>(std::clamp(enough_ns / std::max(floor_ns, 1.0), 1.0, double{kSamples}));
}

// In a plan of all incumbents. False where that says nothing of some region.
bool measured_in_place(Lab& lab, const graph::Graph& workload, const AlgebraOutcome& algebra, Prepared& out) {
  if (lab.node().gpu || lab.input().policy.objective != "latency") return false;
  const std::vector<Region>& regions = out.partition.regions;
  Trace unsearched;
  unsearched.algebra = algebra;
  for (const Region& region : regions) unsearched.regions.emplace_back().region = region.key;
  const Composed plan = compose(lab, workload, out, unsearched, Kernels(regions.size()));
  const ProfileReport floors = profile(lab.node(), out.partition);
  const SampleFact samples = lab.measure_launches({{"incumbent", plan.plan}}, samples_of_plan(floors.floor_ns),
                                                  seed_for(lab.input(), "incumbent", "in place"));
  std::vector<std::vector<double>> times = times_by_region(samples.subjects.at(0), plan, regions.size());
  if (std::any_of(times.begin(), times.end(), [](const std::vector<double>& t) { return t.empty(); })) return false;
  std::vector<double> occurrences(regions.size(), 0);
  for (const RegionInstance& instance : out.partition.instances)
    ++occurrences[static_cast<std::size_t>(instance.region)];
  for (std::size_t r = 0; r < regions.size(); ++r) {
    for (double& ns : times[r]) ns /= occurrences[r];
    out.incumbent_time.push_back(summarize(times[r], lab.input().policy.confidence));
    out.incumbent_ns[regions[r].key] = out.incumbent_time.back().median_ns;
  }
  return true;
}

void measure_alone(Lab& lab, Prepared& out, const PreparedProgress& progress) {
  const std::vector<Region>& regions = out.partition.regions;
  const std::size_t at_once = lab.node().gpu ? 1 : kAtOnce;
  for (std::size_t begin = 0; begin < regions.size(); begin += at_once) {
    const std::size_t end = std::min(regions.size(), begin + at_once);
    progress(0.5 + 0.5 * static_cast<double>(begin) / static_cast<double>(regions.size()), regions[begin].label);
    std::vector<Subject> subjects;
    for (std::size_t i = begin; i < end; ++i) subjects.push_back({regions[i].key, out.incumbents[i].plan});
    const SampleFact samples = lab.measure(subjects, Lab::Extent::region, lab.counts_slowly() ? 1 : kSamples, false,
                                           lab.input().seed);
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
}

Prepared with_incumbents(Lab& lab, Partition partition, const PreparedProgress& progress) {
  Prepared out;
  out.partition = std::move(partition);
  const std::vector<Region>& regions = out.partition.regions;
  for (std::size_t i = 0; i < regions.size(); ++i) {
    progress(0.5 * static_cast<double>(i) / static_cast<double>(regions.size()), regions[i].label);
    out.standalone.push_back(standalone(regions[i], lab.input().seed));
    out.incumbents.push_back(incumbent_of(lab, out.standalone.back()));
  }
  return out;
}

}  // namespace

Prepared measure_incumbents(Lab& lab, const graph::Graph& workload, Partition partition,
                            const AlgebraOutcome& algebra) {
  const auto progress = [&lab](double part, const std::string& label) {
    lab.journal().progress({"baseline", 0.04 + 0.05 * part, json::object{{"detail", label}}});
  };
  Prepared out = with_incumbents(lab, std::move(partition), progress);
  if (!measured_in_place(lab, workload, algebra, out)) measure_alone(lab, out, progress);
  return out;
}

Prepared measure_incumbents_alone(Lab& lab, Partition partition, const PreparedProgress& progress) {
  Prepared out = with_incumbents(lab, std::move(partition), progress);
  measure_alone(lab, out, progress);
  return out;
}

}  // namespace kiln::agents
