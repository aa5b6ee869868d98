#include <unistd.h>

#include <cerrno>
#include <optional>

#include "runtime/base/digest.h"
#include "runtime/base/error.h"
#include "runtime/base/files.h"
#include "store/ledger/ledger.h"
#include "store/local_store.h"
#include "store/rows.h"

namespace kiln::store {
namespace {

constexpr const char* kColumns =
    "SELECT r.id, r.workload, r.version, r.job, r.kind, r.summary, r.created_ns, w.name, "
    "coalesce((SELECT release FROM current_stack c WHERE c.workload = r.workload ORDER BY depth DESC LIMIT 1) = r.id, "
    "0) "
    "FROM releases r JOIN workloads w ON w.id = r.workload";

// The release on top of a workload's stack; empty when none was ever current.
std::string top_of(Database& db, const std::string& workload) {
  Statement row(db, "SELECT release FROM current_stack WHERE workload = ? ORDER BY depth DESC LIMIT 1");
  row.bind(workload);
  return row.step() ? row.text(0) : std::string();
}

void push(Database& db, const std::string& workload, const std::string& release) {
  if (top_of(db, workload) == release) return;
  Statement(db,
            "INSERT INTO current_stack SELECT ?, coalesce(max(depth), 0) + 1, ? FROM current_stack WHERE workload = ?")
      .bind(workload, release, workload)
      .run();
  (void)ledger::append(db, "release.current", release, workload, wall_ns());
}

// The release below the top: where a rollback goes.
std::string below_top(Database& db, const std::string& workload) {
  Statement row(db, "SELECT release FROM current_stack WHERE workload = ? ORDER BY depth DESC LIMIT 1 OFFSET 1");
  row.bind(workload);
  return row.step() ? row.text(0) : std::string();
}

void pop(Database& db, const std::string& workload) {
  const std::string to = below_top(db, workload);
  Statement(db,
            "DELETE FROM current_stack WHERE workload = ? AND depth = (SELECT max(depth) FROM current_stack WHERE "
            "workload = ?)")
      .bind(workload, workload)
      .run();
  (void)ledger::append(db, "release.rollback", to, workload, wall_ns());
}

// The daemon's umask closes what it makes; inference processes of its group are to load releases. Files are readable as
// they are written, and the state folder above keeps everybody else out.
void open_to_group(const std::filesystem::path& folder) {
  using std::filesystem::perms;
  std::filesystem::permissions(folder, perms::group_read | perms::group_exec, std::filesystem::perm_options::add);
}

}  // namespace

std::filesystem::path LocalStore::release_folder(const std::string& workload_name) const {
  return options_.directory / "releases" / workload_name;
}

ReleaseRow LocalStore::add_release(const ReleaseRow& given, const std::filesystem::path& staged) {
  const std::lock_guard lock(releases_mutex_);
  require_writable();
  const Workload w = workload(given.workload);
  if (!std::filesystem::is_directory(staged))
    throw Error(ErrorCode::not_found,
                "cannot add a release of workload '" + w.name + "': '" + staged.string() + "' is not there");
  write([&](Database& db) {
    Statement known(db, "SELECT version FROM releases WHERE id = ?");
    known.bind(given.id);
    if (known.step())  // before anything is moved
      throw Error(ErrorCode::conflict,
                  "cannot add release " + given.id + ": it is there as version " + std::to_string(known.integer(0)));
    Statement next(db, "SELECT coalesce(max(version), 0) + 1 FROM releases WHERE workload = ?");
    next.bind(w.id);
    (void)next.step();
    const std::int64_t version = next.integer(0);
    const std::filesystem::path target = release_folder(w.name) / std::to_string(version);
    std::filesystem::create_directories(target.parent_path());
    for (const auto& folder : {target.parent_path().parent_path(), target.parent_path(), staged}) open_to_group(folder);
    for (const auto& entry : std::filesystem::recursive_directory_iterator(staged))
      if (entry.is_directory()) open_to_group(entry.path());
    // A folder without a row is what a crash left between this rename and its commit.
    std::filesystem::remove_all(target);
    std::filesystem::rename(staged, target);
    fsync_directory(target.parent_path());
    const std::int64_t now = wall_ns();
    const std::int64_t sequence = ledger::append(
        db, "release", given.id, w.id + " " + std::to_string(version) + " " + given.job + " " + given.kind, now);
    Statement(db,
              "INSERT INTO releases(id, workload, version, job, kind, summary, created_ns, ledger) VALUES (?, ?, ?, ?, "
              "?, ?, ?, ?)")
        .bind(given.id, w.id, version, given.job, given.kind, column(given.summary), now, sequence)
        .run();
  });
  return release(given.id);
}

std::vector<ReleaseRow> LocalStore::releases(const std::string& workload_id) const {
  const auto lease = read();
  std::vector<ReleaseRow> out;
  Statement rows(lease.db(), std::string(kColumns) + (workload_id.empty() ? " WHERE ? = ''" : " WHERE r.workload = ?") +
                                 " ORDER BY r.workload, r.version");
  rows.bind(workload_id);
  while (rows.step()) {
    ReleaseRow row{rows.text(0),
                   rows.text(1),
                   static_cast<std::int32_t>(rows.integer(2)),
                   rows.text(3),
                   rows.text(4),
                   rows.integer(8) != 0,
                   parse_column(rows.text(5)),
                   rows.integer(6),
                   {}};
    row.directory = release_folder(rows.text(7)) / std::to_string(row.version);
    out.push_back(std::move(row));
  }
  return out;
}

ReleaseRow LocalStore::release(const std::string& id_or_prefix) const {
  std::vector<ReleaseRow> found;
  if (id_or_prefix.size() >= 4)
    for (ReleaseRow& row : releases({}))
      if (row.id.starts_with(id_or_prefix)) found.push_back(std::move(row));
  if (found.empty())
    throw Error(ErrorCode::not_found, "cannot find release '" + id_or_prefix.substr(0, 80) + "': no such release",
                "kctl releases");
  if (found.size() > 1)
    throw Error(ErrorCode::conflict,
                "cannot choose release '" + id_or_prefix + "': " + std::to_string(found.size()) + " begin so",
                "give more digits");
  return std::move(found.front());
}

// The one step that inference processes see: a link made beside and renamed over `current`.
void LocalStore::switch_link(const std::string& workload_name, std::int32_t version) const {
  const std::filesystem::path folder = release_folder(workload_name), fresh = folder / ".current.new",
                              link = folder / "current";
  std::error_code ignored;  // it is there only after a crash
  std::filesystem::remove(fresh, ignored);
  if (::symlink(std::to_string(version).c_str(), fresh.c_str()) != 0 || ::rename(fresh.c_str(), link.c_str()) != 0)
    throw system_error("cannot switch '" + link.string() + "'", errno);
  fsync_directory(folder);
}

void LocalStore::change_current(const Workload& w, const ReleaseRow& to, std::function<void(Database&)> record) {
  require_writable();
  std::string before;
  for (const ReleaseRow& row : releases(w.id))
    if (row.current) before = std::to_string(row.version);
  switch_link(w.name, to.version);
  try {
    write(std::move(record));
  } catch (...) {
    try {  // what the table says is current must be what processes load
      if (before.empty()) std::filesystem::remove(release_folder(w.name) / "current");
      else switch_link(w.name, std::stoi(before));
    } catch (const std::exception&) {  // the disk refuses this too; the next open follows the link
    }
    throw;
  }
}

void LocalStore::set_current(const std::string& release_id) {
  const std::lock_guard lock(releases_mutex_);
  const ReleaseRow row = release(release_id);
  if (row.current) return;
  change_current(workload(row.workload), row, [&](Database& db) { push(db, row.workload, row.id); });
}

ReleaseRow LocalStore::rollback(const std::string& id_or_name) {
  const std::lock_guard lock(releases_mutex_);
  const Workload w = workload(id_or_name);
  std::string before;
  {
    const auto lease = read();
    before = below_top(lease.db(), w.id);
  }
  if (before.empty())
    throw Error(ErrorCode::conflict, "cannot roll back workload '" + w.name + "': no release was current before",
                "kctl releases " + w.name);
  const ReleaseRow target = release(before);
  change_current(w, target, [&](Database& db) { pop(db, w.id); });
  return release(before);
}

// After a crash the link may be one step ahead of the table: it was switched first, and it is what processes load, so
// it is right. A link to the release below the top was a rollback. A link that is missing or leads nowhere follows the
// table.
void LocalStore::reconcile_releases() {
  for (const Workload& w : workloads()) {
    std::error_code failed;
    const std::filesystem::path target = std::filesystem::read_symlink(release_folder(w.name) / "current", failed);
    std::optional<ReleaseRow> linked, current;
    for (ReleaseRow& row : releases(w.id)) {
      if (!failed && target == std::to_string(row.version)) linked = row;
      if (row.current) current = std::move(row);
    }
    if (linked && !linked->current)
      writer_->write([&](Database& db) {
        if (below_top(db, w.id) == linked->id) pop(db, w.id);
        else push(db, w.id, linked->id);
      });
    if (!linked && current) switch_link(w.name, current->version);
  }
}

}  // namespace kiln::store
