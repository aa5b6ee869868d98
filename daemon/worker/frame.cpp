#include "daemon/worker/frame.h"

#include <poll.h>
#include <sys/socket.h>
#include <time.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

#include "runtime/base/json.h"

namespace kiln::worker {

std::int64_t monotonic_ns() {
  timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  return std::int64_t{now.tv_sec} * 1'000'000'000 + now.tv_nsec;
}

bool wait_readable(int socket, std::int64_t deadline_ns) {
  for (;;) {
    int timeout_ms = -1;
    if (deadline_ns >= 0)
      timeout_ms =
          static_cast<int>(std::clamp<std::int64_t>((deadline_ns - monotonic_ns() + 999'999) / 1'000'000, 0, 1 << 30));
    pollfd entry{socket, POLLIN, 0};
    const int ready = ::poll(&entry, 1, timeout_ms);
    if (ready > 0) return true;
    if (ready == 0) return false;
    if (errno != EINTR) throw system_error("cannot wait for a frame", errno);
  }
}

bool send_frame(int socket, const Frame& frame) {
  const std::string text = boost::json::serialize(frame.body);
  if (text.size() > kFrameLimitBytes || frame.fds.size() > kFrameLimitFds)
    throw Error(ErrorCode::limit,
                "cannot send a frame of " + std::to_string(text.size()) + " bytes: it is over the limit");
  std::array<std::uint32_t, 2> head = {static_cast<std::uint32_t>(text.size()),
                                       static_cast<std::uint32_t>(frame.fds.size())};
  std::string bytes(reinterpret_cast<const char*>(head.data()), sizeof head);
  bytes += text;

  alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int) * kFrameLimitFds)> control{};
  std::size_t sent = 0;
  while (sent < bytes.size()) {
    iovec part{bytes.data() + sent, bytes.size() - sent};
    msghdr message{};
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    if (sent == 0 && !frame.fds.empty()) {
      const std::size_t fd_bytes = sizeof(int) * frame.fds.size();
      message.msg_control = control.data();
      message.msg_controllen = CMSG_SPACE(fd_bytes);
      cmsghdr* header = CMSG_FIRSTHDR(&message);
      header->cmsg_level = SOL_SOCKET;
      header->cmsg_type = SCM_RIGHTS;
      header->cmsg_len = CMSG_LEN(fd_bytes);
      std::array<int, kFrameLimitFds> numbers{};
      for (std::size_t i = 0; i < frame.fds.size(); ++i) numbers[i] = frame.fds[i].get();
      std::memcpy(CMSG_DATA(header), numbers.data(), fd_bytes);
    }
    const ssize_t n = ::sendmsg(socket, &message, MSG_NOSIGNAL);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && (errno == EPIPE || errno == ECONNRESET)) return false;
    if (n < 0) throw system_error("cannot send a frame", errno);
    sent += static_cast<std::size_t>(n);
  }
  return true;
}

Received receive_frame(int socket, std::int64_t deadline_ns, Frame& out) {
  out = {};
  std::array<std::uint32_t, 2> head{};
  std::string text;
  std::size_t got = 0;
  std::size_t want = sizeof head;
  alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int) * kFrameLimitFds)> control{};
  while (got < want) {
    if (!wait_readable(socket, deadline_ns)) return Received::timed_out;
    const bool in_head = got < sizeof head;
    char* target = in_head ? reinterpret_cast<char*>(head.data()) + got : text.data() + (got - sizeof head);
    iovec part{target, in_head ? sizeof head - got : want - got};
    msghdr message{};
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    message.msg_control = control.data();
    message.msg_controllen = control.size();
    const ssize_t n = ::recvmsg(socket, &message, MSG_CMSG_CLOEXEC);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && errno == ECONNRESET) return Received::closed;
    if (n < 0) throw system_error("cannot receive a frame", errno);
    if (n == 0) return Received::closed;
    for (cmsghdr* header = CMSG_FIRSTHDR(&message); header; header = CMSG_NXTHDR(&message, header)) {
      if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS) continue;
      const std::size_t count = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
      for (std::size_t i = 0; i < count; ++i) {
        int fd = -1;
        std::memcpy(&fd, CMSG_DATA(header) + i * sizeof(int), sizeof fd);
        out.fds.emplace_back(fd);
      }
    }
    got += static_cast<std::size_t>(n);
    if (got == sizeof head && text.empty()) {
      if (head[0] > kFrameLimitBytes || head[1] > kFrameLimitFds || head[0] < 2)
        throw Error(ErrorCode::corrupt, "cannot accept a frame: it claims " + std::to_string(head[0]) + " bytes and " +
                                            std::to_string(head[1]) + " descriptors");
      text.resize(head[0]);
      want += head[0];
    }
  }
  if (out.fds.size() != head[1])
    throw Error(ErrorCode::corrupt, "cannot accept a frame: it has " + std::to_string(out.fds.size()) +
                                        " descriptors and claims " + std::to_string(head[1]));
  out.body =
      json::as_object(json::parse(text, "a worker frame", {.bytes = kFrameLimitBytes, .depth = 32}), "a worker frame");
  return Received::frame;
}

}  // namespace kiln::worker
