#include "daemon/kilnd/ground.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <sstream>
#include <string>

#include "runtime/base/error.h"
#include "runtime/base/files.h"

namespace kiln::kilnd {

bool is_identity_map(std::string_view uid_map) {
  std::istringstream text{std::string(uid_map)};
  unsigned long long inside = 1;
  unsigned long long outside = 1;
  unsigned long long length = 0;
  text >> inside >> outside >> length;
  return text && inside == 0 && outside == 0 && length == 4294967295ULL;
}

void require_identity_map() {
  if (is_identity_map(read_file("/proc/self/uid_map", 4096))) return;
  throw Error(ErrorCode::unavailable,
              "cannot serve other users in a user namespace: the ids of peers would not be those of the machine",
              "remove PrivateUsers= from the unit, or run kilnd --user for yourself alone");
}

namespace {

std::string holder_of(int fd) {
  std::array<char, 32> text{};
  const ssize_t bytes = ::pread(fd, text.data(), text.size() - 1, 0);
  std::string who = bytes > 0 ? std::string(text.data(), static_cast<std::size_t>(bytes)) : "?";
  while (!who.empty() && who.back() == '\n') who.pop_back();
  return who;
}

bool lives(const std::string& process) {
  const pid_t pid = std::atoi(process.c_str());
  return pid <= 0 || ::kill(pid, 0) == 0 || errno != ESRCH;
}

// A daemon that was killed while it started a worker leaves a child that holds the lock until its exec: a moment, or as
// long as a loaded machine takes. One that lives is given a second to end.
bool lock_soon(int fd) {
  using Clock = std::chrono::steady_clock;
  const Clock::time_point begin = Clock::now();
  for (;;) {
    if (::flock(fd, LOCK_EX | LOCK_NB) == 0) return true;
    if (errno != EWOULDBLOCK) return false;
    if (Clock::now() - begin > (lives(holder_of(fd)) ? std::chrono::seconds(1) : std::chrono::seconds(60))) break;
    ::usleep(20'000);
  }
  errno = EWOULDBLOCK;
  return false;
}

}  // namespace

UniqueFd lock_state(const std::filesystem::path& directory) {
  std::error_code error;
  std::filesystem::create_directories(directory.parent_path(), error);  // the outcome shows in the next call
  if (::mkdir(directory.c_str(), 0700) != 0 && errno != EEXIST)
    throw system_error("cannot make the state directory '" + directory.string() + "'", errno);
  const std::filesystem::path file = directory / "kilnd.lock";
  UniqueFd fd(::open(file.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!fd) throw system_error("cannot open '" + file.string() + "'", errno);
  if (!lock_soon(fd.get())) {
    if (errno != EWOULDBLOCK) throw system_error("cannot lock '" + file.string() + "'", errno);
    throw Error(ErrorCode::conflict,
                "cannot use the state directory '" + directory.string() + "': process " + holder_of(fd.get()) +
                    " uses it",
                "stop that daemon, or give this one another --state");
  }
  const std::string text = std::to_string(::getpid()) + "\n";
  if (::ftruncate(fd.get(), 0) != 0) throw system_error("cannot write '" + file.string() + "'", errno);
  write_all(fd.get(), std::as_bytes(std::span(text)));
  return fd;
}

}  // namespace kiln::kilnd
