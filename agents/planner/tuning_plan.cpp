#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>

#include "agents/artifacts/fields.h"
#include "agents/planner/planner.h"
#include "runtime/base/json.h"

namespace kiln::agents {
namespace {

// No region goes without: a bottleneck that the model does not know of shows only when somebody tries.
constexpr double kLeastShare = 0.02;
constexpr double kMostForLeast = 0.25;  // of the budget, for all of those shares together
// Of the likely gain of the whole plan: a region of less may be left as it is when the time is over.
constexpr double kWorthLooking = 0.05;

// Of the gap to the floor beyond what fusing saves. Vendors' kernels run as fast as the machine lets them more often
// than not, and a floor is what nobody reaches.
constexpr double kPartOfGap = 0.25;

double result_bytes(const graph::Graph& g, graph::ValueId v) {
  return static_cast<double>(graph::element_count(g.type(v).shape)) *
         static_cast<double>(graph::size_of(g.type(v).dtype));
}

// Whether `v` is a product whose bias the vendor's own call adds: it never reaches memory without it.
bool is_before_bias(const graph::Graph& g, const std::vector<bool>& weight, const graph::Node& product,
                    graph::ValueId v) {
  if (!std::holds_alternative<graph::MatMul>(product.op) && !std::holds_alternative<graph::Convolution>(product.op))
    return false;
  const auto reads = [](const graph::Node& n, graph::ValueId u) {
    return std::find(n.inputs.begin(), n.inputs.end(), u) != n.inputs.end();
  };
  return std::any_of(g.nodes.begin(), g.nodes.end(), [&](const graph::Node& reader) {
    if (!std::holds_alternative<graph::Pointwise>(reader.op) || !reads(reader, v)) return false;
    for (std::size_t i = 0; i < g.inputs.size(); ++i)
      if (weight[i] && reads(reader, g.inputs[i])) return true;
    return false;
  });
}

// What running the region op by op writes and reads again, and one kernel keeps on chip.
double bytes_between(const Region& region) {
  const graph::Graph parts = expand_composites(region.body);
  double bytes = 0;
  for (const graph::Node& node : parts.nodes) {
    if (graph::is_view(node.op)) continue;
    for (const graph::ValueId v : node.outputs)
      if (std::find(parts.outputs.begin(), parts.outputs.end(), v) == parts.outputs.end() &&
          !is_before_bias(parts, region.weight, node, v))
        bytes += 2 * result_bytes(parts, v);
  }
  return bytes;
}

double likely_gain_ns(const Region& region, const RegionProfile& profile, double gap_ns) {
  const double saved_ns =
      profile.bytes > 0 ? std::min(gap_ns, bytes_between(region) * profile.memory_ns / profile.bytes) : 0;
  return saved_ns + kPartOfGap * (gap_ns - saved_ns);
}

std::string kind_of(const Region& region) {
  const std::optional<Kernel> kernel = lower(region);
  return kernel ? std::string(anchor(*kernel)) : std::string();
}

// The templates of the node's target: a job for a GPU has one in its profile.
std::vector<std::string> families_for(const Region& region, const NodeFacts& node,
                                      const std::vector<store::TemplateSpec>& corpus, const policies::Policy& policy) {
  std::vector<std::string> out;
  const std::optional<Kernel> kernel = lower(region);
  if (!kernel) return out;
  for (const store::TemplateSpec& spec : corpus) {
    if (spec.target != (node.gpu ? "cuda" : "cpu") || spec.anchor != anchor(*kernel)) continue;
    if (!policies::allows(policy, spec.family, spec.name, spec.vendor)) continue;
    out.push_back(spec.family + "/" + spec.name);
  }
  return out;
}

// What moves a region that such a limit holds, on the node's target.
std::string remedy_for(const std::string& limit, bool gpu) {
  if (limit == "compute")
    return gpu ? "tiles in shared memory and registers, tensor cores where the precision allows them"
               : "register blocking, packing and vector width";
  if (limit == "bandwidth")
    return gpu ? "read and write each byte once, with wide loads and enough of them in flight"
               : "read and write each byte once, with wide loads";
  return gpu ? "fewer launches, no scratch" : "fewer tasks, no scratch";
}

std::vector<std::string> hypotheses_for(const Region& region, const RegionProfile& profile, double incumbent_ns,
                                        bool gpu) {
  std::vector<std::string> out;
  const double percent = incumbent_ns > 0 ? 100 * profile.floor_ns / incumbent_ns : 0;
  const std::string at =
      incumbent_ns > 0 ? fmt::format(" at {:.0f} % of its floor", percent) : ", not measured op by op";
  if (!profile.limit.empty()) out.push_back(profile.limit + "-bound" + at + ": " + remedy_for(profile.limit, gpu));
  const std::size_t computing = static_cast<std::size_t>(std::count_if(
      region.body.nodes.begin(), region.body.nodes.end(), [](const graph::Node& n) { return !graph::is_view(n.op); }));
  if (computing > 1)
    out.push_back(fmt::format("{} operations fused: their intermediate results stay on chip", computing));
  const auto weights = std::count(region.weight.begin(), region.weight.end(), true);
  const std::optional<Kernel> kernel = lower(region);
  if (!gpu && kernel && std::holds_alternative<MatmulKernel>(*kernel) && weights > 0)
    out.push_back("the weight can be packed once, in prepare");
  return out;
}

// Sorted by gain; then the first of each kind that is worth looking at goes to the front.
void order(std::vector<RegionPlan>& regions, const std::map<std::string, std::string>& kinds, double total_ns) {
  std::stable_sort(regions.begin(), regions.end(),
                   [](const RegionPlan& a, const RegionPlan& b) { return a.gain_ns > b.gain_ns; });
  std::map<std::string, double> of_kind;
  for (const RegionPlan& r : regions) of_kind[kinds.at(r.region)] += r.gain_ns;
  std::set<std::string> leaders, seen;
  for (RegionPlan& r : regions) {
    const std::string& kind = kinds.at(r.region);
    if (seen.insert(kind).second && of_kind[kind] >= kWorthLooking * total_ns) leaders.insert(r.region);
    r.worth_looking = leaders.contains(r.region) || r.gain_ns >= kWorthLooking * total_ns;
  }
  std::stable_partition(regions.begin(), regions.end(),
                        [&](const RegionPlan& r) { return leaders.contains(r.region); });
}

}  // namespace

TuningPlan plan(const Partition& partition, const ProfileReport& profile,
                const std::map<std::string, double>& incumbent_ns, const std::vector<store::TemplateSpec>& corpus,
                const policies::Policy& policy) {
  TuningPlan out;
  std::map<std::string, std::string> kinds;
  double total = 0;
  for (const Region& region : partition.regions) {
    const auto figures = std::find_if(profile.regions.begin(), profile.regions.end(),
                                      [&](const RegionProfile& r) { return r.region == region.key; });
    if (figures == profile.regions.end()) continue;
    const auto measured = incumbent_ns.find(region.key);
    const double incumbent = measured == incumbent_ns.end() ? 0 : measured->second;
    RegionPlan r;
    r.region = region.key;
    r.families = families_for(region, profile.node, corpus, policy);
    const double gap_ns = std::max(0.0, incumbent - figures->floor_ns);
    r.head_room_ns = gap_ns * figures->occurrences;
    r.gain_ns = likely_gain_ns(region, *figures, gap_ns) * figures->occurrences;
    kinds[region.key] = kind_of(region);
    r.hypotheses = hypotheses_for(region, *figures, incumbent, profile.node.gpu.has_value());
    total += r.gain_ns;
    out.regions.push_back(std::move(r));
  }
  const auto count = static_cast<double>(out.regions.size());
  const double least = std::min(kLeastShare, kMostForLeast / std::max(1.0, count));
  for (RegionPlan& r : out.regions)
    r.budget_share = total > 0 ? least + (1 - least * count) * r.gain_ns / total : 1 / count;
  order(out.regions, kinds, total);
  return out;
}

json::object to_json(const TuningPlan& p) {
  json::array regions;
  for (const RegionPlan& r : p.regions) {
    regions.emplace_back(json::object{{"region", r.region},
                                      {"families", json::to_array(r.families)},
                                      {"head_room_ns", fields::number(r.head_room_ns)},
                                      {"gain_ns", fields::number(r.gain_ns)},
                                      {"budget_share", fields::number(r.budget_share)},
                                      {"worth_looking", r.worth_looking},
                                      {"hypotheses", json::to_array(r.hypotheses)}});
  }
  return {{"regions", std::move(regions)}};
}

}  // namespace kiln::agents
