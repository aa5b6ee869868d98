#include "daemon/control/resources/resources.h"
#include "daemon/control/rows.h"
#include "runtime/base/files.h"
#include "runtime/base/json.h"
#include "store/releases.h"

namespace kiln::control {
namespace {

json::object announcement(const store::ReleaseRow& row, const Request& request) {
  return {{"workload", row.workload},
          {"version", row.version},
          {"by", "uid " + std::to_string(request.peer.uid)}};
}

// Nothing ships without beating what ran: a tuned release that did not needs the caller to say so. A baseline
// is what ran.
void require_faster(const store::ReleaseRow& row) {
  const std::string verdict = verdict_of(row);
  if (row.kind == "baseline" || verdict == "faster" || row.current) return;
  std::string reason = "no verdict is on record";
  if (verdict != "none") {
    reason = "its job found it " + verdict;
    const json::object& decision = row.summary.at("decision").as_object();
    if (const auto said = json::find_string(decision, "reason", "the decision")) reason += ": " + *said;
  }
  throw Error(ErrorCode::conflict,
              "cannot promote release " + row.id.substr(0, 12) + " (version " + std::to_string(row.version) +
                  "): it was not found faster than what ran; " + reason,
              "tune with a larger budget, or promote it all the same with force (kctl promote --force)");
}

bool wants_force(const Request& request) {
  if (request.body.empty()) return false;
  const json::object body = json_body(request, {"force"});
  return body.contains("force") && json::get_bool(body, "force", "the request's body");
}

}  // namespace

Answer get_releases(Context& context, const Request& request) {
  const auto asked = request.query.find("workload");
  std::string workload;  // empty: all
  if (asked != request.query.end()) workload = context.services.store.workload(asked->second).id;
  json::array rows;
  for (const store::ReleaseRow& row : context.services.store.releases(workload))
    rows.emplace_back(to_json(row));
  return json_answer(json::object{{"releases", std::move(rows)}});
}

Answer get_release(Context& context, const Request& request) {
  const store::ReleaseRow row = context.services.store.release(request.parameters.at("id"));
  json::object answer = to_json(row);
  answer["manifest"] = json::parse(read_file(row.directory / "manifest.json", 16u << 20),
                                   "manifest.json of release " + row.id);
  return json_answer(std::move(answer));
}

Answer get_diff(Context& context, const Request& request) {
  const store::ReleaseRow from = context.services.store.release(request.parameters.at("id"));
  const store::ReleaseRow to = context.services.store.release(request.parameters.at("other"));
  return json_answer(store::diff_releases(from.directory, to.directory));
}

Answer post_promote(Context& context, const Request& request) {
  store::Store& store = context.services.store;
  const bool force = wants_force(request);
  const store::ReleaseRow asked = store.release(request.parameters.at("id"));
  if (!force) require_faster(asked);
  store.set_current(asked.id);
  const store::ReleaseRow row = store.release(asked.id);
  json::object detail = announcement(row, request);
  detail["verdict"] = verdict_of(row);
  store.add_event("release.promoted", row.id, detail);
  Answer answer = json_answer(to_json(row));
  answer.object = force ? row.id + " force" : row.id;
  return answer;
}

Answer post_rollback(Context& context, const Request& request) {
  store::Store& store = context.services.store;
  const std::string workload = store.workload(request.parameters.at("id")).id;
  const store::ReleaseRow row = store.release(store.rollback(workload).id);
  store.add_event("release.rolled_back", row.id, announcement(row, request));
  Answer answer = json_answer(to_json(row));
  answer.object = workload + " " + row.id;
  return answer;
}

}  // namespace kiln::control
