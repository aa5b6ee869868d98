#include <array>
#include <string>

#include "runtime/base/error.h"
#include "store/ledger/ledger.h"

namespace kiln::store::ledger {
namespace {

// For each kind of row: how many there are beside how many the ledger has, and the first entry that says something
// else.
struct RowCheck {
  const char* what;
  const char* surplus;
  const char* differing;
};

constexpr std::array<RowCheck, 6> kChecks = {{
    {"workload", "SELECT (SELECT count(*) FROM workloads) - (SELECT count(*) FROM ledger WHERE kind = 'workload')",
     "SELECT w.ledger FROM workloads w LEFT JOIN ledger l ON l.sequence = w.ledger WHERE l.kind IS NOT 'workload' OR "
     "l.subject <> w.id "
     "OR l.content <> w.name || ' ' || w.model || ' ' || w.graph || ' ' || w.constants OR l.recorded_ns <> "
     "w.created_ns"},
    {"job", "SELECT (SELECT count(*) FROM jobs) - (SELECT count(*) FROM ledger WHERE kind = 'job')",
     "SELECT l.sequence FROM ledger l LEFT JOIN jobs j ON j.number = CAST(substr(l.subject, 3) AS INTEGER) "
     "WHERE l.kind = 'job' AND l.content IS NOT j.spec"},
    {"job entry",
     "SELECT (SELECT count(*) FROM entries) - (SELECT count(*) FROM ledger WHERE kind IN ('fact', 'decision'))",
     "SELECT e.ledger FROM entries e LEFT JOIN ledger l ON l.sequence = e.ledger "
     "WHERE l.kind IS NOT iif(e.decision, 'decision', 'fact') OR l.subject <> 'j-' || e.job OR l.recorded_ns <> "
     "e.recorded_ns "
     "OR l.content <> e.sequence || ' ' || e.kind || ' ' || e.request_digest || ' ' || e.content"},
    {"release", "SELECT (SELECT count(*) FROM releases) - (SELECT count(*) FROM ledger WHERE kind = 'release')",
     "SELECT r.ledger FROM releases r LEFT JOIN ledger l ON l.sequence = r.ledger WHERE l.kind IS NOT 'release' OR "
     "l.subject <> r.id "
     "OR l.content <> r.workload || ' ' || r.version || ' ' || r.job || ' ' || r.kind OR l.recorded_ns <> "
     "r.created_ns"},
    {"template of the site",
     "SELECT (SELECT count(*) FROM site_templates) - (SELECT count(*) FROM ledger WHERE kind = 'template') + "
     "(SELECT count(*) FROM ledger WHERE kind = 'template.removed')",
     "SELECT t.ledger FROM site_templates t LEFT JOIN ledger l ON l.sequence = t.ledger WHERE l.kind IS NOT 'template' "
     "OR l.subject <> t.family || '/' || t.name OR l.content <> t.digest || ' ' || t.content || ' ' || t.evidence "
     "OR l.recorded_ns <> t.added_ns"},
    {"audit record", "SELECT (SELECT count(*) FROM audit) - (SELECT count(*) FROM ledger WHERE kind = 'audit')",
     "SELECT a.ledger FROM audit a LEFT JOIN ledger l ON l.sequence = a.ledger WHERE l.kind IS NOT 'audit' OR "
     "l.subject <> a.object "
     "OR l.content <> a.uid || ' ' || a.role || ' ' || a.action || ' ' || a.object || ' ' || a.status OR l.recorded_ns "
     "<> a.recorded_ns"},
}};

[[noreturn]] void refuse(const std::string& cause) {
  throw Error(ErrorCode::corrupt, "cannot trust the store: " + cause, "restore the state folder from a backup");
}

}  // namespace

void verify_rows(Database& db) {
  if (const std::string verdict = db.query_text("PRAGMA integrity_check(1)"); verdict != "ok") refuse(verdict);
  for (const RowCheck& check : kChecks) {
    Statement differing(db, check.differing);
    if (differing.step())
      refuse("a " + std::string(check.what) + " is not what entry " + std::to_string(differing.integer(0)) +
             " of the ledger says");
    if (const std::int64_t surplus = db.query_int(check.surplus); surplus != 0)
      refuse("it has " + std::to_string(surplus > 0 ? surplus : -surplus) + (surplus > 0 ? " more " : " fewer ") +
             check.what + " rows than its ledger");
  }
}

}  // namespace kiln::store::ledger
