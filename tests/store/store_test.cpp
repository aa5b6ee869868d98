#include <doctest/doctest.h>
#include <sys/stat.h>

#include <filesystem>
#include <thread>

#include "runtime/base/digest.h"
#include "runtime/base/error.h"
#include "runtime/base/files.h"
#include "runtime/base/json.h"
#include "store/ledger/ledger.h"
#include "store/releases.h"
#include "store/store.h"
#include "tests/store/fixture.h"

using namespace kiln;
using namespace kiln::store;
using namespace kiln::store::test;

namespace {

std::string raw(const std::string& hex) {
  std::string out;
  for (std::size_t i = 0; i < hex.size(); i += 2) out += static_cast<char>(std::stoi(hex.substr(i, 2), nullptr, 16));
  return out;
}
std::string hex(const std::string& bytes) {
  std::string out;
  char text[3];
  for (const char c : bytes) {
    std::snprintf(text, sizeof text, "%02x", static_cast<unsigned>(static_cast<unsigned char>(c)));
    out += text;
  }
  return out;
}

}  // namespace

// The tree heads of the reference vectors that Certificate Transparency implementations share
// (google/certificate-transparency, merkle tree tests; eight leaves of rising length).
TEST_CASE("the tree is that of RFC 6962") {
  const std::vector<std::string> leaves = {
      "", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"};
  const std::vector<std::string> roots = {"6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
                                          "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
                                          "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
                                          "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
                                          "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
                                          "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
                                          "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
                                          "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328"};
  CHECK(hex(ledger::tree_root({})) == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  std::vector<std::string> so_far;
  for (std::size_t i = 0; i < leaves.size(); ++i) {
    so_far.push_back(ledger::leaf_hash(raw(leaves[i])));
    CHECK(hex(ledger::tree_root(so_far)) == roots[i]);
  }
}

TEST_CASE("what is written is there after reopening, and the ledger is whole") {
  const TemporaryFolder folder;
  std::int64_t entries = 0;
  {
    const auto store = open_store(folder);
    const Workload w = add_workload(*store, "block");
    const Job job = store->add_job(w.id, {{"seed", 1}});
    for (int i = 0; i < 5; ++i) (void)store->append_entry(job.id, entry_at(*store, i));
    CHECK_THROWS_AS((void)store->append_entry(job.id, entry_at(*store, 7)), Error);
    store->set_job_state(job.id, JobState::done, "", {{"x", 2}});
    store->add_audit({0, 1000, "admin", "POST /v1/jobs", job.id, 201, 0});
    entries = store->verify_ledger();
  }
  const auto store = open_store(folder);
  CHECK(store->verify_ledger() == entries);
  CHECK(store->job("j-1").state == JobState::done);
  CHECK(store->job("j-1").result.at("x") == 2);
  CHECK(store->entries("j-1").size() == 5);
  CHECK(store->blob(store->entries("j-1")[3].content) == "{\"n\":3}");
  CHECK(store->audit(0, 10).size() == 1);
  CHECK_THROWS_AS((void)store->job("j-2"), Error);
  CHECK_THROWS_AS((void)store->job("j-1; DROP TABLE jobs"), Error);
}

TEST_CASE("a name or a model is taken once, and importing the same again changes nothing") {
  const TemporaryFolder folder;
  const auto store = open_store(folder);
  Workload w = add_workload(*store, "a");
  CHECK_NOTHROW(store->add_workload(w));
  CHECK(store->workloads().size() == 1);
  w.name = "b";
  CHECK_THROWS_AS(store->add_workload(w), Error);
  w.name = "a";
  w.id = "w-other";
  CHECK_THROWS_AS(store->add_workload(w), Error);
}

namespace {

std::string upload(Store& store, std::string_view text) {
  const std::unique_ptr<Store::Upload> incoming = store.upload(100);
  incoming->write(std::as_bytes(std::span(text)));
  return incoming->commit();
}

}  // namespace

TEST_CASE("an upload that is done with is gone with the last of its kind, and can be sent again") {
  const TemporaryFolder folder;
  const auto store = open_store(folder);
  const std::string digest = upload(*store, "content"), other = upload(*store, "other");
  CHECK(upload(*store, "content") == digest);  // of two who sent it, the first is done
  store->drop_upload(digest);
  CHECK(store->blob(digest) == "content");
  store->drop_upload(digest);
  CHECK_FALSE(store->has_blob(digest));
  CHECK_THROWS_AS((void)store->blob_path(digest), Error);
  CHECK(store->blob(other) == "other");
  store->drop_upload(digest);  // no error
  CHECK(upload(*store, "content") == digest);
  CHECK(store->blob(digest) == "content");
  CHECK_THROWS_AS(store->drop_upload("../kiln.db"), Error);
  const auto reader = Store::open({.directory = folder.path, .read_only = true});
  CHECK_THROWS_AS(reader->drop_upload(digest), Error);
  CHECK(store->has_blob(digest));
}

TEST_CASE("a blob that anything but uploads put or keeps stays when they are done with") {
  const TemporaryFolder folder;
  auto store = open_store(folder);
  const std::string before = store->put_blob("before"), after = upload(*store, "after"), kept = upload(*store, "kept");
  CHECK(upload(*store, "before") == before);
  CHECK(store->put_blob("after") == after);
  store->keep_blob(kept);
  CHECK(upload(*store, "kept") == kept);
  for (const std::string& digest : {before, after, kept}) {
    store->drop_upload(digest);
    store->drop_upload(digest);
    CHECK(store->has_blob(digest));
  }
  // So does one that would be put if it were not there, or of another size.
  const std::string asked = upload(*store, "asked"), cut = upload(*store, "cut short");
  CHECK(store->keep_blob(asked, 5));
  CHECK_FALSE(store->keep_blob(cut, 10));
  CHECK_FALSE(store->keep_blob(std::string(64, 'a'), 5));
  store->drop_upload(asked);
  CHECK(store->has_blob(asked));
  // A store that is opened again does not know what its blobs are for.
  const std::string unknown = upload(*store, "unknown");
  store.reset();
  store = open_store(folder);
  store->drop_upload(unknown);
  CHECK(store->has_blob(unknown));
}

TEST_CASE("a changed blob, a foreign database, a newer schema and a changed ledger are refused") {
  const TemporaryFolder folder;
  std::string digest;
  {
    const auto store = open_store(folder);
    digest = store->put_blob("content");
    (void)add_workload(*store, "a");
    std::filesystem::permissions(store->blob_path(digest), std::filesystem::perms::owner_all);
    write_file_atomic(store->blob_path(digest), "CONTENT");
    CHECK_THROWS_AS((void)store->blob(digest), Error);
  }
  {
    Database db(folder.path / "kiln.db", Access::read_write);
    CHECK_THROWS_AS(db.exec("UPDATE ledger SET kind = 'x'"), Error);
    CHECK_THROWS_AS(db.exec("DELETE FROM ledger"), Error);
    db.exec("DROP TRIGGER ledger_keeps_rows; UPDATE ledger SET subject = 'w-forged'");
  }
  CHECK_THROWS_AS((void)open_store(folder)->verify_ledger(), Error);
  {
    Database db(folder.path / "kiln.db", Access::read_write);
    db.exec("PRAGMA user_version = 999");
  }
  CHECK_THROWS_AS((void)open_store(folder), Error);
  const TemporaryFolder foreign;
  write_file_atomic(foreign.path / "kiln.db", std::string(5000, 'x'));
  CHECK_THROWS_AS((void)open_store(foreign), Error);
}

TEST_CASE("uploads are whole or nothing, and limited") {
  const TemporaryFolder folder;
  const auto store = open_store(folder);
  {
    const auto upload = store->upload(100);
    upload->write(std::as_bytes(std::span(std::string_view("abc"))));
    CHECK(upload->commit() == sha256_hex("abc"));
  }
  CHECK(store->blob(sha256_hex("abc")) == "abc");
  const auto upload = store->upload(2);
  CHECK_THROWS_AS(upload->write(std::as_bytes(std::span(std::string_view("abc")))), Error);
  CHECK_THROWS_AS((void)store->blob_path("../../etc/passwd"), Error);
}

TEST_CASE("a daemon that closes what it makes still lets its group read releases, and nothing else") {
  const mode_t before = ::umask(077);
  const TemporaryFolder folder;
  const auto store = open_store(folder);
  const ReleaseRow row = add_release(*store, add_workload(*store, "m"), "baseline");
  store->set_current(row.id);
  ::umask(before);
  const auto mode = [&](const char* path) {
    struct stat status{};
    REQUIRE(::stat((folder.path / path).c_str(), &status) == 0);
    return status.st_mode & 0777;
  };
  for (const char* open : {"releases", "releases/m", "releases/m/current/", "releases/m/1/objects"})
    CHECK_MESSAGE(mode(open) == 0750, open);
  for (const char* file : {"releases/m/current/manifest.json", "releases/m/1/plan.json"})
    CHECK_MESSAGE((mode(file) & 0040) != 0, file);
  for (const char* closed : {"keys", "blobs", "staging", "backups"}) CHECK_MESSAGE(mode(closed) == 0700, closed);
}

TEST_CASE("promote, roll back, promote: one link, a stack behind it") {
  const TemporaryFolder folder;
  const auto store = open_store(folder);
  const Workload w = add_workload(*store, "m");
  const ReleaseRow one = add_release(*store, w, "baseline"), two = add_release(*store, w, "tuned");
  CHECK(one.version == 1);
  CHECK(two.version == 2);
  const auto link = [&] { return std::filesystem::read_symlink(folder.path / "releases/m/current"); };
  store->set_current(one.id);
  CHECK_THROWS_AS((void)store->rollback("m"), Error);
  store->set_current(two.id);
  CHECK(link() == "2");
  CHECK(store->release(two.id.substr(0, 12)).current);
  CHECK(store->rollback("m").id == one.id);
  CHECK(link() == "1");
  store->set_current(two.id);
  CHECK(link() == "2");
  CHECK(sha256_hex(read_file(folder.path / "releases/m/current/manifest.json")) == two.id);
  const json::object changes = diff_releases(one.directory, two.directory);
  REQUIRE(changes.at("figures").as_array().size() == 1);
  CHECK(changes.at("figures").at(0).at("figure") == "temporary_bytes");
  CHECK(changes.at("figures").at(0).at("from") == 8);
}

TEST_CASE("a link that a crash left ahead of its row is right, and the row follows") {
  const TemporaryFolder folder;
  std::string two;
  {
    const auto store = open_store(folder);
    const Workload w = add_workload(*store, "m");
    store->set_current(add_release(*store, w, "baseline").id);
    two = add_release(*store, w, "tuned").id;
  }
  std::filesystem::remove(folder.path / "releases/m/current");
  std::filesystem::create_symlink("2", folder.path / "releases/m/current");
  CHECK(open_store(folder)->release(two).current);
}

TEST_CASE("many threads write and read at once") {
  const TemporaryFolder folder;
  const auto store = open_store(folder);
  std::vector<std::jthread> threads;
  for (int t = 0; t < 8; ++t)
    threads.emplace_back([&, t] {
      for (int i = 0; i < 20; ++i) {
        (void)store->add_event("test", std::to_string(t), {{"i", i}});
        (void)store->events_after(0, 1000);
      }
    });
  threads.clear();
  const std::vector<Event> events = store->events_after(0, 1000);
  REQUIRE(events.size() == 160);
  for (std::size_t i = 0; i < events.size(); ++i) CHECK(events[i].serial == static_cast<std::int64_t>(i) + 1);
}
