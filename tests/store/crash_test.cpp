// What kill -9 leaves: a child works on a store and says through a pipe what was acknowledged; it is killed at a random
// moment, and the store must hold all of that, whole.
#include <doctest/doctest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <functional>
#include <map>
#include <random>

#include "runtime/base/error.h"
#include "runtime/base/files.h"
#include "runtime/base/json.h"
#include "store/corpus/site_template.h"
#include "store/node_corpus.h"
#include "store/store.h"
#include "tests/store/fixture.h"

using namespace kiln;
using namespace kiln::store;
using namespace kiln::store::test;

namespace {

constexpr int kRounds = 30;

// Runs `work` in a child killed `delay_us` after its acknowledgement number `steps`; returns the last one, or -1.
std::int64_t killed(int steps, int delay_us,
                    const std::function<void(const std::function<void(std::int64_t)>& acknowledge)>& work) {
  int ends[2];
  REQUIRE(::pipe(ends) == 0);
  const pid_t child = ::fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    ::close(ends[0]);
    try {
      work([&](std::int64_t n) {
        if (::write(ends[1], &n, sizeof n) != sizeof n) ::_exit(1);
      });
    } catch (...) {
      ::_exit(2);
    }
    ::_exit(0);
  }
  ::close(ends[1]);
  std::int64_t last = -1, n = 0;
  for (int i = 0; i < steps && ::read(ends[0], &n, sizeof n) == sizeof n; ++i) last = n;
  ::usleep(static_cast<useconds_t>(delay_us));
  ::kill(child, SIGKILL);
  while (::read(ends[0], &n, sizeof n) == sizeof n) last = n;  // written before the kill: these were acknowledged too
  int status = 0;
  ::waitpid(child, &status, 0);
  ::close(ends[0]);
  CHECK(WIFSIGNALED(status));  // it was at work until it was killed, and met no error
  return last;
}

}  // namespace

TEST_CASE("kill -9 loses no acknowledged entry, and the ledger stays whole") {
  const TemporaryFolder folder;
  (void)open_store(folder)->add_job(add_workload(*open_store(folder), "k").id, {});
  std::mt19937 random(1);
  std::int64_t acknowledged = 0;
  for (int round = 0; round < kRounds; ++round) {
    const std::int64_t last = killed(1, static_cast<int>(random() % 20000), [&](const auto& acknowledge) {
      const auto store = open_store(folder);
      for (auto next = static_cast<std::int64_t>(store->entries("j-1").size());; ++next) {
        (void)store->append_entry("j-1", entry_at(*store, next));
        acknowledge(next);
      }
    });
    acknowledged = std::max(acknowledged, last + 1);
    const auto store = open_store(folder);
    const std::vector<JobEntry> entries = store->entries("j-1");
    CHECK(static_cast<std::int64_t>(entries.size()) >= acknowledged);
    for (std::size_t i = 0; i < entries.size(); ++i) {
      CHECK(entries[i].sequence == static_cast<std::int64_t>(i));
      CHECK(store->blob(entries[i].content) == "{\"n\":" + std::to_string(i) + "}");
    }
    CHECK(store->verify_ledger() >= acknowledged);
  }
  CHECK(acknowledged >= kRounds);
}

