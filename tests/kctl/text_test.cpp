#include <doctest/doctest.h>

#include "daemon/kctl/session.h"
#include "daemon/kctl/text.h"
#include "runtime/base/error.h"

using namespace kiln;
using namespace kiln::kctl;

TEST_CASE("durations keep three digits and change their unit where they round over") {
  CHECK(format_ns(812) == "812 ns");
  CHECK(format_ns(999.4) == "999 ns");
  CHECK(format_ns(1930) == "1.93 us");
  CHECK(format_ns(45'200) == "45.2 us");
  CHECK(format_ns(999'600) == "1.00 ms");
  CHECK(format_ns(1.2e9) == "1.20 s");
}

TEST_CASE("bytes by 1024, rates by 1000") {
  CHECK(format_bytes(1023) == "1023 B");
  CHECK(format_bytes(1536) == "1.5 KiB");
  CHECK(format_bytes(3.0 * 1024 * 1024 * 1024) == "3.0 GiB");
  CHECK(format_rate(62.1e9, "B") == "62.1 GB/s");
}

TEST_CASE("wall time is UTC") {
  CHECK(format_time(0) == "-");
  CHECK(format_time(1'000'000'000'000'000'000) == "2001-09-09 01:46:40 UTC");  // POSIX time 1e9
  CHECK(format_time(1'234'567'890'123'456'789) == "2009-02-13 23:31:30 UTC");
}

TEST_CASE("a budget has a unit or is seconds") {
  CHECK(parse_seconds("90", "t") == 90);
  CHECK(parse_seconds("90s", "t") == 90);
  CHECK(parse_seconds("10m", "t") == 600);
  CHECK(parse_seconds("2h", "t") == 7200);
  for (const char* bad : {"", "s", "-1", "0", "1.5m", "1d", "9999999", "1 m", "99999999999999999999"})
    CHECK_THROWS_AS((void)parse_seconds(bad, "t"), UsageError);
}

TEST_CASE("elision keeps both ends and the width") {
  CHECK(elide_middle("0123456789", 10) == "0123456789");
  CHECK(elide_middle("0123456789", 9) == "012...789");
  CHECK(elide_middle("0123456789", 2) == "..");
  for (std::size_t width = 0; width < 12; ++width) CHECK(elide_middle("0123456789", width).size() <= width);
}

TEST_CASE("columns are aligned, colours do not count, nothing trails") {
  Table table({"NAME", ">N", "STATE"});
  table.add({"a", "1", "\x1b[32mdone\x1b[0m"});
  table.add({"longer", "100", ""});
  CHECK(table.text() == "NAME      N  STATE\na         1  \x1b[32mdone\x1b[0m\nlonger  100\n");
}

TEST_CASE("the socket: option, environment, the user's own where it exists, the system's") {
  CHECK(socket_path("/a", "/b", "/nowhere") == "/a");
  CHECK(socket_path("", "/b", "/nowhere") == "/b");
  CHECK(socket_path("", "", "/nowhere") == "/run/kiln/control.sock");
  CHECK(socket_path("", nullptr, nullptr) == "/run/kiln/control.sock");
}

TEST_CASE("errors lead to the documented exit statuses") {
  CHECK(exit_of(UsageError("x")) == Exit::usage);
  CHECK(exit_of(Unreachable("/x", "gone")) == Exit::unreachable);
  CHECK(exit_of(Error(ErrorCode::permission, "x")) == Exit::refused);
  CHECK(exit_of(Error(ErrorCode::not_found, "x")) == Exit::not_found);
  CHECK(exit_of(Error(ErrorCode::conflict, "x")) == Exit::failed);
}

TEST_CASE("a path segment is encoded as RFC 3986 says") {
  CHECK(url_encode("a-Z_0.~") == "a-Z_0.~");
  CHECK(url_encode("a b/\xc3\xa9?") == "a%20b%2F%C3%A9%3F");
}
