#include "daemon/kilnd/publish.h"

#include "agents/reporter/reporter.h"
#include "runtime/base/json.h"
#include "store/releases.h"

namespace kiln::kilnd {
namespace {

// The one shape of each input that the release is for.
json::array inputs_of(const agents::Plan& plan) {
  json::array out;
  for (const agents::PlanTensor& input : plan.inputs)
    out.emplace_back(json::object{{"name", input.name},
                                  {"dtype", graph::name(input.type.dtype)},
                                  {"shape", json::to_array(input.type.shape)}});
  return out;
}

store::ReleaseContent content_of(const agents::Plan& plan, const store::Job& job, std::string_view kind,
                                 const agents::JobOutcome& outcome) {
  store::ReleaseContent content;
  content.plan = agents::to_json(plan);
  content.constants = plan.constants;
  content.objects = plan.objects;
  content.about = {{"workload", job.workload}, {"job", job.id}, {"kind", kind},
                   {"policy_digest", json::get_string(job.spec, "policy_digest", "job " + job.id)},
                   {"corpus", json::get_string(job.spec, "corpus", "job " + job.id)},
                   {"shapes", json::object{{"inputs", inputs_of(plan)}, {"others", "refused"}}}};
  if (kind == "tuned") content.sources = outcome.sources;
  return content;
}

store::ReleaseRow release_of(const JobEnvironment& env, const store::Job& job, std::string_view kind,
                             const agents::Plan& plan, const agents::JobOutcome& outcome) {
  for (const store::ReleaseRow& row : env.store.releases(job.workload))
    if (row.job == job.id && row.kind == kind) return row;
  const std::filesystem::path staged = env.store.directory() / "staging" / (job.id + "-" + std::string(kind));
  std::filesystem::remove_all(staged);
  store::ReleaseRow row;
  row.id = store::write_release(env.store, content_of(plan, job, kind, outcome), staged);
  row.workload = job.workload;
  row.job = job.id;
  row.kind = kind;
  if (kind == "tuned") row.summary = {{"speed_up", outcome.speed_up}, {"decision", outcome.decision}};
  row = env.store.add_release(row, staged);
  env.store.add_event("release.added", row.id,
                      json::object{{"workload", row.workload}, {"version", row.version}, {"kind", row.kind}});
  return row;
}

json::object release_json(const store::ReleaseRow& row, const agents::Plan& plan) {
  return {{"kind", row.kind}, {"version", row.version}, {"id", row.id}, {"objects", json::to_array(plan.objects)}};
}

}  // namespace

json::object publish(const JobEnvironment& env, const store::Job& job, const agents::JobOutcome& outcome) {
  // The first job of a workload also releases what runs today, so that there is something to roll back to.
  const std::vector<store::ReleaseRow> before = env.store.releases(job.workload);
  const bool first = before.empty() || (before.front().job == job.id && before.front().kind == "baseline");
  json::object ids;
  json::array releases;
  if (first) {
    const store::ReleaseRow baseline = release_of(env, job, "baseline", outcome.baseline, outcome);
    bool any_current = false;
    for (const store::ReleaseRow& row : env.store.releases(job.workload)) any_current |= row.current;
    if (!any_current) env.store.set_current(baseline.id);
    ids["baseline"] = baseline.id;
    releases.emplace_back(release_json(baseline, outcome.baseline));
  }
  if (outcome.right) {
    const store::ReleaseRow tuned = release_of(env, job, "tuned", outcome.tuned, outcome);
    ids["tuned"] = tuned.id;
    releases.emplace_back(release_json(tuned, outcome.tuned));
    if (outcome.promote && !tuned.current) {
      env.store.set_current(tuned.id);
      const json::object detail{
          {"workload", tuned.workload}, {"version", tuned.version}, {"by", "policy"}, {"verdict", "faster"}};
      env.store.add_event("release.promoted", tuned.id, detail);
    }
  }

  json::object trace = outcome.trace;
  trace["releases"] = releases;
  trace["checkpoint"] =
      env.store.sign_checkpoint([&](std::string_view note) { return store::sign_note(env.key, note); }).checkpoint;
  const json::object report = agents::report(trace);
  const std::string statement = json::canonical(agents::statement(report));

  json::object artifacts;
  for (const auto& [name, text] : outcome.artifacts) artifacts[name] = env.store.put_blob(text);
  artifacts["trace.json"] = env.store.put_blob(json::pretty(trace));
  return {
      {"decision", outcome.decision},
      {"releases", ids},
      {"artifacts", artifacts},
      {"report", json::object{{"statement", env.store.put_blob(statement)},
                              {"envelope", env.store.put_blob(store::sign_envelope(env.key, statement))},
                              {"sshsig", env.store.put_blob(store::sign_ssh(env.key, statement, store::kSshNamespace))},
                              {"html", env.store.put_blob(agents::html(report))}}},
      {"summary", outcome.summary},
      {"speed_up", outcome.speed_up},
      {"algebraic", outcome.algebraic},
      {"memory", outcome.memory},
      {"objects", outcome.objects}};
}

}  // namespace kiln::kilnd
