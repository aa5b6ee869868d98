// A cache of code objects: kept, found again, damaged, cut, pruned, killed while it writes.
#include "store/object_cache.h"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <vector>

#include "runtime/base/digest.h"
#include "runtime/base/error.h"
#include "runtime/base/files.h"
#include "tests/temporary_folder.h"

using namespace kiln;
using namespace kiln::store;

namespace fs = std::filesystem;

namespace {

constexpr std::int64_t kPlenty = 1 << 20;

struct Cache {
  kiln::test::TemporaryFolder folder;
  fs::path root = folder.path / "objects";
  ObjectCache cache;
  explicit Cache(std::int64_t limit = kPlenty) : cache(root, limit) {}
  [[nodiscard]] fs::path file_of(const std::string& recipe) const { return root / recipe.substr(0, 2) / recipe; }
};

std::string recipe(int n) { return sha256_hex("recipe " + std::to_string(n)); }

// When an object was asked for last, so that a test need not wait for clocks.
void used_at(const fs::path& file, std::int64_t second) {
  const timespec times[2] = {{second, 0}, {second, 0}};
  REQUIRE(::utimensat(AT_FDCWD, file.c_str(), times, 0) == 0);
}

void overwrite(const fs::path& file, std::string_view bytes) {
  fs::remove(file);
  write_file_atomic(file, bytes);
}

}  // namespace

TEST_CASE("an object is found by its recipe, with what its builder said of it, also after a restart") {
  Cache c;
  CHECK_FALSE(c.cache.find(recipe(1)));
  c.cache.keep(recipe(1), {"{\"a\":1}", std::string("\0\n object", 9)});
  c.cache.keep(recipe(2), {"", ""});
  ObjectCache again(c.root, kPlenty);
  for (ObjectCache* cache : {&c.cache, &again}) {
    const auto found = cache->find(recipe(1));
    REQUIRE(found);
    CHECK(found->about == "{\"a\":1}");
    CHECK(found->object == std::string("\0\n object", 9));
    CHECK(cache->find(recipe(2))->object.empty());
    CHECK_FALSE(cache->find(recipe(3)));
    CHECK(cache->size().objects == 2);
    CHECK(cache->size().limit_bytes == kPlenty);
  }
  CHECK(again.size().bytes ==
        static_cast<std::int64_t>(fs::file_size(c.file_of(recipe(1))) + fs::file_size(c.file_of(recipe(2)))));
}

TEST_CASE("a file that was cut at any byte, or has any byte flipped, is no object, and makes room for a new one") {
  const std::string whole = write_entry(recipe(1), {"about", "object"});
  REQUIRE(read_entry(recipe(1), whole));
  for (std::size_t cut = 0; cut < whole.size(); ++cut) CHECK_FALSE(read_entry(recipe(1), whole.substr(0, cut)));
  for (std::size_t at = 0; at < whole.size(); ++at)
    for (const int bit : {1, 0x80}) {
      std::string flipped = whole;
      flipped[at] = static_cast<char>(flipped[at] ^ bit);
      CHECK_FALSE(read_entry(recipe(1), flipped));
    }
  CHECK_FALSE(read_entry(recipe(1), whole + "x"));
  CHECK_FALSE(read_entry(recipe(2), whole));

  Cache c;
  c.cache.keep(recipe(1), {"about", "object"});
  const std::string file = read_file(c.file_of(recipe(1)));
  for (const std::string& damaged : {file.substr(0, file.size() / 2), std::string(), file + "x"}) {
    overwrite(c.file_of(recipe(1)), damaged);
    CHECK_FALSE(c.cache.find(recipe(1)));
    CHECK_FALSE(fs::exists(c.file_of(recipe(1))));
    CHECK(c.cache.size().objects == 0);
    CHECK(c.cache.size().bytes == 0);
    c.cache.keep(recipe(1), {"about", "object"});
    CHECK(c.cache.find(recipe(1))->object == "object");
  }
  // Another recipe's file under this name, whole in itself.
  overwrite(c.file_of(recipe(1)), write_entry(recipe(2), {"about", "object"}));
  CHECK_FALSE(c.cache.find(recipe(1)));
}