TEST_CASE("kill -9 while a site's template is added and removed leaves it whole or absent") {
  const TemporaryFolder folder;
  const std::map<std::string, std::string> files = {
      {"template.toml",
       "format = 1\nsummary = \"s\"\ntarget = \"cpu\"\nanchor = \"gather\"\ndtypes = [\"f32\"]\n"
       "precision_class = \"fp32\"\nsource = \"k.cpp\"\n"},
      {"k.cpp", std::string(10'000, '/')}};
  const TemplateSpec mine = parse_site_template("mine", files);
  std::mt19937 random(3);
  int there = 0;
  for (int round = 0; round < kRounds; ++round) {
    // After an even and after an odd number of steps, so that both states are met where a step outlasts every delay.
    const std::int64_t last = killed(1 + round % 2, static_cast<int>(random() % 8000), [&](const auto& acknowledge) {
      const auto store = open_store(folder);
      NodeCorpus corpus({}, *store);
      bool has = corpus.now()->find("gather", "mine") != nullptr;
      acknowledge(has ? 1 : 0);
      for (std::int64_t n = 1;; ++n) {
        if (has) corpus.remove("gather", "mine");
        else corpus.add(mine, "{}");
        has = !has;
        acknowledge(2 * n + (has ? 1 : 0));
      }
    });
    const auto store = open_store(folder);
    const NodeCorpus corpus({}, *store);
    CHECK(corpus.unused().empty());
    const TemplateSpec* found = corpus.now()->find("gather", "mine");
    if (found != nullptr) CHECK(found->digest == mine.digest);
    there += found != nullptr ? 1 : 0;
    CHECK(last >= 0);
    CHECK(store->verify_ledger() >= last / 2);
  }
  CHECK(there > 0);
  CHECK(there < kRounds);
}

TEST_CASE("kill -9 during promote and rollback leaves one whole release, and link and table agree") {
  const TemporaryFolder folder;
  std::map<std::string, ReleaseRow> rows;  // by link target
  {
    const auto store = open_store(folder);
    const Workload w = add_workload(*store, "m");
    for (const char* what : {"baseline", "tuned", "third-one"}) {
      const ReleaseRow row = add_release(*store, w, what);
      rows[std::to_string(row.version)] = row;
    }
    store->set_current(rows["1"].id);
  }
  std::mt19937 random(2);
  for (int round = 0; round < kRounds; ++round) {
    (void)killed(1, static_cast<int>(random() % 15000), [&](const auto& acknowledge) {
      const auto store = open_store(folder);
      for (std::int64_t n = 0;; ++n) {
        store->set_current(rows["2"].id);
        acknowledge(n);
        store->set_current(rows["3"].id);
        (void)store->rollback("m");
        if (store->rollback("m").version == 2) store->set_current(rows["1"].id);
      }
    });
    // What an inference process would load at this moment, before anything is mended.
    const std::filesystem::path current = folder.path / "releases/m/current";
    const std::string target = std::filesystem::read_symlink(current).string();
    REQUIRE(rows.contains(target));
    CHECK(sha256_hex(read_file(current / "manifest.json")) == rows[target].id);
    const json::value manifest = json::parse(read_file(current / "manifest.json"), "manifest");
    for (const json::value& file : manifest.at("files").as_array())
      CHECK(sha256_hex(read_file(current / std::string(file.at("path").as_string()))) ==
            std::string(file.at("sha256").as_string()));
    const auto store = open_store(folder);
    int marked = 0;
    for (const ReleaseRow& row : store->releases({})) marked += row.current;
    CHECK(marked == 1);
    CHECK(store->release(rows[target].id).current);
    (void)store->verify_ledger();
  }
}

TEST_CASE("a rollback that a crash cut between link and row is still a rollback") {
  const TemporaryFolder folder;
  {
    const auto store = open_store(folder);
    const Workload w = add_workload(*store, "m");
    store->set_current(add_release(*store, w, "baseline").id);
    store->set_current(add_release(*store, w, "tuned").id);
  }
  const std::filesystem::path link = folder.path / "releases/m/current";
  std::filesystem::remove(link);
  std::filesystem::create_symlink("1", link);
  CHECK_THROWS_AS((void)open_store(folder)->rollback("m"), Error);  // nothing was current before the baseline
  CHECK(std::filesystem::read_symlink(link) == "1");
}

TEST_CASE("what a crash leaves half done is tidied at the next start") {
  const TemporaryFolder folder;
  {
    const auto store = open_store(folder);
    const Workload w = add_workload(*store, "m");
    store->set_current(add_release(*store, w, "baseline").id);
  }
  write_file_atomic(folder.path / "blobs/incoming-abcdef", "half an upload");
  std::filesystem::create_directories(folder.path / "staging/j-1-tuned");
  std::filesystem::create_directories(folder.path / "releases/m/2");
  write_file_atomic(folder.path / "releases/m/2/plan.json", "{}");
  std::filesystem::remove(folder.path / "releases/m/current");
  std::filesystem::create_symlink("99", folder.path / "releases/m/current");
  const auto store = open_store(folder);
  CHECK(!std::filesystem::exists(folder.path / "blobs/incoming-abcdef"));
  CHECK(std::filesystem::is_empty(folder.path / "staging"));
  CHECK(std::filesystem::read_symlink(folder.path / "releases/m/current") == "1");
  const ReleaseRow two = add_release(*store, store->workload("m"), "tuned");
  CHECK(two.version == 2);
  CHECK(sha256_hex(read_file(two.directory / "manifest.json")) == two.id);
}
