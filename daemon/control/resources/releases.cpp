#include "store/releases.h"

#include "daemon/control/resources/resources.h"
#include "daemon/control/rows.h"
#include "runtime/base/files.h"

namespace kiln::control {
namespace {

void announce(store::Store& store, std::string_view kind, const store::ReleaseRow& row, const Request& request) {
  store.add_event(kind, row.id, json::object{{"workload", row.workload}, {"version", row.version}, {"by", "uid " + std::to_string(request.peer.uid)}});
}

}  // namespace

Answer get_releases(Context& context, const Request& request) {
  const auto asked = request.query.find("workload");
  std::string workload;  // empty: all
  if (asked != request.query.end()) workload = context.services.store.workload(asked->second).id;
  json::array rows;
  for (const store::ReleaseRow& row : context.services.store.releases(workload)) rows.emplace_back(to_json(row));
  return json_answer(json::object{{"releases", std::move(rows)}});
}

Answer get_release(Context& context, const Request& request) {
  const store::ReleaseRow row = context.services.store.release(request.parameters.at("id"));
  json::object answer = to_json(row);
  answer["manifest"] = json::parse(read_file(row.directory / "manifest.json", 16u << 20), "manifest.json of release " + row.id);
  return json_answer(std::move(answer));
}

Answer get_diff(Context& context, const Request& request) {
  const store::ReleaseRow from = context.services.store.release(request.parameters.at("id"));
  const store::ReleaseRow to = context.services.store.release(request.parameters.at("other"));
  return json_answer(store::diff_releases(from.directory, to.directory));
}

Answer post_promote(Context& context, const Request& request) {
  store::Store& store = context.services.store;
  const std::string id = store.release(request.parameters.at("id")).id;
  store.set_current(id);
  const store::ReleaseRow row = store.release(id);
  announce(store, "release.promoted", row, request);
  Answer answer = json_answer(to_json(row));
  answer.object = id;
  return answer;
}

Answer post_rollback(Context& context, const Request& request) {
  store::Store& store = context.services.store;
  const std::string workload = store.workload(request.parameters.at("id")).id;
  const store::ReleaseRow row = store.release(store.rollback(workload).id);
  announce(store, "release.rolled_back", row, request);
  Answer answer = json_answer(to_json(row));
  answer.object = workload + " " + row.id;
  return answer;
}

}  // namespace kiln::control
