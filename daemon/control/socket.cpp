#include "daemon/control/socket.h"

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstring>

#include "runtime/base/error.h"

namespace kiln::control {
namespace {

constexpr int kBacklog = 128;

sockaddr_un address_of(const std::filesystem::path& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  const std::string& text = path.native();
  if (text.empty() || text.size() >= sizeof address.sun_path)
    throw Error(ErrorCode::invalid_input,
                "cannot listen on '" + text + "': a socket's path has 1 to " +
                    std::to_string(sizeof address.sun_path - 1) + " bytes",
                "choose a shorter path");
  std::memcpy(address.sun_path, text.data(), text.size());
  return address;
}

UniqueFd new_socket() {
  UniqueFd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd) throw system_error("cannot make a socket", errno);
  return fd;
}

// Restores the umask: it is the only way to have a socket's mode right from the first moment, and it is the process's.
struct Umask {
  mode_t before;
  explicit Umask(mode_t mask) : before(::umask(mask)) {}
  ~Umask() { ::umask(before); }
};

// Whether the process that listens at the other end is gone. One that was killed while it started a worker leaves a
// child that has the socket until its exec.
bool listener_is_dead(int connected) {
  ucred peer{};
  socklen_t size = sizeof peer;
  if (::getsockopt(connected, SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0 || peer.pid <= 0) return false;
  return ::kill(peer.pid, 0) != 0 && errno == ESRCH;
}

void remove_stale(const std::filesystem::path& path, const sockaddr_un& address) {
  struct stat info {};
  if (::lstat(path.c_str(), &info) != 0) {
    if (errno == ENOENT) return;
    throw system_error("cannot look at '" + path.string() + "'", errno);
  }
  if (!S_ISSOCK(info.st_mode))
    throw Error(ErrorCode::conflict, "cannot listen on '" + path.string() + "': something that is no socket is there",
                "move it away");
  const UniqueFd probe = new_socket();
  const int result = ::connect(probe.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address);
  const int refused = result == 0 ? 0 : errno;
  // EAGAIN: its queue of connections is full, so somebody owns it.
  if (refused == EAGAIN || (refused == 0 && !listener_is_dead(probe.get())))
    throw Error(ErrorCode::conflict, "cannot listen on '" + path.string() + "': another daemon answers there",
                "stop it, or give this one another --socket");
  if (refused != 0 && refused != ECONNREFUSED)
    throw system_error("cannot tell whether a daemon listens on '" + path.string() + "'", refused);
  if (::unlink(path.c_str()) != 0) throw system_error("cannot remove the stale socket '" + path.string() + "'", errno);
}

}  // namespace

UniqueFd bind_socket(const std::filesystem::path& path, mode_t mode, std::optional<gid_t> group) {
  const sockaddr_un address = address_of(path);
  remove_stale(path, address);
  UniqueFd fd = new_socket();
  {
    const Umask mask(0777 & ~(group ? mode & 0700 : mode));  // nobody but us before the group is right
    if (::bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
      throw system_error("cannot listen on '" + path.string() + "'", errno);
  }
  if (group) {
    if (::chown(path.c_str(), static_cast<uid_t>(-1), *group) != 0)
      throw system_error("cannot give '" + path.string() + "' to group " + std::to_string(*group), errno);
    if (::chmod(path.c_str(), mode) != 0) throw system_error("cannot set the mode of '" + path.string() + "'", errno);
  }
  if (::listen(fd.get(), kBacklog) != 0) throw system_error("cannot listen on '" + path.string() + "'", errno);
  return fd;
}

}  // namespace kiln::control
