#include "daemon/kctl/sse.h"

#include <doctest/doctest.h>

#include <vector>

#include "runtime/base/error.h"

using namespace kiln;
using kctl::SseEvent;
using kctl::SseParser;

namespace {

std::vector<SseEvent> parse(std::string_view text, std::size_t cut = 0) {
  SseParser parser;
  parser.feed(text.substr(0, cut));
  parser.feed(text.substr(cut));
  std::vector<SseEvent> out;
  while (auto event = parser.next()) out.push_back(*event);
  return out;
}

}  // namespace

// The examples of the HTML standard, section "Interpreting an event stream".
TEST_CASE("two data lines are one event with a line feed between") {
  const auto events = parse("data: YHOO\ndata: +2\ndata: 10\n\n");
  REQUIRE(events.size() == 1);
  CHECK(events[0].data == "YHOO\n+2\n10");
  CHECK(events[0].kind == "message");
}

TEST_CASE("comments are left out, an id lasts until the next one, an empty id clears it") {
  const auto events =
      parse(": test stream\n\ndata: first event\nid: 1\n\ndata:second event\nid\n\ndata:  third event\n\n");
  REQUIRE(events.size() == 3);
  CHECK(events[0].id == "1");
  CHECK(events[0].data == "first event");
  CHECK(events[1].id.empty());
  CHECK(events[1].data == "second event");
  CHECK(events[2].data == " third event");
}

TEST_CASE("data without a value is an empty line; an event that does not end is none") {
  const auto events = parse("data\n\ndata\ndata\n\ndata:");
  REQUIRE(events.size() == 2);
  CHECK(events[0].data.empty());
  CHECK(events[1].data == "\n");
}

TEST_CASE("a byte order mark and the three ends of a line") {
  CHECK(parse("\xef\xbb\xbf" "data:x\n\n").at(0).data == "x");
  CHECK(parse("event: a\r\ndata: 1\r\n\r\nevent: b\rdata: 2\r\r").at(1).kind == "b");
}

TEST_CASE("a stream cut at any byte gives the same events, and its beginning gives no other") {
  const std::string whole = "id: 7\nevent: job.state\ndata: {\"a\":1}\n\n: ping\n\nid: 8\r\ndata: b\r\n\r\n";
  const auto expected = parse(whole);
  REQUIRE(expected.size() == 2);
  for (std::size_t cut = 0; cut <= whole.size(); ++cut) {
    const auto events = parse(whole, cut);
    REQUIRE(events.size() == 2);
    for (std::size_t i = 0; i < 2; ++i) {
      CHECK(events[i].id == expected[i].id);
      CHECK(events[i].kind == expected[i].kind);
      CHECK(events[i].data == expected[i].data);
    }
    CHECK(parse(whole.substr(0, cut)).size() <= 2);
  }
}

TEST_CASE("an event without an end is refused at its limit") {
  SseParser parser;
  const std::string piece = "data: " + std::string(1000, 'x') + "\n";
  CHECK_THROWS_AS([&] { for (int i = 0; i < 2000; ++i) parser.feed(piece); }(), Error);
}
