#include "agents/conductor/trace.h"

#include <algorithm>

#include "runtime/base/json.h"

namespace kiln::agents {
namespace {

const RegionProfile& profile_of(const std::vector<RegionProfile>& profiles, const std::string& region) {
  for (const RegionProfile& profile : profiles)
    if (profile.region == region) return profile;
  throw Error(ErrorCode::internal, "cannot report region " + region + ": it has no profile");
}

std::string variant_text(const RegionOutcome& region) {
  if (region.choice.split) return "the incumbent's, op by op";
  if (region.choice.in_parts) {
    std::string text = "in parts:";
    for (const BuiltKernel& kernel : region.in_parts->assembled.kernels)
      text += (text.back() == ':' ? " " : " + ") + to_string(kernel.kernel.variant);
    return text;
  }
  return region.winner ? to_string(region.winner->kernel.variant) : "none";
}

json::object candidate_json(const CandidateRecord& record, std::size_t order) {
  return {{"variant", to_json(record.variant)}, {"why", record.why},
          {"verdict", name(record.verdict)},    {"reason", record.reason},
          {"median_ns", record.median_ns},      {"order", order},
          {"build_ns", record.build_ns},        {"source", record.source}};
}

json::object region_json(const RegionOutcome& region, const RegionProfile& profile);

json::object in_parts_json(const InParts& parts) {
  json::array regions;
  for (const RegionOutcome& part : parts.regions)
    regions.emplace_back(region_json(part, profile_of(parts.profiles, part.region)));
  return {{"measured", parts.measured},
          {"reason", parts.reason},
          {"summary", to_json(parts.time)},
          {"speed_up", to_json(parts.speed_up)},
          {"over_winner", to_json(parts.over_winner)},
          {"judgement", to_json(parts.judgement)},
          {"regions", std::move(regions)}};
}

json::object region_json(const RegionOutcome& region, const RegionProfile& profile) {
  json::array candidates;
  for (std::size_t i = 0; i < region.candidates.size(); ++i)
    candidates.emplace_back(candidate_json(region.candidates[i], i));
  json::array diagnoses;
  for (const Diagnosis& diagnosis : region.diagnoses) diagnoses.emplace_back(to_json(diagnosis));
  json::object winner{{"variant", nullptr}};
  if (region.winner) {
    winner["variant"] = to_json(region.winner->kernel.variant);
    winner["source"] = region.region + "." + region.winner->kernel.file_name;
    winner["object"] = region.winner->object;
  }
  winner["summary"] = to_json(region.winner_time);
  winner["speed_up"] = to_json(region.speed_up);
  winner["judgement"] = to_json(region.judgement);
  winner["floor_fraction"] = region.bottleneck.floor_fraction;
  winner["bottleneck"] = region.bottleneck.text;
  json::object out{{"key", region.region},
          {"label", region.label},
          {"occurrences", profile.occurrences},
          {"floor_ns", profile.floor_ns},
          {"flops", profile.flops},
          {"bytes", profile.bytes},
          {"incumbent", json::object{{"label", region.incumbent_label}, {"summary", to_json(region.incumbent)}}},
          {"candidates", candidates},
          {"winner", winner},
          {"choice", to_json(region.choice)},
          {"diagnoses", diagnoses},
          {"stopped_because", region.stopped_because}};
  if (region.in_place)
    out["in_place"] = json::object{{"incumbent_ns", region.in_place->incumbent_ns},
                                   {"winner_ns", region.in_place->winner_ns},
                                   {"speed_up", to_json(region.in_place->speed_up)}};
  if (region.in_parts) out["in_parts"] = in_parts_json(*region.in_parts);
  return out;
}

// The regions of the plan, each followed by the parts that were tried in its place.
struct Told { const RegionOutcome* region; const RegionProfile* profile; };
std::vector<Told> with_parts(const Trace& trace) {
  std::vector<Told> out;
  for (const RegionOutcome& region : trace.regions) {
    out.push_back({&region, &profile_of(trace.profile.regions, region.region)});
    if (!region.in_parts) continue;
    for (const RegionOutcome& part : region.in_parts->regions)
      out.push_back({&part, &profile_of(region.in_parts->profiles, part.region)});
  }
  return out;
}

// What did not come with Kiln; the signed corpus of a version says nothing of it.
json::array site_templates(const JobInput& input) {
  json::array out;
  for (const store::TemplateSpec& spec : input.corpus)
    if (!spec.stored.empty())
      out.emplace_back(json::object{{"template", spec.family + "/" + spec.name}, {"digest", spec.digest}});
  return out;
}

}  // namespace

json::object to_json(const AlgebraOutcome& algebra) {
  if (algebra.rewrites.empty()) return {};
  return {{"rewrites", json::to_array(algebra.rewrites)}, {"speed_up", to_json(algebra.speed_up)}};
}

json::object to_json(const ObjectCounts& objects) {
  return {{"built", objects.built}, {"from_cache", objects.from_cache}};
}

json::object to_json(const Composition& composition) {
  json::array trials;
  for (const PlanTrial& trial : composition.trials)
    trials.emplace_back(json::object{{"name", trial.name},
                                     {"winners", trial.winners},
                                     {"speed_up", to_json(trial.speed_up)},
                                     {"working_bytes", trial.working_bytes}});
  return {{"trials", trials}, {"chosen", composition.chosen}};
}

json::object to_json(const Trace& trace, const JobInput& input) {
  json::array regions;
  for (const RegionOutcome& region : trace.regions)
    regions.emplace_back(region_json(region, profile_of(trace.profile.regions, region.region)));
  json::array timeline;
  for (const PhaseSpan& span : trace.timeline)
    timeline.emplace_back(json::object{
        {"phase", span.phase}, {"begin_ns", span.begin_ns}, {"end_ns", span.end_ns}, {"detail", span.detail}});
  const auto tensors = [&](const std::vector<graph::ValueId>& ids) {
    json::array out;
    for (const graph::ValueId id : ids) {
      const graph::Value& value = input.workload.values[static_cast<std::size_t>(id)];
      out.emplace_back(json::object{
          {"name", value.name}, {"dtype", graph::name(value.type.dtype)}, {"shape", json::to_array(value.type.shape)}});
    }
    return out;
  };
  const WholeOutcome& whole = trace.whole;
  return {{"workload", json::object{{"name", input.workload_name},
                                    {"id", input.workload_id},
                                    {"graph", input.graph_blob},
                                    {"constants", input.constants_blob},
                                    {"nodes", input.workload.nodes.size()},
                                    {"inputs", tensors(input.workload.inputs)},
                                    {"outputs", tensors(input.workload.outputs)}}},
          {"job", input.job},
          {"policy", policies::to_json(input.policy)},
          {"corpus", input.corpus_digest},
          {"site_templates", site_templates(input)},
          {"seed", input.seed},
          {"node", to_json(trace.profile.node)},
          {"profile", to_json(trace.profile)},
          {"plan", to_json(trace.plan)},
          {"regions", regions},
          {"composition", to_json(trace.composition)},
          {"whole", json::object{{"incumbent_judgement", to_json(whole.incumbent_judgement)},
                                 {"judgement", to_json(whole.judgement)},
                                 {"incumbent", to_json(whole.incumbent)},
                                 {"tuned", to_json(whole.tuned)},
                                 {"search_process", to_json(whole.search_process)},
                                 {"fresh_process", to_json(whole.fresh_process)}}},
          {"decision", to_json(whole.decision)},
          {"releases", json::array{}},
          {"timeline", timeline},
          {"objects", to_json(trace.objects)},
          {"rewrites", json::to_array(input.rewrites)},
          {"algebraic", to_json(trace.algebra)},
          {"checkpoint", ""},
          {"versions", json::object{{"kiln", KILN_VERSION}, {"compiler", trace.profile.node.compiler}}}};
}

json::array summary_rows(const Trace& trace) {
  json::array rows;
  for (const RegionOutcome& region : trace.regions) {
    const RegionProfile& profile = profile_of(trace.profile.regions, region.region);
    const bool in_parts = region.choice.in_parts;
    const SpeedUp& speed_up = in_parts ? region.in_parts->speed_up : region.speed_up;
    rows.emplace_back(json::object{{"region", region.region},
                                   {"label", region.label},
                                   {"occurrences", profile.occurrences},
                                   {"incumbent_ns", region.incumbent.median_ns},
                                   {"winner_ns", (in_parts ? region.in_parts->time : region.winner_time).median_ns},
                                   {"floor_ns", profile.floor_ns},
                                   {"speed_up", speed_up.ratio},
                                   {"low", speed_up.low},
                                   {"high", speed_up.high},
                                   {"error", (in_parts ? region.in_parts->judgement : region.judgement).normwise_error},
                                   {"verdict", name(speed_up.comparison)},
                                   {"variant", variant_text(region)},
                                   {"candidates", region.candidates.size()}});
  }
  return rows;
}

std::vector<std::pair<std::string, std::string>> artifacts(const Trace& trace) {
  std::vector<std::pair<std::string, std::string>> out;
  out.emplace_back("profile_report.json", json::pretty(to_json(trace.profile)));
  out.emplace_back("tuning_plan.json", json::pretty(to_json(trace.plan)));
  json::array candidates;
  std::vector<ResultRow> rows;
  const std::vector<Told> all = with_parts(trace);
  for (const auto& [told, profile] : all) {
    const RegionOutcome& region = *told;
    const double floor_ns = profile->floor_ns;
    for (std::size_t i = 0; i < region.candidates.size(); ++i) {
      const CandidateRecord& record = region.candidates[i];
      json::object item = candidate_json(record, i);
      item["region"] = region.region;
      candidates.emplace_back(std::move(item));
      ResultRow row{region.region, to_string(record.variant), std::string(name(record.verdict)), {}, 0};
      row.time.median_ns = record.median_ns;
      if (record.median_ns > 0) row.floor_fraction = floor_ns / record.median_ns;
      rows.push_back(std::move(row));
    }
    if (region.winner)
      out.emplace_back(region.region + "." + region.winner->kernel.file_name, region.winner->kernel.source);
  }
  out.emplace_back("candidate_variants.json", json::pretty(candidates));
  out.emplace_back("bench_results.csv", to_csv(rows));
  json::array diagnoses;
  for (const auto& [region, profile] : all)
    for (const Diagnosis& diagnosis : region->diagnoses) diagnoses.emplace_back(to_json(diagnosis));
  out.emplace_back("diagnoses.json", json::pretty(diagnoses));
  out.emplace_back("decision.json", json::pretty(to_json(trace.whole.decision)));
  return out;
}

}  // namespace kiln::agents
