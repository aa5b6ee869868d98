#include "daemon/kctl/client.h"

#include <fmt/core.h>
#include <unistd.h>

#include <boost/asio/io_context.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http.hpp>
#include <cerrno>
#include <thread>
#include <vector>

#include "runtime/base/digest.h"
#include "runtime/base/json.h"

namespace kiln::kctl {
namespace {

namespace asio = boost::asio;
namespace http = boost::beast::http;
using Socket = asio::local::stream_protocol::socket;
using boost::system::error_code;

constexpr std::uint64_t kAnswerLimit = std::uint64_t{1} << 30;
constexpr std::size_t kPiece = 1u << 20;

void connect(Socket& socket, const std::filesystem::path& path) {
  if (path.native().size() > 107)  // sockaddr_un
    throw Unreachable(path, "a socket's path has at most 107 bytes");
  error_code ec;
  socket.connect(asio::local::stream_protocol::endpoint(path.native()), ec);
  if (ec == boost::system::errc::permission_denied)
    throw Error(ErrorCode::permission, fmt::format("cannot connect to '{}': {}", path.native(), ec.message()),
                "ask for membership in the group that owns the socket");
  if (ec) throw Unreachable(path, ec.message());
}

http::request<http::string_body> request(http::verb method, std::string_view target) {
  http::request<http::string_body> out(method, boost::beast::string_view(target.data(), target.size()), 11);
  out.set(http::field::host, "localhost");
  out.set(http::field::user_agent, "kctl");
  out.set(http::field::connection, "close");
  return out;
}

ErrorCode code_from_name(std::string_view text) {
  for (int i = 0; i <= static_cast<int>(ErrorCode::internal); ++i)
    if (name(static_cast<ErrorCode>(i)) == text) return static_cast<ErrorCode>(i);
  return ErrorCode::internal;
}

[[noreturn]] void throw_refusal(unsigned status, const std::string& body) {
  std::string code, message, remedy;
  try {
    const json::object whole = json::as_object(json::parse(body, "the answer"), "the answer");
    const json::object& error = json::as_object(json::at(whole, "error", "the answer"), "the error");
    code = json::get_string(error, "code", "the error");
    message = json::get_string(error, "message", "the error");
    remedy = json::find_string(error, "remedy", "the error").value_or("");
  } catch (const Error& malformed) {
    throw Error(ErrorCode::internal,
                fmt::format("cannot read the daemon's refusal (status {}): {}", status, malformed.what()));
  }
  throw Error(code_from_name(code), message, remedy);
}

// Sends and receives whole bodies; `write` puts the request on the wire.
template <class Write>
std::string exchange(const std::filesystem::path& path, std::string_view target, const Write& write) {
  asio::io_context io;
  Socket socket(io);
  connect(socket, path);
  error_code sent;
  write(socket, sent);
  // A daemon that refuses early closes before the body is through: its answer says more than the broken pipe.
  boost::beast::flat_buffer buffer;
  http::response_parser<http::string_body> parser;
  parser.body_limit(kAnswerLimit);
  error_code received;
  http::read(socket, buffer, parser, received);
  if (received) {
    const error_code cause = sent ? sent : received;
    throw Error(ErrorCode::unavailable, fmt::format("cannot complete '{}': {}", target, cause.message()),
                "see the daemon's log; 'kctl status' shows whether it runs");
  }
  http::response<http::string_body> answer = parser.release();
  if (answer.result_int() / 100 != 2) throw_refusal(answer.result_int(), answer.body());
  return std::move(answer.body());
}

json::object parse_answer(const std::string& body, std::string_view target) {
  const std::string what = fmt::format("the answer to '{}'", target);
  return json::as_object(json::parse(body, what, {.bytes = std::size_t{256} << 20, .depth = 64}), what);
}

}  // namespace

Unreachable::Unreachable(const std::filesystem::path& socket, const std::string& cause)
    : Error(ErrorCode::unavailable, fmt::format("cannot reach kilnd on '{}': {}", socket.native(), cause),
            "start it with 'systemctl start kilnd', or run one of your own with 'kilnd --user'; "
            "--socket or KILN_SOCKET names another socket") {}

std::string Client::bytes(std::string_view target) {
  return exchange(socket_, target,
                  [&](Socket& socket, error_code& ec) { http::write(socket, request(http::verb::get, target), ec); });
}

json::object Client::get(std::string_view target) { return parse_answer(bytes(target), target); }

json::object Client::post(std::string_view target) {
  return parse_answer(exchange(socket_, target,
                               [&](Socket& socket, error_code& ec) {
                                 auto r = request(http::verb::post, target);
                                 r.prepare_payload();
                                 http::write(socket, r, ec);
                               }),
                      target);
}

json::object Client::post(std::string_view target, const json::object& body) {
  return parse_answer(exchange(socket_, target,
                               [&](Socket& socket, error_code& ec) {
                                 auto r = request(http::verb::post, target);
                                 r.set(http::field::content_type, "application/json");
                                 r.body() = json::canonical(body);
                                 r.prepare_payload();
                                 http::write(socket, r, ec);
                               }),
                      target);
}

std::string Client::upload(int fd, std::int64_t size, const std::function<void(std::int64_t)>& sent) {
  constexpr std::string_view target = "/v1/blobs";
  Sha256 digest;
  const auto send = [&](Socket& socket, error_code& ec) {
    http::request<http::empty_body> head(request(http::verb::post, target).base());
    head.set(http::field::content_type, "application/octet-stream");
    head.content_length(static_cast<std::uint64_t>(size));
    http::request_serializer<http::empty_body> serializer(head);
    http::write_header(socket, serializer, ec);
    std::vector<std::byte> piece(kPiece);
    for (std::int64_t done = 0; done < size && !ec;) {
      const auto want = std::min<std::int64_t>(size - done, static_cast<std::int64_t>(kPiece));
      const ssize_t got = ::pread(fd, piece.data(), static_cast<std::size_t>(want), done);
      if (got < 0 && errno == EINTR) continue;
      if (got < 0) throw system_error("cannot read the file to upload", errno);
      if (got == 0) throw Error(ErrorCode::io, "cannot upload the file: it became shorter while it was read");
      const std::span<const std::byte> part(piece.data(), static_cast<std::size_t>(got));
      digest.update(part);
      asio::write(socket, asio::buffer(part.data(), part.size()), ec);
      done += got;
      sent(done);
    }
  };
  const json::object answer = parse_answer(exchange(socket_, target, send), target);
  const std::string stored = json::get_string(answer, "sha256", "the answer to an upload");
  if (stored != digest.finish_hex())
    throw Error(ErrorCode::corrupt, "cannot upload the file: the daemon stored other bytes than were sent",
                "try again");
  return stored;
}

// The io_context is declared first: a read that is still under way ends with the socket, before its context.
struct EventStream::Connection {
  asio::io_context io;
  Socket socket{io};
  boost::beast::flat_buffer buffer;
  http::response_parser<http::buffer_body> parser;
  std::array<char, 16384> piece{};
  SseParser events;
  bool reading = false;
  bool ended = false;

