// The sandbox in a child of its own: what it forbids is forbidden by the kernel, and the self-test finds what is not.
#include "daemon/worker/sandbox.h"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <functional>
#include <iterator>
#include <thread>

#include "runtime/base/error.h"
#include "runtime/base/unique_fd.h"
#include "tests/temporary_folder.h"

using namespace kiln;
using namespace kiln::worker;
using kiln::test::TemporaryFolder;

namespace {

// What a check returns when the sandbox could not be entered at all.
constexpr int kNotEntered = 99;

// Runs `check` in a forked, sandboxed child; its exit status.
int inside(const SandboxRules& rules, const std::function<int(const std::vector<std::string>&)>& check) {
  const pid_t child = ::fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    int status = kNotEntered;
    try {
      status = check(enter_sandbox(rules));
    } catch (const std::exception& e) {
      (void)!::write(2, e.what(), std::char_traits<char>::length(e.what()));
    }
    ::_exit(status);
  }
  int status = 0;
  REQUIRE(::waitpid(child, &status, 0) == child);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

bool readable(const std::filesystem::path& path) { return bool(UniqueFd(::open(path.c_str(), O_RDONLY | O_CLOEXEC))); }
bool creatable(const std::filesystem::path& path) {
  return bool(UniqueFd(::open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600)));
}

bool has(const std::vector<std::string>& active, const std::string& prefix) {
  for (const std::string& item : active)
    if (item.rfind(prefix, 0) == 0) return true;
  return false;
}

}  // namespace

TEST_CASE("the self-test refuses to work where a mechanism that should be active is not") {
  // This process is not sandboxed: whatever it claims to have must be found out.
  CHECK_THROWS_AS(prove_sandbox({}, {"seccomp"}), Error);
  CHECK_THROWS_AS(prove_sandbox({}, {"landlock:7"}), Error);
  CHECK_THROWS_AS(prove_sandbox({}, {"no_new_privs"}), Error);
  std::ifstream routes("/proc/self/net/route");
  const auto lines = std::count(std::istreambuf_iterator<char>(routes), {}, '\n');
  if (lines > 1)
    CHECK_THROWS_AS(prove_sandbox({}, {"network_namespace"}), Error);  // where this node has a network at all
  try {
    prove_sandbox({}, {"seccomp"});
  } catch (const Error& error) {
    CHECK(error.code() == ErrorCode::permission);
    CHECK(std::string(error.what()).find("network socket") != std::string::npos);
  }
  CHECK_NOTHROW(prove_sandbox({}, {}));  // nothing claimed, nothing proved
}

TEST_CASE("inside, the self-test passes for every kind of role") {
  for (const bool may_execute : {false, true}) {
    SandboxRules rules;
    rules.may_execute = may_execute;
    CHECK(inside(rules, [&](const auto& active) {
            prove_sandbox(rules, active);
            return has(active, "seccomp") && has(active, "no_new_privs") && has(active, "rlimits") ? 0 : 1;
          }) == 0);
  }
}

TEST_CASE("files: only the role's folders") {
  const TemporaryFolder mine, other;
  for (const TemporaryFolder* folder : {&mine, &other}) folder->put("file", "text");
  SandboxRules rules;
  rules.read = {mine.path};
  CHECK(inside(rules, [&](const auto& active) {
          if (!has(active, "landlock")) return 0;
          int bad = 0;
          bad += !readable(mine.path / "file");
          bad += 2 * readable(other.path / "file");
          bad += 4 * creatable(mine.path / "new");
          bad += 8 * readable("/etc/passwd");
          bad += 16 * !readable("/dev/null");
          bad += 32 * (::unlink((mine.path / "file").c_str()) == 0);
          return bad;
        }) == 0);
  rules.write = {other.path};
  CHECK(inside(rules, [&](const auto& active) {
          if (!has(active, "landlock")) return 0;
          return creatable(other.path / "new") && ::unlink((other.path / "new").c_str()) == 0 ? 0 : 1;
        }) == 0);
}

TEST_CASE("calls: no socket, tracing, process, signal or program; threads and memory stay") {
  CHECK(inside({}, [](const auto&) { return ::socket(AF_INET, SOCK_STREAM, 0) >= 0; }) == 0);
  CHECK(inside({}, [](const auto&) { return ::socket(AF_UNIX, SOCK_STREAM, 0) >= 0; }) == 0);
  CHECK(inside({}, [](const auto&) { return ::socket(AF_NETLINK, SOCK_RAW, 0) >= 0; }) == 0);
  CHECK(inside({}, [](const auto&) {
          int fds[2];
          return ::socketpair(AF_UNIX, SOCK_STREAM, 0, fds) == 0;
        }) == 0);
  CHECK(inside({}, [](const auto&) { return ::ptrace(PTRACE_TRACEME, 0, nullptr, nullptr) == 0; }) == 0);
  CHECK(inside({}, [](const auto&) { return ::kill(::getppid(), 0) == 0; }) == 0);
  CHECK(inside({}, [](const auto&) {
          const pid_t child = ::fork();
          if (child == 0) ::_exit(0);
          return child > 0;
        }) == 0);
  CHECK(inside({}, [](const auto&) {
          char name[] = "/bin/true";
          char* argv[] = {name, nullptr};
          ::execve(name, argv, nullptr);
          return errno == EPERM ? 0 : 1;
        }) == 0);
  CHECK(inside({}, [](const auto&) {
          int seen = 0;
          std::thread t([&] { seen = 1; });
          t.join();
          return seen == 1 ? 0 : 1;
        }) == 0);
  CHECK(inside({}, [](const auto&) { return ::memfd_create("x", 0) >= 0 ? 0 : 1; }) == 0);
}

TEST_CASE("the build role may start a program, which inherits the rest") {
  SandboxRules rules;
  rules.may_execute = true;
  CHECK(inside(rules, [](const auto&) {
          return WEXITSTATUS(std::system("/bin/true")) == 0 &&
                         WEXITSTATUS(std::system("/bin/cat /etc/passwd >/dev/null 2>&1")) != 0
                     ? 0
                     : 1;
        }) == 0);
}

TEST_CASE("limits: no core, a largest file, processor seconds") {
  SandboxRules rules;
  rules.file_bytes = 4096;
  const TemporaryFolder folder;
  folder.put("file", "text");
  rules.write = {folder.path};
  CHECK(inside(rules, [&](const auto&) {
          ::signal(SIGXFSZ, SIG_IGN);
          const UniqueFd fd(::open((folder.path / "large").c_str(), O_WRONLY | O_CREAT, 0600));
          return fd && ::ftruncate(fd.get(), 4096) == 0 && ::ftruncate(fd.get(), 4097) != 0 ? 0 : 1;
        }) == 0);
  rules.cpu_seconds = 1;
  CHECK(inside(rules, [](const auto&) {
          volatile bool forever = true;
          while (forever) {
          }
          return 0;
        }) == 128 + SIGKILL);
}
