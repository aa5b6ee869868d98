// One connection: read a head, decide from it, read the body or stream it to disk, answer, again.
#include <boost/beast/http/buffer_body.hpp>
#include <boost/beast/http/empty_body.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/string_body.hpp>
#include <charconv>

#include "daemon/control/dispatch.h"
#include "daemon/control/errors.h"
#include "daemon/control/resources/resources.h"
#include "daemon/control/wire.h"
#include "runtime/base/error.h"

namespace kiln::control {
namespace {

namespace http = beast::http;
constexpr std::size_t kPiece = 256u << 10;       // of an upload
constexpr std::size_t kBufferLimit = 128u << 10;

using HeadParser = http::request_parser<http::empty_body>;
using beast::error_code;

struct Session {
  CorePtr core;
  ConnectionPtr connection;
  beast::flat_buffer buffer{kBufferLimit};
  unsigned http_version = 11;
  bool keep = false;
};

// 1 s per MiB on top of the time for a request, so that a large report may take longer than a status line.
std::chrono::milliseconds time_to_write(const Session& s, std::size_t bytes) {
  return s.core->options.limits.request + std::chrono::seconds(bytes >> 20);
}

asio::awaitable<bool> write_answer(Session& s, Answer answer) {
  count(s.core->context, answer);
  http::response<http::empty_body> response(static_cast<http::status>(answer.status), s.http_version);
  response.set(http::field::content_type, answer.content_type);
  response.set(http::field::cache_control, "no-store");
  response.set("X-Content-Type-Options", "nosniff");
  if (!answer.allow.empty()) response.set(http::field::allow, answer.allow);
  s.keep = s.keep && !s.core->context.draining;
  response.keep_alive(s.keep);
  response.content_length(answer.body.size());
  s.connection->stream.expires_after(time_to_write(s, answer.body.size()));
  std::string bytes = head_text(response) + answer.body;
  const error_code error = co_await write_all(*s.connection, std::move(bytes));
  co_return !error;
}

// Lets a client that is still sending read its refusal: closing with unread bytes would reset the connection under it.
asio::awaitable<void> linger(Session& s) {
  error_code ignored;  // ignoring: the connection ends either way
  s.connection->stream.socket().shutdown(asio::local::stream_protocol::socket::shutdown_send, ignored);
  s.connection->stream.expires_after(std::chrono::seconds(2));
  for (std::size_t total = 0; total < (4u << 20); total += s.buffer.size()) {
    s.buffer.clear();
    const error_code error = co_await read_more(*s.connection, s.buffer);
    if (error) break;
  }
}

Answer cut_answer(error_code error, const Limits& limits) {
  if (error == http::error::header_limit || error == http::error::buffer_overflow) {
    Answer answer = error_answer(ErrorCode::limit, "cannot read the request: its header is above " +
                                                       std::to_string(limits.header_bytes) + " bytes");
    answer.status = 431;
    return answer;
  }
  if (error == http::error::body_limit)
    return error_answer(ErrorCode::limit, "cannot read the request: its body is above the limit of the route");
  if (error == beast::error::timeout) {
    Answer answer = error_answer(ErrorCode::timeout, "cannot read the request: it was not complete in time");
    answer.status = 408;
    return answer;
  }
  return error_answer(ErrorCode::invalid_input, "cannot read the request: " + error.message());
}

// A timeout has closed the stream already; what else went wrong can still be told.
asio::awaitable<void> refuse_broken(Session& s, error_code error) {
  s.keep = false;
  if (error == beast::error::timeout) {
    ++s.core->context.figures.requests_cut;
    s.core->note("cut off a request of uid " + std::to_string(s.connection->peer.uid) + ": it was not complete in time",
                 true);
    co_return;
  }
  if (error == http::error::end_of_stream || error == http::error::partial_message || error == asio::error::eof ||
      error == asio::error::connection_reset || error == asio::error::operation_aborted)
    co_return;
  Answer answer = cut_answer(error, s.core->options.limits);
  const bool written = co_await write_answer(s, std::move(answer));
  if (written) co_await linger(s);
}

Request request_of(const Session& s, const HeadParser& parser) {
  const auto& head = parser.get();
  Request request;
  request.method = std::string(head.method_string());
  request.peer = s.connection->peer;
  request.role = role_of(request.peer, s.core->options.access);
  parse_target(std::string_view(head.target().data(), head.target().size()), request);
  const auto id = head["Last-Event-ID"];
  if (!id.empty()) {
    std::int64_t serial = -1;
    const auto [end, error] = std::from_chars(id.data(), id.data() + id.size(), serial);
    if (error != std::errc() || end != id.data() + id.size() || serial < 0)
      throw Error(ErrorCode::invalid_input, "cannot read header Last-Event-ID: it is no serial");
    request.last_event_id = serial;
  }
  return request;
}

bool expects_continue(const HeadParser& parser) {
  return beast::iequals(parser.get()[http::field::expect], "100-continue");
}

asio::awaitable<error_code> send_continue(Session& s) {
  std::string text = "HTTP/1.1 100 Continue\r\n\r\n";
  const error_code error = co_await write_all(*s.connection, std::move(text));
  co_return error;
}

// Streams a body into the store, piece by piece; each piece has the time of a request. Nothing is kept unless all came.
asio::awaitable<void> take_upload(Session& s, HeadParser& head, const Route& route, Request request) {
  http::request_parser<http::buffer_body> parser(std::move(head));
  const std::int64_t limit = s.core->context.blob_limit_bytes;
  parser.body_limit(static_cast<std::uint64_t>(limit));
  Context& context = s.core->context;
  const auto upload = std::make_shared<std::unique_ptr<store::Store::Upload>>();
  // Named functions, not lambdas within the co_await: GCC 12 destroys the captures of such a temporary twice.
  std::function<Answer()> open = [&context, upload, limit] {
    *upload = context.services.store.upload(limit);
    return Answer{};
  };
  Answer answer = co_await in_back_room(s.core, std::move(open));
  std::vector<char> piece(kPiece);
  error_code error;
  while (answer.status < 400 && !parser.is_done()) {
    parser.get().body().data = piece.data();
    parser.get().body().size = piece.size();
    s.connection->stream.expires_after(s.core->options.limits.request);
    error = co_await read_message(*s.connection, s.buffer, parser, Until::end);
    if (error == http::error::need_buffer) error = error_code();
    if (error) break;
    const std::size_t filled = piece.size() - parser.get().body().size;
    std::function<Answer()> write = [upload, &piece, filled] {
      (*upload)->write(std::as_bytes(std::span(piece.data(), filled)));
      return Answer{};
    };
    answer = co_await in_back_room(s.core, std::move(write));
  }
  const bool whole = !error && answer.status < 400;
  if (!whole) s.keep = false;
  if (error == http::error::body_limit) answer = cut_answer(error, s.core->options.limits);
  const bool gone = error && error != http::error::body_limit;
  std::function<Answer()> close = [&context, &route, request, upload, whole, gone, refusal = answer] {
    Answer last = refusal;
    if (whole) {
      try {
        last = stored_blob(**upload);
      } catch (...) {
        last = error_answer(std::current_exception());
      }
    }
    upload->reset();  // discards what was not committed
    if (!gone) audit(context, route, request, last);
    return last;
  };
  answer = co_await in_back_room(s.core, std::move(close));
  if (gone) {
    co_await refuse_broken(s, error);
    co_return;
  }
  const bool written = co_await write_answer(s, std::move(answer));
  if (written && !whole) co_await linger(s);
}

asio::awaitable<void> take_call(Session& s, HeadParser& head, const Route& route, Request request) {
  http::request_parser<http::string_body> parser(std::move(head));
  parser.body_limit(static_cast<std::uint64_t>(route.body_limit));
  const error_code error = co_await read_message(*s.connection, s.buffer, parser, Until::end);
  if (error) {
    co_await refuse_broken(s, error);
    co_return;
  }
  request.body = std::move(parser.get().body());
  s.connection->stream.expires_never();
  Context& context = s.core->context;
  std::function<void(const Reply&)> begin = [core = s.core, &context, &route,
                                             request = std::move(request)](const Reply& reply) {
    if (route.place == Place::io_thread) return perform(context, route, request, reply);
    asio::post(core->back_room, [&context, &route, request, reply] { perform(context, route, request, reply); });
  };
  Answer answer = co_await answer_of(std::move(begin));
  (void)co_await write_answer(s, std::move(answer));  // ignoring: `keep` and the next read see a broken connection
}

// Refused before its body was read: the body is not wanted, so the connection ends unless there is none.
asio::awaitable<void> refuse(Session& s, const Admission& admission, const Request& request, bool has_body) {
  Answer answer = admission.refusal;
  if (admission.route != nullptr && admission.route->mutates) {
    Context& context = s.core->context;
    const Route& route = *admission.route;
    std::function<Answer()> record = [&context, &route, request, refused = answer] {
      Answer last = refused;
      audit(context, route, request, last);
      return last;
    };
    answer = co_await in_back_room(s.core, std::move(record));
  }
  s.keep = s.keep && !has_body;
  const bool written = co_await write_answer(s, std::move(answer));
  if (written && has_body) co_await linger(s);
}

// Reads the head of the next request; false: the connection is over.
asio::awaitable<bool> read_head(Session& s, HeadParser& parser) {
  const Limits& limits = s.core->options.limits;
  if (s.buffer.size() == 0) {
    s.connection->idle = true;
    s.connection->stream.expires_after(limits.idle);
    const error_code error = co_await read_more(*s.connection, s.buffer);
    s.connection->idle = false;
    if (error) co_return false;
  }
  s.connection->stream.expires_after(limits.request);  // holds for the whole request, however it dribbles in
  parser.header_limit(static_cast<std::uint32_t>(limits.header_bytes));
  parser.body_limit(boost::none);  // the route decides, once it is known
  const error_code error = co_await read_message(*s.connection, s.buffer, parser, Until::head);
  if (error) co_await refuse_broken(s, error);
  co_return !error;
}

asio::awaitable<bool> next_request(Session& s) {
  HeadParser parser;
  const bool there = co_await read_head(s, parser);
  if (!there) co_return false;
  s.http_version = parser.get().version();
  s.keep = parser.get().keep_alive();
  const std::int64_t length =
      parser.content_length() ? static_cast<std::int64_t>(std::min<std::uint64_t>(*parser.content_length(), INT64_MAX))
                              : 0;
  const bool has_body = length > 0 || parser.chunked();

  Request request;
  Admission admission;
  EventQuery events;
  try {
    request = request_of(s, parser);
    admission = admit(s.core->context, request, length);
    if (admission.granted && admission.route->kind == Kind::events) events = event_query(request);
  } catch (...) {
    admission.granted = false;
    admission.refusal = error_answer(std::current_exception());
  }
  if (!admission.granted) {
    co_await refuse(s, admission, request, has_body);
    co_return s.keep;
  }
  const Route& route = *admission.route;
  if (expects_continue(parser) && has_body) {
    const error_code error = co_await send_continue(s);
    if (error) co_return false;
  }
  if (route.kind == Kind::events) {
    co_await stream_events(s.core, s.connection, std::move(events), s.http_version);
    co_return false;
  }
  if (route.kind == Kind::upload) {
    co_await take_upload(s, parser, route, std::move(request));
  } else {
    co_await take_call(s, parser, route, std::move(request));
  }
  co_return s.keep;
}

}  // namespace

asio::awaitable<void> serve(CorePtr core, ConnectionPtr connection) {
  Session session{core, connection};
  while (!core->context.draining) {
    const bool again = co_await next_request(session);
    if (!again) break;
  }
  connection->stream.close();
}

}  // namespace kiln::control
