#include "runtime/base/error.h"
#include "store/ledger/ledger.h"
#include "store/local_store.h"
#include "store/rows.h"

namespace kiln::store {
namespace {

constexpr const char* kColumns = "SELECT id, name, model, graph, constants, import, created_ns FROM workloads";

Workload workload_from(const Statement& row) {
  return {row.text(0), row.text(1), row.text(2), row.text(3), row.text(4), parse_column(row.text(5)), row.integer(6)};
}

}  // namespace

void LocalStore::add_workload(const Workload& w) {
  for (const std::string* digest : {&w.model, &w.graph})
    if (!has_blob(*digest))
      throw Error(ErrorCode::not_found, "cannot add workload '" + w.name + "': blob " + *digest + " is not stored");
  write([&](Database& db) {
    Statement existing(db, "SELECT id, name FROM workloads WHERE id = ? OR name = ?");
    existing.bind(w.id, w.name);
    while (existing.step()) {
      if (existing.text(0) == w.id && existing.text(1) == w.name) return;  // imported before: nothing to do
      if (existing.text(0) == w.id)
        throw Error(ErrorCode::conflict,
                    "cannot add workload '" + w.name + "': the same model is there as '" + existing.text(1) + "'",
                    "use that name");
      throw Error(ErrorCode::conflict, "cannot add workload '" + w.name + "': the name is taken by another model",
                  "choose another with --name");
    }
    const std::int64_t now = wall_ns();
    const std::int64_t sequence =
        ledger::append(db, "workload", w.id, w.name + " " + w.model + " " + w.graph + " " + w.constants, now);
    Statement(db,
              "INSERT INTO workloads(id, name, model, graph, constants, import, created_ns, ledger) VALUES (?, ?, ?, "
              "?, ?, ?, ?, ?)")
        .bind(w.id, w.name, w.model, w.graph, w.constants, column(w.import), now, sequence)
        .run();
  });
}

std::vector<Workload> LocalStore::workloads() const {
  const auto lease = read();
  std::vector<Workload> out;
  Statement rows(lease.db(), std::string(kColumns) + " ORDER BY created_ns, id");
  while (rows.step()) out.push_back(workload_from(rows));
  return out;
}

Workload LocalStore::workload(const std::string& id_or_name) const {
  const auto lease = read();
  Statement row(lease.db(), std::string(kColumns) + " WHERE id = ? OR name = ?");
  row.bind(id_or_name, id_or_name);
  if (!row.step())
    throw Error(ErrorCode::not_found, "cannot find workload '" + id_or_name.substr(0, 80) + "': no such workload",
                "kctl show");
  return workload_from(row);
}

}  // namespace kiln::store
