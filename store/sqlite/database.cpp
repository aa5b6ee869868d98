#include "store/sqlite/database.h"

#include <sqlite3.h>

#include "runtime/base/error.h"

namespace kiln::store {
namespace {

ErrorCode code_of(int result) {
  switch (result & 0xff) {
    case SQLITE_FULL: return ErrorCode::limit;
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB: return ErrorCode::corrupt;
    case SQLITE_CONSTRAINT:
    case SQLITE_READONLY: return ErrorCode::conflict;
    case SQLITE_CANTOPEN: return ErrorCode::not_found;
    case SQLITE_BUSY: return ErrorCode::unavailable;
    case SQLITE_TOOBIG: return ErrorCode::invalid_input;  // one row past the length limit; the disk is well
    default: return ErrorCode::io;
  }
}

// A path as an SQLite URI: everything but unreserved characters in percent form.
std::string uri(const std::filesystem::path& file, std::string_view query) {
  static constexpr char digits[] = "0123456789ABCDEF";
  std::string out = "file:";
  for (const char c : std::filesystem::absolute(file).string()) {
    const auto u = static_cast<unsigned char>(c);
    if (u > 0x20 && u < 0x7f && c != '%' && c != '?' && c != '#') out += c;
    else out.append({'%', digits[u >> 4], digits[u & 15]});
  }
  return out.append(query);
}

}  // namespace

Snapshot::~Snapshot() {
  (void)sqlite3_exec(db_.handle(), "ROLLBACK", nullptr, nullptr,
                     nullptr);  // nothing was written; there is nothing to lose
}

void Database::Close::operator()(sqlite3* handle) const { (void)sqlite3_close_v2(handle); }
void Statement::Finalize::operator()(sqlite3_stmt* s) const { (void)sqlite3_finalize(s); }  // step() has told the error

Database::Database(const std::filesystem::path& file, Access access) : file_(file) {
  int flags = SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_URI | SQLITE_OPEN_NOFOLLOW;
  flags |= access == Access::read_write ? SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE : SQLITE_OPEN_READONLY;
  // NOFOLLOW refuses a link anywhere in the path, so the folder is resolved here and only the file itself may not be
  // one.
  const std::filesystem::path real =
      std::filesystem::weakly_canonical(std::filesystem::absolute(file).parent_path()) / file.filename();
  sqlite3* raw = nullptr;
  const int rc =
      sqlite3_open_v2(uri(real, access == Access::immutable ? "?immutable=1" : "").c_str(), &raw, flags, nullptr);
  handle_.reset(raw);
  if (rc != SQLITE_OK) fail(rc, "open");
  (void)sqlite3_extended_result_codes(raw, 1);
  (void)sqlite3_busy_timeout(raw, 5000);
  (void)sqlite3_db_config(raw, SQLITE_DBCONFIG_DEFENSIVE, 1, nullptr);
  (void)sqlite3_limit(raw, SQLITE_LIMIT_ATTACHED, 0);
  (void)sqlite3_limit(raw, SQLITE_LIMIT_LENGTH, 64 << 20);
  exec("PRAGMA foreign_keys=ON; PRAGMA trusted_schema=OFF; PRAGMA cell_size_check=ON; PRAGMA mmap_size=0");
  if (access != Access::read_write) exec("PRAGMA query_only=ON");
}

void Database::fail(int code, const std::string& doing) const {
  std::string remedy;
  if ((code & 0xff) == SQLITE_FULL) remedy = "free space on the file system of '" + file_.parent_path().string() + "'";
  throw Error(code_of(code), "cannot " + doing + " on '" + file_.string() + "': " +
              (handle_ ? sqlite3_errmsg(handle_.get()) : sqlite3_errstr(code)), remedy);
}

void Database::exec(const std::string& sql) {
  const int rc = sqlite3_exec(handle_.get(), sql.c_str(), nullptr, nullptr, nullptr);
  if (rc != SQLITE_OK) fail(rc, "run '" + sql.substr(0, 60) + "'");
}

std::int64_t Database::query_int(const std::string& sql) {
  Statement s(*this, sql);
  return s.step() ? s.integer(0) : 0;
}

std::string Database::query_text(const std::string& sql) {
  Statement s(*this, sql);
  return s.step() ? s.text(0) : std::string();
}

bool Database::in_transaction() const { return sqlite3_get_autocommit(handle_.get()) == 0; }

void Database::checkpoint() {
  const int rc = sqlite3_wal_checkpoint_v2(handle_.get(), nullptr, SQLITE_CHECKPOINT_TRUNCATE, nullptr, nullptr);
  if (rc != SQLITE_OK && (rc & 0xff) != SQLITE_BUSY) fail(rc, "checkpoint");
}

Statement::Statement(Database& db, std::string_view sql) : db_(db) {
  sqlite3_stmt* raw = nullptr;
  const int rc = sqlite3_prepare_v2(db.handle(), sql.data(), static_cast<int>(sql.size()), &raw, nullptr);
  statement_.reset(raw);
  if (rc != SQLITE_OK) db.fail(rc, "prepare '" + std::string(sql) + "'");
}

bool Statement::step() {
  const int rc = sqlite3_step(statement_.get());
  if (rc == SQLITE_ROW) return true;
  if (rc != SQLITE_DONE) db_.fail(rc, "run '" + std::string(sqlite3_sql(statement_.get())).substr(0, 60) + "'");
  return false;
}

std::int64_t Statement::integer(int column) const { return sqlite3_column_int64(statement_.get(), column); }
double Statement::real(int column) const { return sqlite3_column_double(statement_.get(), column); }

std::string Statement::text(int column) const {
  const void* bytes = sqlite3_column_blob(statement_.get(), column);
  const int size = sqlite3_column_bytes(statement_.get(), column);
  return bytes ? std::string(static_cast<const char*>(bytes), static_cast<std::size_t>(size)) : std::string();
}

void Statement::bind_one(int i, std::int64_t v) {
  if (const int rc = sqlite3_bind_int64(statement_.get(), i, v); rc != SQLITE_OK) db_.fail(rc, "bind");
}
void Statement::bind_one(int i, double v) {
  if (const int rc = sqlite3_bind_double(statement_.get(), i, v); rc != SQLITE_OK) db_.fail(rc, "bind");
}
void Statement::bind_one(int i, std::string_view v) {
  // Not SQLITE_TRANSIENT, whose macro is an old-style cast: the destructor argument -1 means "copy it".
  const auto copy = reinterpret_cast<sqlite3_destructor_type>(std::intptr_t{-1});
  const int rc = sqlite3_bind_text64(statement_.get(), i, v.data() ? v.data() : "", v.size(), copy, SQLITE_UTF8);
  if (rc != SQLITE_OK) db_.fail(rc, "bind");
}

}  // namespace kiln::store
