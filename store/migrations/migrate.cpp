#include <fcntl.h>

#include <algorithm>
#include <cerrno>

#include "runtime/base/error.h"
#include "runtime/base/files.h"
#include "store/migrations/migrations.h"

namespace kiln::store {
namespace {

std::string latest_backup(const std::filesystem::path& backups) {
  std::string latest;
  if (std::filesystem::is_directory(backups))
    for (const auto& entry : std::filesystem::directory_iterator(backups))
      latest = std::max(latest, entry.path().string());
  return latest;
}

void refuse_foreign(Database& db, std::int64_t version) {
  const std::int64_t application = db.query_int("PRAGMA application_id");
  const bool empty = version == 0 && db.query_int("SELECT count(*) FROM sqlite_schema") == 0;
  if (application != kApplicationId && !(application == 0 && empty))
    throw Error(ErrorCode::conflict,
                "cannot open store '" + db.file().string() + "': it is another application's database");
}

void back_up(Database& db, const std::filesystem::path& backups, std::int64_t version) {
  std::filesystem::create_directories(backups);
  const std::filesystem::path target = backups / ("kiln-schema-" + std::to_string(version) + ".db");
  const std::filesystem::path partial = target.string() + ".partial";
  std::filesystem::remove(partial);  // of a backup that a crash cut short
  Statement(db, "VACUUM INTO ?").bind(partial.string()).run();
  UniqueFd fd(::open(partial.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd || ::fsync(fd.get()) != 0) throw system_error("cannot sync backup '" + partial.string() + "'", errno);
  std::filesystem::rename(partial, target);
  fsync_directory(backups);
}

}  // namespace

void check_schema(Database& db, const std::filesystem::path& backups) {
  const std::int64_t version = db.query_int("PRAGMA user_version");
  refuse_foreign(db, version);
  const auto known = static_cast<std::int64_t>(migrations().size());
  if (version > known) {
    const std::string backup = latest_backup(backups);
    throw Error(
        ErrorCode::conflict,
        "cannot open store '" + db.file().string() + "': its schema " + std::to_string(version) +
            " is newer than this build's " + std::to_string(known),
        backup.empty() ? "install the newer Kiln" : "install the newer Kiln, or go back to backup '" + backup + "'");
  }
  if (version == 0) return;
  if (const std::string verdict = db.query_text("PRAGMA quick_check(1)"); verdict != "ok")
    throw Error(ErrorCode::corrupt, "cannot open store '" + db.file().string() + "': " + verdict,
                "restore a backup from '" + backups.string() + "'");
}

void migrate(Database& db, const std::filesystem::path& backups) {
  check_schema(db, backups);
  const std::int64_t version = db.query_int("PRAGMA user_version");
  const auto known = static_cast<std::int64_t>(migrations().size());
  if (version > 0 && version < known) back_up(db, backups, version);
  for (std::int64_t step = version; step < known; ++step) {
    db.exec("BEGIN IMMEDIATE");
    db.exec(migrations()[static_cast<std::size_t>(step)]);
    db.exec("PRAGMA application_id=" + std::to_string(kApplicationId) +
            "; PRAGMA user_version=" + std::to_string(step + 1));
    db.exec("COMMIT");
  }
}

}  // namespace kiln::store
