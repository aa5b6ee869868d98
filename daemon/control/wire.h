// The bytes of one connection. Beast's parser and serializer work on memory here and the socket only moves buffers, so
// that its asynchronous operations are instantiated in wire.cpp and nowhere else. Internal to the room.
#pragma once

#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http/basic_parser.hpp>
#include <boost/beast/http/message.hpp>

#include "daemon/control/connection.h"

namespace kiln::control {

enum class Until { head, end };

// Appends what the peer sent next to `buffer`, at least one byte; otherwise an error: buffer_overflow at the buffer's
// limit, beast::error::timeout after the stream's expiry, asio::error::eof.
asio::awaitable<beast::error_code> read_more(Connection& connection, beast::flat_buffer& buffer);

// Feeds `parser` until it has the head, or the whole message; need_buffer when a buffer_body is full. What belongs to
// the next message stays in `buffer`. The end of the stream between two messages is end_of_stream, within one
// partial_message.
asio::awaitable<beast::error_code> read_message(Connection& connection, beast::flat_buffer& buffer,
                                                beast::http::basic_parser<true>& parser, Until until);

asio::awaitable<beast::error_code> write_all(Connection& connection, std::string bytes);

// The head of a response as it goes on the wire.
[[nodiscard]] std::string head_text(const beast::http::response_header<>& head);

}  // namespace kiln::control