  void begin_read() {
    parser.get().body().data = piece.data();
    parser.get().body().size = piece.size();
    parser.get().body().more = true;
    reading = true;
    http::async_read_some(socket, buffer, parser, [this](error_code ec, std::size_t) {
      reading = false;
      const std::size_t got = piece.size() - parser.get().body().size;
      events.feed({piece.data(), got});
      if (ec == http::error::need_buffer) ec = {};
      ended = ec.failed() || parser.is_done();
    });
  }
};

EventStream::EventStream(std::filesystem::path socket, std::string target, std::chrono::seconds patience)
    : socket_(std::move(socket)), target_(std::move(target)), patience_(patience) {}
EventStream::~EventStream() = default;

std::optional<SseEvent> EventStream::next(std::chrono::milliseconds wait) {
  const auto now = std::chrono::steady_clock::now();
  if (!connection_) {
    auto fresh = std::make_unique<Connection>();
    try {
      connect(fresh->socket, socket_);
      auto r = request(http::verb::get, target_);
      r.set(http::field::accept, "text/event-stream");
      if (!last_id_.empty()) r.set("Last-Event-ID", last_id_);
      http::write(fresh->socket, r);
      fresh->parser.body_limit(boost::none);
      http::read_header(fresh->socket, fresh->buffer, fresh->parser);
    } catch (const boost::system::system_error& e) {
      throw Unreachable(socket_, e.code().message());
    } catch (const Unreachable&) {
      if (lost_at_ == decltype(lost_at_){} || now - lost_at_ > patience_) throw;
      std::this_thread::sleep_for(wait);
      return std::nullopt;
    }
    const unsigned status = fresh->parser.get().result_int();
    if (status / 100 != 2) {
      const auto refused = Client(socket_).bytes(target_);  // the same request again, for its whole answer
      throw Error(ErrorCode::internal, fmt::format("cannot follow events: status {}", status));
    }
    connection_ = std::move(fresh);
    lost_at_ = {};
  }
  Connection& c = *connection_;
  auto event = c.events.next();
  if (!event && !c.ended) {
    if (!c.reading) c.begin_read();
    c.io.restart();
    c.io.run_for(wait);
    event = c.events.next();
  }
  if (event) last_id_ = event->id;
  if ((event && event->kind == "bye") || (!event && c.ended)) {
    connection_.reset();
    lost_at_ = now;
    return std::nullopt;
  }
  return event;
}

std::string url_encode(std::string_view text) {
  std::string out;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    const bool plain = (byte >= '0' && byte <= '9') || (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z') ||
                       byte == '-' || byte == '.' || byte == '_' || byte == '~';
    out += plain ? std::string(1, c) : fmt::format("%{:02X}", byte);
  }
  return out;
}

}  // namespace kiln::kctl
