// Disks that change bytes, run full, or are read by another process.
#include <doctest/doctest.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <atomic>
#include <filesystem>
#include <random>
#include <thread>

#include "runtime/base/error.h"
#include "runtime/base/files.h"
#include "runtime/base/json.h"
#include "store/sqlite/database.h"
#include "store/store.h"
#include "store/writer.h"
#include "tests/store/fixture.h"

using namespace kiln;
using namespace kiln::store;
using namespace kiln::store::test;

namespace {

void fill(Store& store) {
  const Workload w = add_workload(store, "block");
  const Job job = store.add_job(w.id, {{"seed", 1}});
  for (int i = 0; i < 12; ++i) (void)store.append_entry(job.id, entry_at(store, i));
  store.add_audit({0, 1000, "admin", "POST /v1/jobs", job.id, 201, 0});
  (void)add_release(store, w, "baseline");
}

// All that the ledger answers for, as one text.
std::string recorded(const Store& store) {
  std::string out;
  for (const Workload& w : store.workloads())
    out += w.id + w.name + w.model + w.graph + w.constants + std::to_string(w.created_ns) + "\n";
  for (const Job& j : store.jobs()) {
    out += j.id + json::canonical(j.spec) + "\n";
    for (const JobEntry& e : store.entries(j.id))
      out += std::to_string(e.sequence) + e.kind + (e.decision ? "d" : "f") + e.request_digest + e.content +
             std::to_string(e.recorded_ns) + "\n";
  }
  for (const AuditRow& a : store.audit(0, 100))
    out += std::to_string(a.uid) + a.role + a.action + a.object + std::to_string(a.status) + "\n";
  for (const ReleaseRow& r : store.releases({}))
    out += r.id + r.workload + std::to_string(r.version) + r.job + r.kind + "\n";
  return out;
}

// In a child, since the limit cannot be raised again: files may not grow past `bytes`. Returns its exit status.
int limited(rlim_t bytes, const std::function<int()>& work) {
  const pid_t child = ::fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    ::signal(SIGXFSZ, SIG_IGN);
    const rlimit limit{bytes, bytes};
    if (::setrlimit(RLIMIT_FSIZE, &limit) != 0) ::_exit(100);
    try {
      ::_exit(work());
    } catch (...) {
      ::_exit(101);
    }
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 102;
}

}  // namespace

TEST_CASE("one flipped byte anywhere in the database is found or changes nothing that is recorded") {
  const TemporaryFolder folder;
  std::string before;
  {
    const auto store = open_store(folder);
    fill(*store);
    before = recorded(*store);
  }
  const std::filesystem::path file = folder.path / "kiln.db";
  const std::string whole = read_file(file);
  std::mt19937 random(3);
  int found = 0;
  for (int round = 0; round < 300; ++round) {
    std::string bytes = whole;
    const std::size_t at = round < 100 ? static_cast<std::size_t>(round) : random() % bytes.size();
    bytes[at] = static_cast<char>(bytes[at] ^ (1 << random() % 8));
    for (const char* suffix : {"-wal", "-shm"}) std::filesystem::remove(file.string() + suffix);
    write_file_atomic(file, bytes);
    std::string after;
    try {
      const auto store = Store::open({.directory = folder.path, .ballast_bytes = 0, .read_only = true});
      (void)store->verify_ledger();
      after = recorded(*store);
    } catch (const Error&) {
      ++found;
      continue;
    }
    CHECK_MESSAGE(after == before, "byte " << at);
  }
  CHECK(found > 0);
}

TEST_CASE("a row that says something else than its ledger entry is found, and so is a missing one") {
  for (const char* forgery :
       {"UPDATE entries SET request_digest = 'forged' WHERE sequence = 3", "DELETE FROM entries WHERE sequence = 11",
        "UPDATE workloads SET model = 'forged'", "UPDATE jobs SET spec = '{\"seed\":2}'", "UPDATE audit SET uid = 0",
        "DELETE FROM audit", "UPDATE releases SET kind = 'tuned'",
        "UPDATE entries SET decision = 1 WHERE sequence = 0"}) {
    const TemporaryFolder folder;
    fill(*open_store(folder));
    CHECK(open_store(folder)->verify_ledger() > 0);
    Database(folder.path / "kiln.db", Access::read_write).exec(forgery);
    CHECK_THROWS_AS_MESSAGE((void)open_store(folder)->verify_ledger(), Error, forgery);
  }
}

TEST_CASE("verifying while others append finds no damage") {
  const TemporaryFolder folder;
  const auto store = open_store(folder);
  std::atomic<bool> stop = false;
  std::jthread writer([&] {
    for (int i = 0; !stop; ++i) store->add_audit({0, i, "view", "GET /v1/jobs", "", 200, 0});
  });
  for (int i = 0; i < 30; ++i) {
    CHECK_NOTHROW((void)store->verify_ledger());
    (void)store->ledger_head();
  }
  stop = true;
}

TEST_CASE("a blob cut at any byte is refused, and putting its content again mends it") {
  const TemporaryFolder folder;
  const auto store = open_store(folder);
  const std::string content = "forty bytes of content, no more, no less";
  const std::string digest = store->put_blob(content);
  const std::filesystem::path file = store->blob_path(digest);
  std::filesystem::permissions(file, std::filesystem::perms::owner_all);
  for (std::size_t size = content.size(); size-- > 0;) {
    std::filesystem::resize_file(file, size);
    CHECK_THROWS_AS((void)store->blob(digest), Error);
  }
  CHECK(store->put_blob(content) == digest);
  CHECK(store->blob(digest) == content);
}

