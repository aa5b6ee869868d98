#include "daemon/control/rows.h"

#include "runtime/base/json.h"

namespace kiln::control {

json::object to_json(const store::Workload& row) {
  return {{"id", row.id},       {"name", row.name},           {"model", row.model},
          {"graph", row.graph}, {"constants", row.constants}, {"import", row.import},
          {"created_ns", row.created_ns}};
}

json::object to_json(const store::Job& row) {
  return {{"id", row.id},
          {"workload", row.workload},
          {"spec", row.spec},
          {"state", store::name(row.state)},
          {"error", row.error},
          {"progress", row.progress},
          {"result", row.result},
          {"created_ns", row.created_ns},
          {"started_ns", row.started_ns},
          {"finished_ns", row.finished_ns}};
}

json::object to_json(const store::JobEntry& row) {
  return {{"sequence", row.sequence},
          {"decision", row.decision},
          {"kind", row.kind},
          {"request_digest", row.request_digest},
          {"content", row.content},
          {"ledger", row.ledger},
          {"recorded_ns", row.recorded_ns}};
}

json::object to_json(const store::ReleaseRow& row) {
  return {{"id", row.id},           {"workload", row.workload}, {"version", row.version},
          {"job", row.job},         {"kind", row.kind},         {"current", row.current},
          {"verdict", verdict_of(row)}, {"summary", row.summary}, {"created_ns", row.created_ns},
          {"directory", row.directory.string()}};
}

std::string verdict_of(const store::ReleaseRow& row) {
  const json::value* decision = row.summary.if_contains("decision");
  if (decision == nullptr) return "none";
  const std::string what = "the decision about release " + row.id;
  return json::get_string(json::as_object(*decision, what), "comparison", what);
}

json::object to_json(const store::Event& row) {
  return {{"serial", row.serial},
          {"kind", row.kind},
          {"subject", row.subject},
          {"detail", row.detail},
          {"recorded_ns", row.recorded_ns}};
}

json::object to_json(const store::AuditRow& row) {
  return {{"ledger", row.ledger}, {"uid", row.uid},       {"role", row.role},
          {"action", row.action}, {"object", row.object}, {"status", row.status},
          {"recorded_ns", row.recorded_ns}};
}

}  // namespace kiln::control
