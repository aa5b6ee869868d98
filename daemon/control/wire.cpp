#include "daemon/control/wire.h"

#include <algorithm>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/http/write.hpp>
#include <sstream>

namespace kiln::control {

namespace {
namespace http = beast::http;
using beast::error_code;
constexpr auto kToken = asio::as_tuple(asio::use_awaitable);
constexpr std::size_t kLeastRead = 4096;
constexpr std::size_t kMostRead = 64u << 10;
}  // namespace

asio::awaitable<error_code> read_more(Connection& connection, beast::flat_buffer& buffer) {
  const std::size_t room = buffer.max_size() - buffer.size();
  if (room == 0) co_return http::error::buffer_overflow;
  const std::size_t free = buffer.capacity() - buffer.size();
  const auto space = buffer.prepare(std::min(room, std::clamp(free, kLeastRead, kMostRead)));
  const auto [error, bytes] = co_await connection.stream.async_read_some(space, kToken);
  buffer.commit(bytes);
  co_return error;
}

asio::awaitable<error_code> read_message(Connection& connection, beast::flat_buffer& buffer,
                                         http::basic_parser<true>& parser, Until until) {
  parser.eager(until == Until::end);
  while (until == Until::head ? !parser.is_header_done() : !parser.is_done()) {
    error_code error = http::error::need_more;
    if (buffer.size() > 0) {
      buffer.consume(parser.put(buffer.data(), error));
      if (!error) continue;
      if (error != http::error::need_more) co_return error;
    }
    error = co_await read_more(connection, buffer);
    if (error == asio::error::eof) {
      if (!parser.got_some()) co_return http::error::end_of_stream;
      parser.put_eof(error);
    }
    if (error) co_return error;
  }
  co_return error_code();
}

asio::awaitable<error_code> write_all(Connection& connection, std::string bytes) {
  const asio::const_buffer all = asio::buffer(bytes);
  const auto [error, written] = co_await asio::async_write(connection.stream, all, kToken);
  co_return error;
}

std::string head_text(const http::response_header<>& head) {
  std::ostringstream out;
  out << head;
  return std::move(out).str();
}

}  // namespace kiln::control
