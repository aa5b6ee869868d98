#include "daemon/control/server.h"

#include <sys/socket.h>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <chrono>

#include "daemon/control/connection.h"
#include "daemon/control/errors.h"
#include "runtime/base/error.h"

namespace kiln::control {

std::int64_t wall_clock_ns() {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  return std::chrono::duration_cast<std::chrono::nanoseconds>(now).count();
}

namespace {

using Socket = asio::local::stream_protocol::socket;
using Acceptor = asio::local::stream_protocol::acceptor;
constexpr auto kToken = asio::as_tuple(asio::use_awaitable);

// Said without waiting: whoever is over the limit may not cost more than this.
void turn_away(Socket& socket, const std::string& why) {
  const Answer answer = error_answer(ErrorCode::unavailable, "cannot take the connection: " + why,
                                     "close connections, or try again later");
  const std::string text =
      "HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\nConnection: close\r\nContent-Length: " +
      std::to_string(answer.body.size()) + "\r\n\r\n" + answer.body;
  (void)::send(socket.native_handle(), text.data(), text.size(),
               MSG_DONTWAIT | MSG_NOSIGNAL);  // ignoring: courtesy only
}

// Counted as a client for as long as this lives.
class Seat {
 public:
  Seat(CorePtr core, Connection* connection)
      : core_(std::move(core)), connection_(connection), uid_(connection->peer.uid) {
    core_->connections.insert(connection_);
    ++core_->clients_of[uid_];
    ++core_->context.clients;
  }
  ~Seat() {
    core_->connections.erase(connection_);
    if (--core_->clients_of[uid_] == 0) core_->clients_of.erase(uid_);
    --core_->context.clients;
  }
  Seat(const Seat&) = delete;
  Seat& operator=(const Seat&) = delete;

 private:
  CorePtr core_;
  Connection* connection_;
  uid_t uid_;
};

asio::awaitable<void> seated(CorePtr core, ConnectionPtr connection) {
  const Seat seat(core, connection.get());
  try {
    co_await serve(core, connection);
  } catch (const std::exception& error) {
    core->note("ended a connection of uid " + std::to_string(connection->peer.uid) + ": " + error.what(), true);
  }
}

void admit_client(const CorePtr& core, Socket socket) {
  const Limits& limits = core->options.limits;
  Peer peer = peer_of(socket.native_handle());
  const auto mine = core->clients_of.find(peer.uid);
  const int of_uid = mine == core->clients_of.end() ? 0 : mine->second;
  if (core->context.clients >= limits.clients || of_uid >= limits.clients_per_uid) {
    ++core->context.figures.clients_refused;
    core->note("turned away uid " + std::to_string(peer.uid) + ": too many connections", true);
    return turn_away(socket, of_uid >= limits.clients_per_uid ? "this user has too many" : "there are too many");
  }
  const auto connection = std::make_shared<Connection>(std::move(socket), std::move(peer));
  asio::co_spawn(core->io, seated(core, connection), asio::detached);
}

asio::awaitable<void> accept_all(CorePtr core, std::shared_ptr<Acceptor> acceptor) {
  asio::steady_timer pause(core->io);
  while (acceptor->is_open()) {
    Socket socket(core->io);
    const auto [error] = co_await acceptor->async_accept(socket, kToken);
    if (error == asio::error::operation_aborted) co_return;
    if (error) {  // out of descriptors, most likely: waiting lets connections end, a tight loop would not
      core->note("cannot accept a connection: " + error.message(), true);
      pause.expires_after(std::chrono::milliseconds(100));
      (void)co_await pause.async_wait(kToken);  // ignoring: there is nobody to cancel it
      continue;
    }
    try {
      admit_client(core, std::move(socket));
    } catch (const std::exception& failure) {
      core->note(failure.what(), true);
    }
  }
}

}  // namespace

struct Server::Implementation {
  CorePtr core;
  std::vector<std::shared_ptr<Acceptor>> acceptors;
};

Server::Server(asio::io_context& io, const Services& services, ServerOptions options)
    : implementation_(std::make_shared<Implementation>()) {
  const CorePtr core = std::make_shared<Core>(io, services, std::move(options));
  implementation_->core = core;
  core->context.started_ns = wall_clock_ns();
  core->context.blob_limit_bytes = core->options.limits.blob_bytes;
  core->hub->on_event = core->options.on_event;
  core->hub->start();
}

Server::~Server() {
  stop();
  implementation_->core->hub->on_event = nullptr;
  join();
}

void Server::join() { implementation_->core->back_room.join(); }

void Server::close() {
  for (Connection* connection : implementation_->core->connections) connection->stream.close();
}

void Server::listen(UniqueFd socket) {
  const CorePtr& core = implementation_->core;
  auto acceptor = std::make_shared<Acceptor>(core->io, asio::local::stream_protocol(), socket.get());
  (void)socket.release();  // the acceptor owns it now
  implementation_->acceptors.push_back(acceptor);
  asio::co_spawn(core->io, accept_all(core, acceptor), asio::detached);
}

void Server::reconfigure(const AccessRules& access, const Limits& limits) {
  Core& core = *implementation_->core;
  core.options.access = access;
  core.options.limits = limits;
  core.context.blob_limit_bytes = limits.blob_bytes;
}

void Server::stop() {
  Core& core = *implementation_->core;
  core.context.draining = true;
  boost::system::error_code ignored;  // ignoring: a socket that cannot be closed is gone
  for (const auto& acceptor : implementation_->acceptors) acceptor->close(ignored);
  for (Connection* connection : core.connections)
    if (connection->idle) connection->stream.cancel();
  core.hub->wake();
}

int Server::clients() const { return implementation_->core->context.clients; }

}  // namespace kiln::control
