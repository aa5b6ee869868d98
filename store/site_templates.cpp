#include "runtime/base/error.h"
#include "store/ledger/ledger.h"
#include "store/local_store.h"

namespace kiln::store {
namespace {

std::string title(const std::string& family, const std::string& name) { return family + "/" + name; }

}  // namespace

void LocalStore::add_site_template(const SiteTemplate& t) {
  const std::string subject = title(t.family, t.name);
  for (const std::string* digest : {&t.content, &t.evidence})
    if (!has_blob(*digest))
      throw Error(ErrorCode::not_found, "cannot add template '" + subject + "': blob " + *digest + " is not stored");
  write([&](Database& db) {
    Statement known(db, "SELECT 1 FROM site_templates WHERE family = ? AND name = ?");
    known.bind(t.family, t.name);
    if (known.step())
      throw Error(ErrorCode::conflict, "cannot add template '" + subject + "': the site has one of that name",
                  "kctl corpus remove " + subject);
    const std::int64_t now = wall_ns();
    const std::int64_t sequence =
        ledger::append(db, "template", subject, t.digest + " " + t.content + " " + t.evidence, now);
    Statement(db, "INSERT INTO site_templates VALUES (?, ?, ?, ?, ?, ?, ?)")
        .bind(t.family, t.name, t.digest, t.content, t.evidence, now, sequence)
        .run();
  });
}

std::vector<SiteTemplate> LocalStore::site_templates() const {
  const auto lease = read();
  std::vector<SiteTemplate> out;
  Statement rows(lease.db(),
                 "SELECT family, name, digest, content, evidence, added_ns FROM site_templates ORDER BY family, name");
  while (rows.step())
    out.push_back({rows.text(0), rows.text(1), rows.text(2), rows.text(3), rows.text(4), rows.integer(5)});
  return out;
}

void LocalStore::remove_site_template(const std::string& family, const std::string& name) {
  write([&](Database& db) {
    Statement row(db, "DELETE FROM site_templates WHERE family = ? AND name = ? RETURNING digest");
    row.bind(family, name);
    if (!row.step())
      throw Error(ErrorCode::not_found, "cannot remove template '" + title(family, name) + "': it is not the site's",
                  "kctl corpus list");
    const std::string digest = row.text(0);
    while (row.step()) continue;  // the row goes with the last step
    (void)ledger::append(db, "template.removed", title(family, name), digest, wall_ns());
  });
}

}  // namespace kiln::store
