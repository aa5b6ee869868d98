// The schema as numbered steps: store/migrations/NNNN_*.sql, compiled in. Step i leads to user_version i + 1.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "store/sqlite/database.h"

namespace kiln::store {

[[nodiscard]] const std::vector<std::string>& migrations();

// Brings the database to this build's schema, after a VACUUM INTO `backups` when there is something to lose. Refuses a
// file that is not Kiln's, a damaged one, and a newer schema (naming the latest backup).
void migrate(Database& db, const std::filesystem::path& backups);
// The same refusals without changing anything.
void check_schema(Database& db, const std::filesystem::path& backups);

}  // namespace kiln::store
