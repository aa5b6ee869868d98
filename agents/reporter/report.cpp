// The predicate and its statement. The report is the trace, member by member as docs/report-format.md names them: what
// is missing or of another type is refused, and what the format does not name is left out, so that readers can rely on
// it.
#include <algorithm>
#include <map>
#include <set>

#include "agents/artifacts/fields.h"
#include "agents/artifacts/verdict.h"
#include "agents/reporter/regions.h"
#include "agents/reporter/reporter.h"
#include "runtime/base/json.h"

namespace kiln::agents {
namespace {

constexpr std::string_view kPredicateType = "urn:kiln:tuning-report:v1";

using Kind = char;  // 's'tring, 'n'umber, 'b'ool, 'o'bject, 'a'rray; 'f'igure: a number, or "inf", "-inf", "nan"
struct Member {
  const char* name;
  Kind kind;
};
using Members = std::initializer_list<Member>;

json::value checked(const json::object& o, const Member& m, const std::string& what) {
  switch (m.kind) {
    case 's': return json::value(json::get_string(o, m.name, what));
    case 'n': (void)json::get_double(o, m.name, what); break;
    case 'b': (void)json::get_bool(o, m.name, what); break;
    case 'f': (void)fields::number(o, m.name, what); break;
    case 'o': (void)json::as_object(json::at(o, m.name, what), what + "." + m.name); break;
    case 'a': (void)json::as_array(json::at(o, m.name, what), what + "." + m.name); break;
    default: break;
  }
  return json::at(o, m.name, what);
}

json::object selected(const json::value& v, const std::string& what, Members members) {
  const json::object& o = json::as_object(v, what);
  json::object out;
  for (const Member& m : members) out[m.name] = checked(o, m, what);
  return out;
}

constexpr std::initializer_list<Member> kSummary = {{"samples", 'n'}, {"median_ns", 'f'}, {"min_ns", 'f'},
                                                    {"q1_ns", 'f'},   {"q3_ns", 'f'},     {"low_ns", 'f'},
                                                    {"high_ns", 'f'}};
constexpr std::initializer_list<Member> kSpeedUp = {{"ratio", 'f'}, {"low", 'f'}, {"high", 'f'}, {"comparison", 's'}};
constexpr std::initializer_list<Member> kJudgement = {
    {"verdict", 's'}, {"reason", 's'}, {"worst_ratio", 'f'}, {"normwise_error", 'f'}};

// With the energy of a call where that was measured.
json::object summary(const json::value& v, const std::string& what) {
  json::object out = selected(v, what, kSummary);
  if (json::as_object(v, what).contains("median_nj"))
    out["median_nj"] = checked(v.as_object(), {"median_nj", 'f'}, what);
  return out;
}

json::object speed_up(const json::value& v, const std::string& what) {
  json::object out = selected(v, what, kSpeedUp);
  (void)comparison_from_name(json::get_string(out, "comparison", what));
  return out;
}

json::object judgement(const json::value& v, const std::string& what) {
  json::object out = selected(v, what, kJudgement);
  (void)verdict_from_name(json::get_string(out, "verdict", what));
  return out;
}

json::object candidate(const json::value& v, const std::string& what) {
  json::object out = selected(v, what, {{"variant", 'o'}, {"why", 's'}, {"verdict", 's'}, {"reason", 's'},
                                        {"median_ns", 'f'}, {"order", 'n'}, {"build_ns", 'n'}});
  (void)verdict_from_name(json::get_string(out, "verdict", what));
  if (const auto source = json::find_string(json::as_object(v, what), "source", what)) out["source"] = *source;
  return out;
}

json::object winner(const json::value& v, const std::string& what) {
  const json::object& o = json::as_object(v, what);
  json::object out;
  const json::value& variant = json::at(o, "variant", what);
  out["variant"] = variant.is_null() ? variant : json::value(json::as_object(variant, what + ".variant"));
  if (!variant.is_null()) out["source"] = json::get_string(o, "source", what);
  if (const auto object = json::find_string(o, "object", what)) out["object"] = *object;
  out["summary"] = summary(json::at(o, "summary", what), what + ".summary");
  out["speed_up"] = speed_up(json::at(o, "speed_up", what), what + ".speed_up");
  out["judgement"] = judgement(json::at(o, "judgement", what), what + ".judgement");
  out["floor_fraction"] = checked(o, {"floor_fraction", 'f'}, what);
  out["bottleneck"] = json::get_string(o, "bottleneck", what);
  return out;
}

json::object region(const json::value& v, const std::string& what);

json::array regions_of(const json::value& v, const std::string& what) {
  json::array out;
  for (const json::value& item : json::as_array(v, what))
    out.emplace_back(region(item, what + "[" + std::to_string(out.size()) + "]"));
  return out;
}

json::object in_parts(const json::value& v, const std::string& what) {
  json::object out = selected(v, what, {{"measured", 'b'}, {"reason", 's'}});
  const json::object& o = v.as_object();
  out["summary"] = summary(json::at(o, "summary", what), what + ".summary");
  out["speed_up"] = speed_up(json::at(o, "speed_up", what), what + ".speed_up");
  out["over_winner"] = speed_up(json::at(o, "over_winner", what), what + ".over_winner");
  out["judgement"] = judgement(json::at(o, "judgement", what), what + ".judgement");
  out["regions"] = regions_of(json::at(o, "regions", what), what + ".regions");
  return out;
}

json::object region(const json::value& v, const std::string& what) {
  json::object out = selected(v, what, {{"key", 's'}, {"label", 's'}, {"occurrences", 'n'}, {"floor_ns", 'f'}});
  const json::object& o = json::as_object(v, what);
  const json::object& incumbent = json::as_object(json::at(o, "incumbent", what), what + ".incumbent");
  out["incumbent"] = json::object{{"label", json::get_string(incumbent, "label", what + ".incumbent")},
                                  {"summary", summary(json::at(incumbent, "summary", what + ".incumbent"),
                                                      what + ".incumbent.summary")}};
  json::array candidates;
  for (const json::value& item : json::as_array(json::at(o, "candidates", what), what + ".candidates"))
    candidates.emplace_back(candidate(item, what + ".candidates[" + std::to_string(candidates.size()) + "]"));
  out["candidates"] = std::move(candidates);
  out["winner"] = winner(json::at(o, "winner", what), what + ".winner");
  out["choice"] = selected(json::at(o, "choice", what), what + ".choice", {{"kernels", 's'}, {"reason", 's'}});
  if (const json::value* found = o.if_contains("in_place")) {
    out["in_place"] = selected(*found, what + ".in_place", {{"incumbent_ns", 'f'}, {"winner_ns", 'f'}});
    out["in_place"].as_object()["speed_up"] =
        speed_up(json::at(found->as_object(), "speed_up", what + ".in_place"), what + ".in_place.speed_up");
  }
  if (const json::value* found = o.if_contains("in_parts")) out["in_parts"] = in_parts(*found, what + ".in_parts");
  json::array diagnoses;
  for (const json::value& item : json::as_array(json::at(o, "diagnoses", what), what + ".diagnoses")) {
    const std::string place = what + ".diagnoses[" + std::to_string(diagnoses.size()) + "]";
    json::object d = selected(item, place, {{"variant", 'o'}, {"verdict", 's'}, {"evidence", 's'}, {"cause", 's'},
                                            {"proof", 's'}, {"action", 's'}});
    for (const char* name : {"repaired", "learned"}) d[name] = json::at(json::as_object(item, place), name, place);
    diagnoses.emplace_back(std::move(d));
  }
  out["diagnoses"] = std::move(diagnoses);
  out["stopped_because"] = json::find_string(o, "stopped_because", what).value_or("");
  return out;
}

// The plans that were timed whole before the last comparison.
json::object composition(const json::value& v) {
  const std::string what = "trace.composition";
  json::array trials;
  for (const json::value& item : json::as_array(json::at(json::as_object(v, what), "trials", what), what + ".trials")) {
    json::object trial = selected(item, what + ".trials", {{"name", 's'}, {"winners", 'n'}, {"working_bytes", 'n'}});
    trial["speed_up"] = speed_up(json::at(item.as_object(), "speed_up", what), what + ".speed_up");
    trials.emplace_back(std::move(trial));
  }
  json::object out = selected(v, what, {{"chosen", 's'}});
  out["trials"] = std::move(trials);
  return out;
}

json::object whole(const json::value& v) {
  const std::string what = "trace.whole";
  const json::object& o = json::as_object(v, what);
  json::object out;
  if (const json::value* incumbent = o.if_contains("incumbent_judgement"))
    out["incumbent_judgement"] = judgement(*incumbent, what + ".incumbent_judgement");
  out["judgement"] = judgement(json::at(o, "judgement", what), what + ".judgement");
  out["incumbent"] = summary(json::at(o, "incumbent", what), what + ".incumbent");
  out["tuned"] = summary(json::at(o, "tuned", what), what + ".tuned");
  out["search_process"] = speed_up(json::at(o, "search_process", what), what + ".search_process");
  out["fresh_process"] = speed_up(json::at(o, "fresh_process", what), what + ".fresh_process");
  return out;
}

// Gains of algebra stand apart from those of kernels. Empty where the policy forbids it or found nothing.
json::object algebraic(const json::value& v) {
  const std::string what = "trace.algebraic";
  const json::object& o = json::as_object(v, what);
  if (o.empty()) return {};
  return {{"rewrites", json::to_array(json::get_strings(o, "rewrites", what))},
          {"speed_up", speed_up(json::at(o, "speed_up", what), what + ".speed_up")}};
}

json::object decision(const json::value& v) {
  json::object out = selected(v, "trace.decision", {{"comparison", 's'}, {"promote", 'b'}, {"reason", 's'}});
  (void)comparison_from_name(json::get_string(out, "comparison", "trace.decision"));
  out["speed_up"] =
      speed_up(json::at(json::as_object(v, "trace.decision"), "speed_up", "trace.decision"), "trace.decision.speed_up");
  return out;
}

bool is_digest(std::string_view text) {
  return text.size() == 64 && std::all_of(text.begin(), text.end(), [](char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
  });
}

json::array releases(const json::value& v) {
  json::array out;
  for (const json::value& item : json::as_array(v, "trace.releases")) {
    const std::string what = "trace.releases[" + std::to_string(out.size()) + "]";
    json::object r = selected(item, what, {{"kind", 's'}, {"version", 'n'}, {"id", 's'}, {"objects", 'a'}});
    std::vector<std::string> digests = json::get_strings(r, "objects", what);
    digests.push_back(json::get_string(r, "id", what));
    for (const std::string& digest : digests)
      if (!is_digest(digest))
        throw Error(ErrorCode::invalid_input, "cannot report " + what + ": '" + digest + "' is not a SHA-256");
    out.emplace_back(std::move(r));
  }
  return out;
}

// What a reader asks first, counted once here so that nobody has to count differently.
json::object totals(const json::array& regions) {
  std::map<std::string, std::int64_t> verdicts;
  std::int64_t candidates = 0, diagnoses = 0, improved = 0, split = 0, in_parts = 0, unsearched = 0;
  for (const auto& [number, tried] : with_parts(regions)) {
    for (const json::value& c : tried->at("candidates").as_array()) {
      ++candidates;
      ++verdicts[std::string(c.at("verdict").as_string())];
    }
    diagnoses += static_cast<std::int64_t>(tried->at("diagnoses").as_array().size());
  }
  for (const json::value& item : regions) {
    const json::object& r = item.as_object();
    unsearched += r.at("candidates").as_array().empty() ? 1 : 0;
    split += r.at("choice").at("kernels").as_string() == "incumbent" ? 1 : 0;
    const bool parts = r.at("choice").at("kernels").as_string() == "parts";
    in_parts += parts ? 1 : 0;
    const json::value& speed = parts ? r.at("in_parts").at("speed_up") : r.at("winner").at("speed_up");
    improved += speed.at("comparison").as_string() == "faster" ? 1 : 0;
  }
  json::object by_verdict;
  for (const auto& [verdict, count] : verdicts) by_verdict[verdict] = count;
  return {{"regions", regions.size()},      {"regions_faster", improved},       {"regions_split", split},
          {"regions_in_parts", in_parts},   {"regions_unsearched", unsearched}, {"candidates", candidates},
          {"by_verdict", by_verdict},       {"diagnoses", diagnoses}};
}

}  // namespace

json::object report(const json::object& trace) {
  json::object out{{"format", "kiln-report/1"}};
  for (const Member& m : {Member{"job", 's'}, {"policy", 'o'}, {"node", 'o'}, {"profile", 'o'}, {"plan", 'o'}})
    out[m.name] = checked(trace, m, "trace");
  json::object workload = selected(json::at(trace, "workload", "trace"), "trace.workload",
                                   {{"name", 's'}, {"id", 's'}, {"inputs", 'a'}, {"outputs", 'a'}, {"nodes", 'n'}});
  const json::object& given = json::as_object(trace.at("workload"), "trace.workload");
  for (const char* digest : {"graph", "constants"})
    if (const auto text = json::find_string(given, digest, "trace.workload")) workload[digest] = *text;
  out["workload"] = std::move(workload);
  if (const auto corpus = json::find_string(trace, "corpus", "trace")) out["corpus"] = *corpus;
  if (const json::value* added = trace.if_contains("site_templates")) {
    json::array templates;
    for (const json::value& item : json::as_array(*added, "trace.site_templates"))
      templates.emplace_back(selected(item, "trace.site_templates", {{"template", 's'}, {"digest", 's'}}));
    out["site_templates"] = std::move(templates);
  }
  if (const json::value* seed = trace.if_contains("seed"); seed && seed->is_number()) out["seed"] = *seed;
  json::array regions = regions_of(json::at(trace, "regions", "trace"), "trace.regions");
  out["totals"] = totals(regions);
  out["regions"] = std::move(regions);
  if (const json::value* plans = trace.if_contains("composition")) out["composition"] = composition(*plans);
  out["whole"] = whole(json::at(trace, "whole", "trace"));
  out["decision"] = decision(json::at(trace, "decision", "trace"));
  out["releases"] = releases(json::at(trace, "releases", "trace"));
  json::array timeline;
  for (const json::value& item : json::as_array(json::at(trace, "timeline", "trace"), "trace.timeline")) {
    const std::string what = "trace.timeline[" + std::to_string(timeline.size()) + "]";
    json::object span = selected(item, what, {{"phase", 's'}, {"begin_ns", 'n'}, {"end_ns", 'n'}});
    span["detail"] = json::at(json::as_object(item, what), "detail", what);
    timeline.emplace_back(std::move(span));
  }
  out["timeline"] = std::move(timeline);
  if (const json::value* objects = trace.if_contains("objects"))
    out["objects"] = selected(*objects, "trace.objects", {{"built", 'n'}, {"from_cache", 'n'}});
  out["rewrites"] = json::to_array(json::get_strings(trace, "rewrites", "trace"));
  if (const json::value* rules = trace.if_contains("algebraic")) out["algebraic"] = algebraic(*rules);
  out["checkpoint"] = json::get_string(trace, "checkpoint", "trace");
  out["versions"] = checked(trace, {"versions", 'o'}, "trace");
  return out;
}

json::object statement(const json::object& report) {
  json::array subjects;
  std::set<std::string> named;
  const auto add = [&](const std::string& name, const std::string& digest) {
    if (named.insert(name).second)
      subjects.emplace_back(json::object{{"name", name}, {"digest", json::object{{"sha256", digest}}}});
  };
  const json::object& workload = json::as_object(json::at(report, "workload", "report"), "report.workload");
  const std::string name = json::get_string(workload, "name", "report.workload");
  const bool for_gpu = json::as_object(json::at(report, "node", "report"), "report.node").contains("gpu");
  const std::string extension = for_gpu ? ".cubin" : ".so";
  for (const json::value& item : json::as_array(json::at(report, "releases", "report"), "report.releases")) {
    const json::object& release = json::as_object(item, "report.releases");
    add(name + "/" + std::to_string(json::get_int(release, "version", "report.releases")) + "/manifest.json",
        json::get_string(release, "id", "report.releases"));
    for (const std::string& digest : json::get_strings(release, "objects", "report.releases"))
      add("objects/" + digest + extension, digest);
  }
  // A statement needs a subject; before anything is released it speaks of the graph that was tuned.
  if (const auto graph = json::find_string(workload, "graph", "report.workload");
      subjects.empty() && graph && is_digest(*graph))
    add(name + "/graph.json", *graph);
  return {{"_type", "https://in-toto.io/Statement/v1"}, {"subject", std::move(subjects)},
          {"predicateType", kPredicateType}, {"predicate", report}};
}

}  // namespace kiln::agents
