// The control socket: HTTP/1.1 over AF_UNIX. One I/O thread runs every connection as a coroutine; what may wait for a
// disk runs in a back room of four threads.
//
// Invariants: (1) a peer's identity is taken once, at accept; its role is decided per request under the rules of that
// moment; (2) a request that has begun ends within `request`, whatever the peer does; (3) memory per connection is
// bounded; (4) with no connection and no event nothing wakes up.
// Failure: a broken connection ends itself; nothing a peer sends throws out of the server.
#pragma once

#include <boost/asio/io_context.hpp>
#include <chrono>
#include <functional>
#include <memory>
#include <string>

#include "daemon/control/roles.h"
#include "daemon/control/services.h"
#include "runtime/base/unique_fd.h"

namespace kiln::control {

struct Limits {
  std::size_t header_bytes = 16u << 10;
  std::int64_t blob_bytes = std::int64_t{16} << 30;
  int clients = 256;
  int clients_per_uid = 128;
  std::chrono::milliseconds request{10'000};       // to complete a request once begun; per 256 KiB of an upload
  std::chrono::milliseconds idle{300'000};         // between requests
  std::chrono::milliseconds slow_reader{10'000};   // for an event reader to take its bytes
  std::chrono::milliseconds heartbeat{15'000};     // comment line of an event stream
};

// Something that the program may log; the library does not.
struct Notice {
  std::string text;
  bool warning = false;
};

struct ServerOptions {
  Limits limits;
  AccessRules access;
  std::function<void(const Notice&)> notice;  // called on the I/O thread
  std::function<void(const store::Event&)> on_event;  // each new event, in order; called on the I/O thread
};

class Server {
 public:
  Server(boost::asio::io_context& io, const Services& services, ServerOptions options);
  ~Server();
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  void listen(UniqueFd socket);  // a listening AF_UNIX stream socket
  // New rules and limits for the next request of every connection.
  void reconfigure(const AccessRules& access, const Limits& limits);
  // Accepts no more, lets requests in progress end, tells event readers goodbye. Returns at once.
  void stop();
  // Returns when the back room has done what it was given; then nothing of the server calls the services any more,
  // except answers that importer and jobs still owe.
  void join();
  // Cuts every connection; the io_context runs out of work once the services have given their last answers.
  void close();
  [[nodiscard]] int clients() const;

 private:
  struct Implementation;
  std::shared_ptr<Implementation> implementation_;
};

}  // namespace kiln::control
