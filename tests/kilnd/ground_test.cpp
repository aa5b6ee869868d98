#include "daemon/kilnd/ground.h"

#include <doctest/doctest.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "daemon/kilnd/log.h"
#include "runtime/base/error.h"
#include "tests/temporary_folder.h"

using namespace kiln;
using namespace kiln::kilnd;
using kiln::test::TemporaryFolder;

TEST_CASE("only the initial user namespace has the identity map") {
  CHECK(is_identity_map("         0          0 4294967295\n"));  // as the kernel prints it (user_namespaces(7))
  CHECK_FALSE(is_identity_map("         0       1000          1\n"));
  CHECK_FALSE(is_identity_map("      1000       1000          1\n"));
  CHECK_FALSE(is_identity_map("         0     100000      65536\n"));
  CHECK_FALSE(is_identity_map(""));
}

TEST_CASE("a state directory has one daemon") {
  TemporaryFolder folder;
  const std::filesystem::path state = folder.path / "deep/state";
  UniqueFd lock = lock_state(state);
  struct stat info {};
  REQUIRE(::stat(state.c_str(), &info) == 0);
  CHECK((info.st_mode & 0777) == 0700);
  try {
    (void)lock_state(state);
    FAIL("a second daemon was let in");
  } catch (const Error& error) {
    CHECK(error.code() == ErrorCode::conflict);
    CHECK(std::string(error.what()).find("process " + std::to_string(::getpid()) + " uses it") != std::string::npos);
  }
  lock.reset();
  CHECK_NOTHROW((void)lock_state(state));
}

TEST_CASE("the lock of a killed daemon is free") {
  TemporaryFolder folder;
  const pid_t child = ::fork();
  if (child == 0) {
    const UniqueFd held = lock_state(folder.path);
    ::raise(SIGKILL);
  }
  int status = 0;
  REQUIRE(::waitpid(child, &status, 0) == child);
  REQUIRE(WIFSIGNALED(status));
  CHECK_NOTHROW((void)lock_state(folder.path));
}

TEST_CASE("the lock of a killed daemon is waited for while a child of it still has it") {
  TemporaryFolder folder;
  const pid_t daemon = ::fork();
  if (daemon == 0) {
    const UniqueFd held = lock_state(folder.path);
    if (::fork() == 0) {  // stands for a worker before its exec; longer than a daemon that lives is waited for
      ::usleep(1'500'000);
      ::_exit(0);
    }
    ::raise(SIGKILL);
  }
  REQUIRE(::waitpid(daemon, nullptr, 0) == daemon);
  CHECK_NOTHROW((void)lock_state(folder.path));
}

TEST_CASE("text from outside cannot forge a log line") {
  CHECK(printable("a\nb\x1b[31m\x7f") == "a\\x0ab\\x1b[31m\\x7f");
  CHECK(printable("\xc3\xa4") == "\xc3\xa4");
  CHECK(printable(std::string(3000, 'x')).size() == 2003);
}

TEST_CASE("a line has its time, level, text and fields; lower levels are silent") {
  int ends[2];
  REQUIRE(::pipe(ends) == 0);
  const UniqueFd in(ends[0]);
  UniqueFd out(ends[1]);
  Log log(Log::Sink::lines, out.get());
  log.set_level(Level::warning);
  log.info("not this");
  log.warning("job j-1 failed", {{"JOB_ID", "j-1"}, {"MESSAGE_ID", std::string(kMessageJobFailed)}});
  out.reset();
  char text[512] = {};
  REQUIRE(::read(in.get(), text, sizeof text - 1) > 0);
  const std::string line = text;
  CHECK(line.substr(20) == " warning: job j-1 failed JOB_ID=j-1\n");
  CHECK(line[10] == 'T');
  CHECK(line[19] == 'Z');
}