TEST_CASE("a header that claims more than there is gives nothing, though its digest is right") {
  for (const std::string head : {"99", "-1", "0x1", "", "99999999999999999999999"}) {
    const std::string body = recipe(1) + " " + head + "\nabout";
    CHECK_FALSE(read_entry(recipe(1), "kiln-object/1 " + sha256_hex(body) + "\n" + body));
  }
  const std::string body = recipe(1) + " 5\nabout";
  CHECK(read_entry(recipe(1), "kiln-object/1 " + sha256_hex(body) + "\n" + body)->about == "about");
}

TEST_CASE("those that were not asked for longest go, so that the files never take more than the bound") {
  const std::string object(1000, 'x');
  const auto each = static_cast<std::int64_t>(write_entry(recipe(0), {"", object}).size());
  Cache c(10 * each);
  for (int n = 0; n < 10; ++n) {
    c.cache.keep(recipe(n), {"", object});
    used_at(c.file_of(recipe(n)), 1000 + n);
  }
  CHECK(c.cache.size().objects == 10);
  CHECK(c.cache.find(recipe(0)));  // used now
  c.cache.keep(recipe(10), {"", object});
  CHECK(c.cache.size().bytes <= c.cache.size().limit_bytes);
  CHECK(c.cache.find(recipe(0)));
  CHECK(c.cache.find(recipe(10)));
  CHECK_FALSE(c.cache.find(recipe(1)));
  CHECK(c.cache.find(recipe(9)));
  CHECK(c.cache.size().objects == 9);  // to nine tenths of the bound

  c.cache.keep(recipe(11), {"", std::string(static_cast<std::size_t>(11 * each), 'y')});  // larger than all
  CHECK_FALSE(c.cache.find(recipe(11)));
  CHECK(c.cache.find(recipe(9)));

  ObjectCache smaller(c.root, 3 * each);  // the operator lowered it
  CHECK(smaller.size().bytes <= 3 * each);
  ObjectCache none(c.root, 0);
  CHECK(none.size().objects == 0);
  none.keep(recipe(1), {"", object});
  CHECK_FALSE(none.find(recipe(1)));
}

TEST_CASE("a name that is no digest never reaches the disk") {
  Cache c;
  CHECK_THROWS_AS((void)c.cache.find("../../etc/passwd"), Error);
  CHECK_THROWS_AS(c.cache.keep(std::string(64, '/'), {"", ""}), Error);
}

TEST_CASE("nobody but the daemon's user may look into the cache, and its files are read-only") {
  Cache c;
  c.cache.keep(recipe(1), {"", "object"});
  struct stat folder {}, file {};
  REQUIRE(::stat(c.root.c_str(), &folder) == 0);
  REQUIRE(::stat(c.file_of(recipe(1)).c_str(), &file) == 0);
  CHECK((folder.st_mode & 0777) == 0700);
  CHECK((file.st_mode & 0777) == 0400);
}

TEST_CASE("kill -9 while objects are kept: every name that is there is a whole object, and nothing is left beside") {
  for (int turn = 0; turn < 5; ++turn) {
    Cache c;
    int said[2];
    REQUIRE(::pipe(said) == 0);
    const pid_t child = ::fork();
    REQUIRE(child >= 0);
    if (child == 0) {
      for (int n = 0;; ++n) {
        c.cache.keep(recipe(n), {"about", std::string(50'000, static_cast<char>('a' + n % 26))});
        if (::write(said[1], "x", 1) != 1) ::_exit(1);
      }
    }
    char byte = 0;
    for (int n = 0; n < 3 + turn; ++n) REQUIRE(::read(said[0], &byte, 1) == 1);
    ::kill(child, SIGKILL);
    ::waitpid(child, nullptr, 0);
    ::close(said[0]);
    ::close(said[1]);
    ObjectCache again(c.root, std::int64_t{1} << 40);
    for (int n = 0; n < 3 + turn; ++n) {
      const auto found = again.find(recipe(n));  // what was acknowledged is there
      REQUIRE(found);
      CHECK(found->object == std::string(50'000, static_cast<char>('a' + n % 26)));
    }
    for (const auto& entry : fs::recursive_directory_iterator(c.root))
      if (entry.is_regular_file()) CHECK(again.find(entry.path().filename().string()));
  }
}
