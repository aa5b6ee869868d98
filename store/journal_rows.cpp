#include "runtime/base/error.h"
#include "runtime/base/json.h"
#include "store/ledger/ledger.h"
#include "store/local_store.h"
#include "store/rows.h"
#include "store/signing/openssl.h"

namespace kiln::store {

std::int64_t LocalStore::add_event(std::string_view kind, std::string_view subject, const json::object& detail) {
  std::int64_t serial = 0;
  write([&](Database& db) {
    Statement(db, "INSERT INTO events(kind, subject, detail, recorded_ns) VALUES (?, ?, ?, ?)")
        .bind(kind, subject, column(detail), wall_ns())
        .run();
    serial = db.query_int("SELECT last_insert_rowid()");
  });
  const std::lock_guard lock(listener_mutex_);
  if (listener_) listener_(serial);
  return serial;
}

std::vector<Event> LocalStore::events_after(std::int64_t serial, std::int32_t limit) const {
  const auto lease = read();
  std::vector<Event> out;
  Statement rows(
      lease.db(),
      "SELECT serial, kind, subject, detail, recorded_ns FROM events WHERE serial > ? ORDER BY serial LIMIT ?");
  rows.bind(serial, limit);
  while (rows.step())
    out.push_back({rows.integer(0), rows.text(1), rows.text(2), parse_column(rows.text(3)), rows.integer(4)});
  return out;
}

void LocalStore::on_event(std::function<void(std::int64_t serial)> listener) {
  const std::lock_guard lock(listener_mutex_);
  listener_ = std::move(listener);
}

void LocalStore::add_audit(const AuditRow& row) {
  write([&](Database& db) {
    const std::int64_t now = wall_ns();
    const std::string text = std::to_string(row.uid) + " " + row.role + " " + row.action + " " + row.object + " " +
                             std::to_string(row.status);
    const std::int64_t sequence = ledger::append(db, "audit", row.object, text, now);
    Statement(db,
              "INSERT INTO audit(ledger, uid, role, action, object, status, recorded_ns) VALUES (?, ?, ?, ?, ?, ?, ?)")
        .bind(sequence, row.uid, row.role, row.action, row.object, row.status, now)
        .run();
  });
}

std::vector<AuditRow> LocalStore::audit(std::int64_t after_ledger, std::int32_t limit) const {
  const auto lease = read();
  std::vector<AuditRow> out;
  Statement rows(lease.db(),
                 "SELECT ledger, uid, role, action, object, status, recorded_ns FROM audit WHERE ledger > ? ORDER BY "
                 "ledger LIMIT ?");
  rows.bind(after_ledger, limit);
  while (rows.step())
    out.push_back({rows.integer(0), rows.integer(1), rows.text(2), rows.text(3), rows.text(4),
                   static_cast<std::int32_t>(rows.integer(5)), rows.integer(6)});
  return out;
}

void LocalStore::add_priors(const std::vector<Prior>& priors) {
  write([&](Database& db) {
    for (const Prior& prior : priors)
      Statement(db, "INSERT OR REPLACE INTO priors(region, node, variant, verdict, median_ns) VALUES (?, ?, ?, ?, ?)")
          .bind(prior.region, prior.node, json::canonical(prior.variant), prior.verdict, prior.median_ns)
          .run();
  });
}

std::vector<Prior> LocalStore::priors(const std::string& region) const {
  const auto lease = read();
  std::vector<Prior> out;
  Statement rows(lease.db(),
                 "SELECT region, node, variant, verdict, median_ns FROM priors WHERE region = ? ORDER BY median_ns, "
                 "node, variant");
  rows.bind(region);
  while (rows.step())
    out.push_back({rows.text(0), rows.text(1), parse_column(rows.text(2)), rows.text(3), rows.real(4)});
  return out;
}

LedgerHead LocalStore::ledger_head() const {
  const auto lease = read();
  const Snapshot snapshot(lease.db());
  const ledger::Head head = ledger::head(lease.db());
  return {head.size, head.root, lease.db().query_text("SELECT note FROM checkpoints ORDER BY size DESC LIMIT 1")};
}

LedgerHead LocalStore::sign_checkpoint(const std::function<std::string(std::string_view)>& sign_note) {
  LedgerHead out;
  write([&](Database& db) {
    const ledger::Head head = ledger::head(db);
    out = {head.size, head.root,
           sign_note("kiln/" + db.query_text("SELECT value FROM meta WHERE key = 'node'") + "\n" +
                     std::to_string(head.size) + "\n" + base64(head.raw_root) + "\n")};
    Statement(db, "INSERT OR REPLACE INTO checkpoints(size, note, recorded_ns) VALUES (?, ?, ?)")
        .bind(out.size, out.checkpoint, wall_ns())
        .run();
  });
  return out;
}

std::int64_t LocalStore::verify_ledger() const {
  const auto lease = read();
  const Snapshot snapshot(lease.db());  // or an append between two reads would look like damage
  const std::int64_t entries = ledger::verify(lease.db());
  ledger::verify_rows(lease.db());
  return entries;
}

}  // namespace kiln::store
