#include "store/local_store.h"

#include <fcntl.h>

#include <chrono>

#include "runtime/base/error.h"
#include "runtime/base/files.h"
#include "store/migrations/migrations.h"

namespace kiln::store {
namespace {

std::unique_ptr<Database> open_database(const Options& options) {
  const std::filesystem::path file = options.directory / "kiln.db";
  const std::filesystem::path backups = options.directory / "backups";
  auto db = std::make_unique<Database>(file, options.read_only ? Access::read_only : Access::read_write);
  if (options.read_only) {
    check_schema(*db, backups);
    return db;
  }
  db->exec(
      "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA wal_autocheckpoint=0; PRAGMA "
      "journal_size_limit=67108864");
  migrate(*db, backups);
  return db;
}

std::filesystem::path prepared(const Options& options) {
  if (!options.read_only)
    for (const char* folder : {"", "releases", "staging", "backups", "keys"})
      std::filesystem::create_directories(options.directory / folder);
  return options.directory / "blobs";
}

// Space that an operator can free by deleting one file when nothing else can be written.
void keep_ballast(const Options& options) {
  const std::filesystem::path file = options.directory / "ballast";
  std::error_code ignored;  // without it the store works, it is only harder to rescue
  if (options.read_only || options.ballast_bytes <= 0 || std::filesystem::exists(file, ignored)) return;
  const UniqueFd fd(::open(file.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
  if (fd) (void)::posix_fallocate(fd.get(), 0, options.ballast_bytes);
}

}  // namespace

std::int64_t wall_ns() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::system_clock::now().time_since_epoch())
      .count();
}

ReadPool::Lease::~Lease() {
  const std::lock_guard lock(pool_.mutex_);
  pool_.idle_.push_back(std::move(db_));
}

ReadPool::Lease ReadPool::lease() {
  {
    const std::lock_guard lock(mutex_);
    if (!idle_.empty()) {
      std::unique_ptr<Database> db = std::move(idle_.back());
      idle_.pop_back();
      return Lease(*this, std::move(db));
    }
  }
  return Lease(*this, std::make_unique<Database>(file_, Access::read_only));
}

std::unique_ptr<Store> Store::open(const Options& options) { return std::make_unique<LocalStore>(options); }

LocalStore::LocalStore(const Options& options)
    : options_(options),
      blobs_(prepared(options), options.read_only),
      db_(open_database(options)),
      pool_(options.directory / "kiln.db"),
      read_only_(options.read_only) {
  keep_ballast(options);
  // A full disk or a failed sync ends writing: what was acknowledged stays, and nothing is tried again in the hope that
  // it works.
  writer_ = std::make_unique<Writer>(*db_, [this](const std::exception_ptr& failure) {
    try {
      std::rethrow_exception(failure);
    } catch (const Error& error) {
      if (error.code() == ErrorCode::limit || error.code() == ErrorCode::io || error.code() == ErrorCode::corrupt)
        read_only_ = true;
    } catch (...) {  // the caller hears of it; the store itself is well
    }
  });
  if (!options.read_only) {
    for (const auto& entry : std::filesystem::directory_iterator(options.directory / "staging"))
      std::filesystem::remove_all(entry.path());
    reconcile_releases();
  }
}

void LocalStore::require_writable() const {
  if (options_.read_only)
    throw Error(ErrorCode::conflict,
                "cannot write to the store in '" + options_.directory.string() + "': it was opened for reading");
  if (read_only_)
    throw Error(
        ErrorCode::limit,
        "cannot write to the store in '" + options_.directory.string() + "': it is read-only since a write failed",
        "free space, delete '" + (options_.directory / "ballast").string() + "' if you must, and restart kilnd");
}

void LocalStore::write(std::function<void(Database&)> work) {
  require_writable();
  writer_->write(std::move(work));
}

std::string LocalStore::put_blob(std::span<const std::byte> bytes) {
  require_writable();
  return blobs_.put(bytes);
}

void LocalStore::drop_upload(const std::string& digest) {
  require_writable();
  blobs_.drop_upload(digest);
}

void LocalStore::keep_blob(const std::string& digest) { blobs_.keep(digest); }

bool LocalStore::keep_blob(const std::string& digest, std::int64_t bytes) { return blobs_.keep(digest, bytes); }

std::unique_ptr<Store::Upload> LocalStore::upload(std::int64_t limit_bytes) {
  require_writable();
  return blobs_.upload(limit_bytes);
}

}  // namespace kiln::store