TEST_CASE("a full database is a limit that the writer tells, and what was committed stays") {
  const TemporaryFolder folder;
  Database db(folder.path / "small.db", Access::read_write);
  db.exec("PRAGMA journal_mode=WAL; PRAGMA max_page_count=8; CREATE TABLE t (x TEXT) STRICT");
  std::atomic<int> failures = 0;
  int written = 0;
  {
    Writer writer(db, [&](const std::exception_ptr&) { ++failures; });
    try {
      for (;; ++written)
        writer.write([](Database& d) { Statement(d, "INSERT INTO t VALUES (?)").bind(std::string(2000, 'x')).run(); });
    } catch (const Error& error) {
      CHECK(error.code() == ErrorCode::limit);
      CHECK(!error.remedy().empty());
    }
  }
  CHECK(failures == 1);
  CHECK(written > 0);
  CHECK(db.query_int("SELECT count(*) FROM t") == written);
}

TEST_CASE("a disk that takes no more bytes makes the store read-only, and loses nothing") {
  const TemporaryFolder folder;
  fill(*open_store(folder));
  const int status = limited(256 << 10, [&] {
    const auto store = open_store(folder);
    std::int64_t acknowledged = 0;
    try {
      for (;;) acknowledged = store->add_event("test", "s", {{"text", std::string(20000, 'x')}});
    } catch (const Error&) {
    }
    if (acknowledged == 0 || !store->read_only()) return 1;
    if (static_cast<std::int64_t>(store->events_after(0, 1000).size()) != acknowledged) return 2;
    try {
      store->add_audit({});
      return 3;
    } catch (const Error& error) {
      if (error.code() != ErrorCode::limit || error.remedy().empty()) return 4;
    }
    const std::string release = store->releases({}).front().id;
    try {
      store->set_current(release);
      return 5;
    } catch (const Error&) {
    }
    if (std::filesystem::exists(std::filesystem::symlink_status(folder.path / "releases/block/current"))) return 6;
    return 0;
  });
  CHECK(status == 0);
  const auto store = open_store(folder);
  CHECK(store->verify_ledger() > 0);
  CHECK(store->events_after(0, 1).size() == 1);
  CHECK_NOTHROW(store->add_audit({}));
}

TEST_CASE("a row past SQLite's length limit is refused, and the store goes on") {
  const TemporaryFolder folder;
  const auto store = open_store(folder);
  CHECK_THROWS_AS((void)store->add_event("test", "s", {{"text", std::string(65 << 20, 'x')}}), Error);
  CHECK(!store->read_only());
  CHECK(store->add_event("test", "s", {}) == 1);
}

TEST_CASE("a release that is not there, or is there already, moves nothing") {
  const TemporaryFolder folder;
  const auto store = open_store(folder);
  const Workload w = add_workload(*store, "m");
  const ReleaseRow one = add_release(*store, w, "baseline");
  CHECK_THROWS_AS((void)store->add_release(one, folder.path / "staging/absent"), Error);
  CHECK_THROWS_AS((void)add_release(*store, w, "baseline"), Error);  // the same content: the same id
  CHECK(!store->read_only());
  CHECK(store->releases(w.id).size() == 1);
  CHECK(!std::filesystem::exists(folder.path / "releases/m/2"));
}

TEST_CASE("a store opened for reading writes nothing and leaves another's uploads alone") {
  const TemporaryFolder folder;
  const auto writing = open_store(folder);
  fill(*writing);
  const auto upload = writing->upload(100);
  upload->write(std::as_bytes(std::span(std::string_view("abc"))));
  {
    const auto reading = Store::open({.directory = folder.path, .read_only = true});
    CHECK(reading->read_only());
    CHECK(recorded(*reading) == recorded(*writing));
    CHECK_THROWS_AS((void)reading->put_blob("x"), Error);
    CHECK_THROWS_AS(reading->set_current(reading->releases({}).front().id), Error);
    CHECK(!std::filesystem::exists(std::filesystem::symlink_status(folder.path / "releases/block/current")));
  }
  CHECK(upload->commit() == sha256_hex("abc"));
}

TEST_CASE("a newer schema is refused with the name of the backup to go back to") {
  const TemporaryFolder folder;
  (void)open_store(folder);
  write_file_atomic(folder.path / "backups/kiln-schema-1.db", "a backup");
  Database(folder.path / "kiln.db", Access::read_write).exec("PRAGMA user_version = 999");
  try {
    (void)open_store(folder);
    FAIL("a newer schema was opened");
  } catch (const Error& error) {
    CHECK(error.code() == ErrorCode::conflict);
    CHECK(error.remedy().find("kiln-schema-1.db") != std::string::npos);
  }
}

TEST_CASE("an idle store uses no processor time") {
  const TemporaryFolder folder;
  const auto store = open_store(folder);
  fill(*store);
  const auto used_ns = [] {
    timespec t{};
    ::clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return t.tv_sec * 1'000'000'000 + t.tv_nsec;
  };
  // A second with next to nothing in it: those before it have the one checkpoint after the last write, which a slow
  // disk draws out.
  std::int64_t used = -1;
  for (int second = 0; second < 60 && (used < 0 || used >= 5'000'000); ++second) {
    const std::int64_t before = used_ns();
    ::usleep(1'000'000);
    used = used_ns() - before;
  }
  CHECK(used < 5'000'000);
  CHECK(std::filesystem::file_size(folder.path / "kiln.db-wal") == 0);  // it was folded in
}
