// A small synchronous HTTP client for the daemon's socket (daemon/control/openapi.json). One connection per request.
// Not thread-safe. An answer that is not 2xx becomes an Error with the daemon's code, message and remedy.
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "daemon/kctl/sse.h"
#include "runtime/base/error.h"
#include "runtime/base/json_fwd.h"

namespace kiln::kctl {

// Nothing answers on the socket; the remedy says which command starts the daemon.
class Unreachable : public Error {
 public:
  Unreachable(const std::filesystem::path& socket, const std::string& cause);
};

class Client {
 public:
  explicit Client(std::filesystem::path socket) : socket_(std::move(socket)) {}

  [[nodiscard]] json::object get(std::string_view target);
  [[nodiscard]] json::object post(std::string_view target);
  [[nodiscard]] json::object post(std::string_view target, const json::object& body);
  [[nodiscard]] std::string bytes(std::string_view target);  // the body of a GET, whatever its type

  // POST /v1/blobs from an open file, in pieces; `sent` is told how many bytes are gone. Returns the digest, which was
  // compared with the one computed on the way: Error(corrupt).
  [[nodiscard]] std::string upload(int fd, std::int64_t size, const std::function<void(std::int64_t)>& sent);

 private:
  std::filesystem::path socket_;
};

// GET of an event stream. Reconnects with Last-Event-ID when the daemon goes away for less than `patience`.
class EventStream {
 public:
  EventStream(std::filesystem::path socket, std::string target,
              std::chrono::seconds patience = std::chrono::seconds(15));
  ~EventStream();
  EventStream(const EventStream&) = delete;
  EventStream& operator=(const EventStream&) = delete;

  // The next event, or nothing when none came within `wait`. Throws Error as Client does, Unreachable past the
  // patience.
  [[nodiscard]] std::optional<SseEvent> next(std::chrono::milliseconds wait);

 private:
  struct Connection;
  std::filesystem::path socket_;
  std::string target_;
  std::chrono::seconds patience_;
  std::string last_id_;
  std::chrono::steady_clock::time_point lost_at_{};
  std::unique_ptr<Connection> connection_;
};

// "a b" -> "a%20b": one path segment or query value, RFC 3986 unreserved characters left as they are.
[[nodiscard]] std::string url_encode(std::string_view text);

}  // namespace kiln::kctl
