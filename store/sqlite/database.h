// The only file, with database.cpp, that calls SQLite. A Database is one connection, used by one thread at a time;
// a Statement is a prepared statement that ends with its scope.
// Failure: Error(limit) for a full disk, corrupt for damage, conflict for a broken constraint, io otherwise.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>

struct sqlite3;
struct sqlite3_stmt;

namespace kiln::store {

inline constexpr std::int64_t kApplicationId = 0x4b494c4e;  // "KILN"

enum class Access { read_write, read_only, immutable };

class Database {
 public:
  Database(const std::filesystem::path& file, Access access);

  void exec(const std::string& sql);
  [[nodiscard]] std::int64_t query_int(const std::string& sql);
  [[nodiscard]] std::string query_text(const std::string& sql);
  [[nodiscard]] bool in_transaction() const;
  // Truncates the write-ahead log when no reader needs it; being busy is not an error.
  void checkpoint();
  [[nodiscard]] sqlite3* handle() const { return handle_.get(); }
  [[nodiscard]] const std::filesystem::path& file() const { return file_; }
  [[noreturn]] void fail(int code, const std::string& doing) const;

 private:
  struct Close {
    void operator()(sqlite3* handle) const;
  };
  std::filesystem::path file_;
  std::unique_ptr<sqlite3, Close> handle_;
};

class Statement {
 public:
  Statement(Database& db, std::string_view sql);

  // Binds the parameters from the first on.
  template <class... Values>
  Statement& bind(const Values&... values) {
    int i = 0;
    (bind_one(++i, values), ...);
    return *this;
  }
  [[nodiscard]] bool step();  // true: a row is there
  void run() {
    while (step()) {
    }
  }
  [[nodiscard]] std::int64_t integer(int column) const;
  [[nodiscard]] double real(int column) const;
  [[nodiscard]] std::string text(int column) const;  // text or blob

 private:
  void bind_one(int i, std::int64_t v);
  void bind_one(int i, std::int32_t v) { bind_one(i, std::int64_t{v}); }
  void bind_one(int i, double v);
  void bind_one(int i, std::string_view v);
  void bind_one(int i, const std::string& v) { bind_one(i, std::string_view(v)); }
  void bind_one(int i, const char* v) { bind_one(i, std::string_view(v)); }
  struct Finalize {
    void operator()(sqlite3_stmt* statement) const;
  };
  Database& db_;
  std::unique_ptr<sqlite3_stmt, Finalize> statement_;
};

// Several reads of one state: what the writer commits meanwhile is not seen.
class Snapshot {
 public:
  explicit Snapshot(Database& db) : db_(db) { db_.exec("BEGIN"); }
  ~Snapshot();
  Snapshot(const Snapshot&) = delete;
  Snapshot& operator=(const Snapshot&) = delete;

 private:
  Database& db_;
};

}  // namespace kiln::store
