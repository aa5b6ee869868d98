#include "daemon/kilnd/notify.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <systemd/sd-daemon.h>

#include <ctime>

#include "runtime/base/error.h"

namespace kiln::kilnd {
namespace {

void tell(const std::string& state) {
  (void)::sd_notify(0, state.c_str());
}  // ignoring: a deaf service manager stops nothing

std::string one_line(const std::string& text) { return text.substr(0, text.find('\n')); }

}  // namespace

void notify_ready(const std::string& status) { tell("READY=1\nSTATUS=" + one_line(status)); }
void notify_status(const std::string& status) { tell("STATUS=" + one_line(status)); }
void notify_stopping() { tell("STOPPING=1\nSTATUS=stopping: a running job is paused at its next recorded step"); }
void notify_watchdog() { tell("WATCHDOG=1"); }

void notify_reloading() {
  timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  tell("RELOADING=1\nMONOTONIC_USEC=" + std::to_string(std::int64_t{now.tv_sec} * 1'000'000 + now.tv_nsec / 1000));
}

std::optional<std::chrono::microseconds> watchdog_period() {
  std::uint64_t allowed_us = 0;
  if (::sd_watchdog_enabled(0, &allowed_us) <= 0) return std::nullopt;
  return std::chrono::microseconds(allowed_us / 2);
}

UniqueFd activated_socket() {
  const int count = ::sd_listen_fds(1);
  if (count < 0) throw system_error("cannot take the socket from systemd", -count);
  if (count == 0) return {};
  UniqueFd fd(SD_LISTEN_FDS_START);
  if (count > 1 || ::sd_is_socket_unix(fd.get(), SOCK_STREAM, 1, nullptr, 0) <= 0)
    throw Error(ErrorCode::invalid_input,
                "cannot take the socket from systemd: " + std::to_string(count) +
                    " descriptors were handed over, one listening AF_UNIX stream socket is needed",
                "look at kilnd.socket");
  if (::fcntl(fd.get(), F_SETFL, O_NONBLOCK) != 0) throw system_error("cannot prepare the socket from systemd", errno);
  return fd;
}

}  // namespace kiln::kilnd
