// How the daemon and its workers talk: frames over a stream socket pair. A frame is a 32-bit little-endian length, a
// 32-bit count of descriptors, and JSON text; bulk data travels as memory files whose descriptors ride on the first
// byte (SCM_RIGHTS). docs/worker-protocol.md. The other side is not trusted: lengths are capped before anything is
// allocated.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "runtime/base/json.h"
#include "runtime/base/unique_fd.h"

namespace kiln::worker {

inline constexpr std::uint32_t kFrameLimitBytes = 64u << 20;
inline constexpr std::uint32_t kFrameLimitFds = 64;

struct Frame {
  json::object body;
  std::vector<UniqueFd> fds;
};

// False when the peer is gone. Throws Error(limit) for a frame over the limits, Error(io) for a descriptor that is not
// open.
[[nodiscard]] bool send_frame(int socket, const Frame& frame);

// True when there is something to receive, or the peer is gone; false at `deadline_ns`, as below.
[[nodiscard]] bool wait_readable(int socket, std::int64_t deadline_ns);

enum class Received : std::uint8_t { frame, closed, timed_out };
// Waits until `deadline_ns` on CLOCK_MONOTONIC (negative: for ever). Throws Error(corrupt) for a frame that breaks a
// rule.
[[nodiscard]] Received receive_frame(int socket, std::int64_t deadline_ns, Frame& out);

[[nodiscard]] std::int64_t monotonic_ns();

}  // namespace kiln::worker
