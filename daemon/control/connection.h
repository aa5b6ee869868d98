// One connection's pieces, shared between the session and the event stream. Internal to the room.
//
// How coroutines are written here: an await is a statement of its own, its arguments are named or moved from names, and
// its result goes into a name. GCC 12 destroys temporaries of an await twice and miscompiles awaits within conditions.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/thread_pool.hpp>
#include <boost/beast/core/basic_stream.hpp>
#include <map>
#include <memory>
#include <set>
#include <tuple>

#include "daemon/control/event_hub.h"
#include "daemon/control/message.h"
#include "daemon/control/server.h"

namespace kiln::control {

namespace asio = boost::asio;
namespace beast = boost::beast;

using Stream = beast::basic_stream<asio::local::stream_protocol, asio::any_io_executor, beast::unlimited_rate_policy>;

struct Connection {
  Connection(asio::local::stream_protocol::socket socket, Peer p) : stream(std::move(socket)), peer(std::move(p)) {}
  Stream stream;
  Peer peer;
  bool idle = false;  // between two requests: stop() may close it
};

// What the connections of one server share; touched on the I/O thread, but for `context` and `back_room`.
struct Core {
  Core(asio::io_context& i, const Services& services, ServerOptions o)
      : io(i), context(services), options(std::move(o)), hub(std::make_shared<EventHub>(i, context)) {}
  asio::io_context& io;
  Context context;
  ServerOptions options;
  std::shared_ptr<EventHub> hub;
  asio::thread_pool back_room{4};  // two may be long: a verification, a doctor
  std::set<Connection*> connections;
  std::map<uid_t, int> clients_of;

  void note(std::string text, bool warning = false) const {
    if (options.notice) options.notice({std::move(text), warning});
  }
};

using CorePtr = std::shared_ptr<Core>;
using ConnectionPtr = std::shared_ptr<Connection>;

// Starts `begin` here and resumes when its Reply was called, on whatever thread.
asio::awaitable<Answer> answer_of(std::function<void(const Reply&)> begin);
// Runs `work` in the back room; what it throws becomes an error answer.
asio::awaitable<Answer> in_back_room(CorePtr core, std::function<Answer()> work);

// All requests of one connection, until either side is done with it. session.cpp
asio::awaitable<void> serve(CorePtr core, ConnectionPtr connection);
// GET /v1/events, from the header to the end of the connection. event_stream.cpp
struct EventQuery {
  std::int64_t after = 0;
  std::string job;  // empty: all
};
[[nodiscard]] EventQuery event_query(const Request& request);  // Error(invalid_input)
asio::awaitable<void> stream_events(CorePtr core, ConnectionPtr connection, EventQuery query, unsigned http_version);

}  // namespace kiln::control
