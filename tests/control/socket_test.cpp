#include "daemon/control/socket.h"

#include <doctest/doctest.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstring>
#include <fstream>

#include "runtime/base/error.h"
#include "tests/control/world.h"

using namespace kiln;
using namespace kiln::control;

namespace {

mode_t mode_of(const std::filesystem::path& path) {
  struct stat info {};
  REQUIRE(::lstat(path.c_str(), &info) == 0);
  return info.st_mode & 07777;
}

ErrorCode refusal(const std::filesystem::path& path) {
  try {
    (void)bind_socket(path, 0600, std::nullopt);
  } catch (const Error& error) {
    CHECK(std::string(error.what()).find(path.filename().string().substr(0, 8)) != std::string::npos);
    return error.code();
  }
  return ErrorCode::internal;
}

}  // namespace

TEST_CASE("the socket's file has its mode, and the umask is as before") {
  testing::TemporaryFolder folder;
  const mode_t before = ::umask(0027);
  const UniqueFd fd = bind_socket(folder.path / "a.sock", 0660, std::nullopt);
  CHECK(mode_of(folder.path / "a.sock") == 0660);
  const UniqueFd group = bind_socket(folder.path / "b.sock", 0660, ::getegid());
  CHECK(mode_of(folder.path / "b.sock") == 0660);
  CHECK(::umask(before) == 0027);
}

TEST_CASE("a socket that nobody listens on is replaced, one that answers is not") {
  testing::TemporaryFolder folder;
  const std::filesystem::path path = folder.path / "control.sock";
  (void)bind_socket(path, 0600, std::nullopt);  // closed at once: its file stays, as after kill -9
  CHECK(std::filesystem::exists(path));
  const UniqueFd alive = bind_socket(path, 0600, std::nullopt);
  CHECK(refusal(path) == ErrorCode::conflict);
  CHECK(std::filesystem::exists(path));
}

TEST_CASE("a socket that only a child of a killed daemon still has is replaced") {
  testing::TemporaryFolder folder;
  const std::filesystem::path path = folder.path / "control.sock";
  int ends[2];
  REQUIRE(::pipe(ends) == 0);
  const pid_t daemon = ::fork();
  if (daemon == 0) {
    const UniqueFd listening = bind_socket(path, 0600, std::nullopt);
    if (::fork() == 0) {  // stands for a worker before its exec, which here is the end of this test
      ::close(ends[1]);
      char byte = 0;
      ::_exit(static_cast<int>(::read(ends[0], &byte, 1)));
    }
    ::raise(SIGKILL);
  }
  REQUIRE(::waitpid(daemon, nullptr, 0) == daemon);
  CHECK_NOTHROW((void)bind_socket(path, 0600, std::nullopt));
  ::close(ends[0]);
  ::close(ends[1]);
}

TEST_CASE("what is no socket is left alone") {
  testing::TemporaryFolder folder;
  std::ofstream(folder.path / "file.txt") << "precious";
  CHECK(refusal(folder.path / "file.txt") == ErrorCode::conflict);
  CHECK(std::filesystem::file_size(folder.path / "file.txt") == 8);
  std::filesystem::create_symlink(folder.path / "file.txt", folder.path / "link.sock");
  CHECK(refusal(folder.path / "link.sock") == ErrorCode::conflict);
}

TEST_CASE("a path that sockaddr_un cannot hold is refused, not cut") {
  CHECK(refusal("/tmp/" + std::string(103, 'x')) == ErrorCode::invalid_input);  // 108 bytes, no room for the NUL
  CHECK(refusal("/absent-folder/control.sock") == ErrorCode::io);
}
