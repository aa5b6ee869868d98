// Server-sent events (WHATWG HTML, "Server-sent events"): a view of the store's event table that a client may leave and
// come back to. Memory per reader is one batch; a reader that does not take it in time is dropped and comes back
// with Last-Event-ID.
#include <fmt/core.h>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/beast/http/empty_body.hpp>

#include "daemon/control/rows.h"
#include "daemon/control/wire.h"
#include "runtime/base/json.h"

namespace kiln::control {
namespace {

namespace http = beast::http;
constexpr auto kToken = asio::as_tuple(asio::use_awaitable);
constexpr std::int32_t kBatch = 64;

bool concerns(const store::Event& event, const std::string& job) {
  if (job.empty() || event.subject == job) return true;
  const json::value* named = event.detail.if_contains("job");
  return named != nullptr && named->is_string() && std::string_view(named->get_string()) == job;
}

std::string text_of(const store::Event& event) {
  return "id: " + std::to_string(event.serial) + "\nevent: " + event.kind +
         "\ndata: " + json::canonical(to_json(event)) + "\n\n";
}

struct Reader {
  explicit Reader(const asio::any_io_executor& executor) : bell(executor) {}
  asio::steady_timer bell;
  bool gone = false;
};

// A reader says nothing after its request: what arrives, the end of the stream above all, means that it is gone.
asio::awaitable<void> watch(ConnectionPtr connection, std::shared_ptr<Reader> reader) {
  beast::flat_buffer unwanted;
  (void)co_await read_more(*connection, unwanted);  // ignoring the result: any means gone
  reader->gone = true;
  reader->bell.cancel();
}

// One chunk of the body (RFC 9112, 7.1); an empty text is the last one.
asio::awaitable<bool> write_chunk(CorePtr core, ConnectionPtr connection, std::string text) {
  connection->stream.expires_after(core->options.limits.slow_reader);
  std::string chunk = fmt::format("{:x}\r\n{}\r\n", text.size(), text);
  const beast::error_code error = co_await write_all(*connection, std::move(chunk));
  if (error == beast::error::timeout) {
    ++core->context.figures.readers_dropped;
    core->note("dropped an event reader of uid " + std::to_string(connection->peer.uid) +
                   ": it did not take its bytes in time",
               true);
  }
  co_return !error;
}

asio::awaitable<bool> write_head(CorePtr core, ConnectionPtr connection, unsigned http_version) {
  http::response<http::empty_body> head(http::status::ok, http_version);
  head.set(http::field::content_type, "text/event-stream");
  head.set(http::field::cache_control, "no-store");
  head.keep_alive(false);
  head.chunked(true);
  connection->stream.expires_after(core->options.limits.slow_reader);
  std::string text = head_text(head);
  const beast::error_code error = co_await write_all(*connection, std::move(text));
  co_return !error;
}

struct Waiting {  // in the hub's list for as long as this lives
  EventHub& hub;
  asio::steady_timer& bell;
  Waiting(EventHub& h, asio::steady_timer& b) : hub(h), bell(b) { hub.enter(bell); }
  ~Waiting() { hub.leave(bell); }
  Waiting(const Waiting&) = delete;
  Waiting& operator=(const Waiting&) = delete;
};

asio::awaitable<void> farewell(CorePtr core, ConnectionPtr connection) {
  std::string bye = "event: bye\ndata: {\"reason\":\"the daemon stops\"}\n\n";
  const bool written = co_await write_chunk(core, connection, std::move(bye));
  if (!written) co_return;
  std::string last;
  (void)co_await write_chunk(core, connection, std::move(last));  // ignoring: the stream ends either way
}

}  // namespace

EventQuery event_query(const Request& request) {
  EventQuery query;
  query.after = query_int(request, "after", 0, 0, std::numeric_limits<std::int64_t>::max());
  query.after = request.last_event_id.value_or(query.after);
  const auto job = request.query.find("job");
  if (job != request.query.end()) query.job = job->second;
  return query;
}

asio::awaitable<void> stream_events(CorePtr core, ConnectionPtr connection, EventQuery query, unsigned http_version) {
  const asio::any_io_executor executor = co_await asio::this_coro::executor;
  std::int64_t serial = query.after;
  const auto reader = std::make_shared<Reader>(executor);
  connection->stream.expires_never();
  asio::co_spawn(executor, watch(connection, reader), asio::detached);
  bool written = co_await write_head(core, connection, http_version);
  if (!written) co_return;
  std::string greeting = ": kiln events\n\n";  // so that a client knows at once that it is heard
  written = co_await write_chunk(core, connection, std::move(greeting));
  if (!written) co_return;

  const Waiting waiting(*core->hub, reader->bell);
  while (written && !reader->gone && !core->context.draining) {
    std::string text;
    const std::vector<store::Event> batch = core->hub->after(serial, kBatch);
    for (const store::Event& event : batch) {
      serial = event.serial;
      if (concerns(event, query.job)) text += text_of(event);
    }
    if (batch.empty()) {
      reader->bell.expires_after(core->options.limits.heartbeat);
      const auto [woken] = co_await reader->bell.async_wait(kToken);
      if (woken || reader->gone) continue;
      text = ": heartbeat\n\n";
    }
    if (!text.empty()) written = co_await write_chunk(core, connection, std::move(text));
  }
  if (written && !reader->gone) co_await farewell(core, connection);
}

}  // namespace kiln::control
