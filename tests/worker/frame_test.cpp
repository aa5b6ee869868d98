// Frames from an untrusted peer: whole, in pieces, cut at every byte, lying about lengths and descriptors.
#include "daemon/worker/frame.h"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cstring>
#include <string>
#include <thread>

#include "daemon/worker/memory.h"
#include "runtime/base/json.h"

using namespace kiln;
using namespace kiln::worker;

namespace {

struct Pair {
  UniqueFd a, b;
  Pair() {
    int fds[2];
    REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) == 0);
    a = UniqueFd(fds[0]);
    b = UniqueFd(fds[1]);
  }
};

// The format by the documentation, not by send_frame: two little-endian words and the text.
std::string raw(std::uint32_t bytes, std::uint32_t fds, const std::string& text) {
  std::string out;
  for (const std::uint32_t word : {bytes, fds})
    for (int shift = 0; shift < 32; shift += 8) out += static_cast<char>(word >> shift & 0xff);
  return out + text;
}

void write_raw(int socket, const std::string& bytes) {
  REQUIRE(::send(socket, bytes.data(), bytes.size(), MSG_NOSIGNAL) == static_cast<ssize_t>(bytes.size()));
}

std::int64_t soon() { return monotonic_ns() + 50'000'000; }
std::int64_t in_a_minute() { return monotonic_ns() + 60'000'000'000; }  // for what is there already

}  // namespace

TEST_CASE("a frame arrives whole, with its descriptors") {
  Pair pair;
  Frame sent;
  sent.body = {{"op", "check"}, {"n", 7}};
  sent.fds.push_back(sealed_file("one", std::string_view("first")));
  sent.fds.push_back(sealed_file("two", std::string_view("second")));
  REQUIRE(send_frame(pair.a.get(), sent));
  Frame got;
  REQUIRE(receive_frame(pair.b.get(), in_a_minute(), got) == Received::frame);
  CHECK(got.body == sent.body);
  REQUIRE(got.fds.size() == 2);
  CHECK(Mapped::received(got.fds[0].get(), 100).text() == "first");
  CHECK(Mapped::received(got.fds[1].get(), 100).text() == "second");
  CHECK((::fcntl(got.fds[0].get(), F_GETFD) & FD_CLOEXEC) != 0);
}

TEST_CASE("bytes of the documented format are a frame, one at a time as well") {
  Pair pair;
  const std::string frame = raw(7, 0, "{\"a\":1}");
  std::thread writer([&] {
    for (const char c : frame) (void)::send(pair.a.get(), &c, 1, MSG_NOSIGNAL);
  });
  Frame got;
  CHECK(receive_frame(pair.b.get(), in_a_minute(), got) == Received::frame);
  writer.join();
  CHECK(json::get_int(got.body, "a", "frame") == 1);
}

TEST_CASE("two frames in one write stay two") {
  Pair pair;
  write_raw(pair.a.get(), raw(2, 0, "{}") + raw(7, 0, "{\"a\":2}"));
  Frame got;
  REQUIRE(receive_frame(pair.b.get(), in_a_minute(), got) == Received::frame);
  CHECK(got.body.empty());
  REQUIRE(receive_frame(pair.b.get(), in_a_minute(), got) == Received::frame);
  CHECK(json::get_int(got.body, "a", "frame") == 2);
}

TEST_CASE("cut at every byte: a closed peer, never a frame") {
  const std::string frame = raw(7, 0, "{\"a\":1}");
  for (std::size_t cut = 0; cut < frame.size(); ++cut) {
    Pair pair;
    if (cut > 0) write_raw(pair.a.get(), frame.substr(0, cut));
    pair.a.reset();
    Frame got;
    CHECK(receive_frame(pair.b.get(), in_a_minute(), got) == Received::closed);
  }
}

TEST_CASE("a silent peer is a deadline") {
  Pair pair;
  Frame got;
  CHECK(receive_frame(pair.b.get(), soon(), got) == Received::timed_out);
  write_raw(pair.a.get(), raw(7, 0, "{\"a"));
  CHECK(receive_frame(pair.b.get(), soon(), got) == Received::timed_out);
}

TEST_CASE("lies are refused") {
  const std::string bad[] = {
      raw(0, 0, ""),                       // no JSON is that short
      raw(1, 0, "7"),
      raw(0xffffffffu, 0, "{}"),           // over the cap: refused before anything is allocated
      raw(kFrameLimitBytes + 1, 0, "{}"),
      raw(2, 1, "{}"),                     // claims a descriptor that is not there
      raw(2, kFrameLimitFds + 1, "{}"),
      raw(2, 0, "[]"),                     // no object
      raw(2, 0, "{a"),
      raw(15, 0, "{\"a\":1,\"a\":2}  "),   // a key twice
      raw(5, 0, "{}{}{"),
      raw(3, 0, std::string("{}\0", 3)),
      raw(4, 0, "{\"\xff\""),
  };
  for (const std::string& bytes : bad) {
    Pair pair;
    write_raw(pair.a.get(), bytes);
    Frame got;
    CHECK_THROWS_AS((void)receive_frame(pair.b.get(), in_a_minute(), got), Error);
  }
  std::string deep;
  for (int i = 0; i < 100; ++i) deep += "{\"a\":";
  Pair pair;
  write_raw(pair.a.get(), raw(static_cast<std::uint32_t>(deep.size()), 0, deep));
  Frame got;
  CHECK_THROWS_AS((void)receive_frame(pair.b.get(), in_a_minute(), got), Error);
}

TEST_CASE("descriptors that were not announced are refused, and closed") {
  Pair pair;
  Frame two;
  two.body = {{"a", 1}};
  const std::string text = raw(2, 0, "{}");
  // sendmsg by hand: one descriptor under a head that claims none.
  alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int))> control{};
  iovec part{const_cast<char*>(text.data()), text.size()};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control.data();
  message.msg_controllen = control.size();
  cmsghdr* header = CMSG_FIRSTHDR(&message);
  header->cmsg_level = SOL_SOCKET;
  header->cmsg_type = SCM_RIGHTS;
  header->cmsg_len = CMSG_LEN(sizeof(int));
  const UniqueFd file = sealed_file("x", std::string_view("x"));
  const int number = file.get();
  std::memcpy(CMSG_DATA(header), &number, sizeof number);
  REQUIRE(::sendmsg(pair.a.get(), &message, 0) > 0);
  const int next = ::dup(0);
  ::close(next);
  {
    Frame got;
    CHECK_THROWS_AS((void)receive_frame(pair.b.get(), in_a_minute(), got), Error);
  }
  const int after = ::dup(0);
  CHECK(after == next);  // nothing was left open
  ::close(after);
}

TEST_CASE("what may not be sent") {
  Pair pair;
  Frame frame;
  for (std::uint32_t i = 0; i <= kFrameLimitFds; ++i) frame.fds.push_back(sealed_file("x", std::string_view("x")));
  CHECK_THROWS_AS((void)send_frame(pair.a.get(), frame), Error);
  frame.fds.clear();
  frame.fds.emplace_back(-1);
  CHECK_THROWS_AS((void)send_frame(pair.a.get(), frame), Error);
  frame.fds.clear();
  pair.b.reset();
  CHECK_FALSE(send_frame(pair.a.get(), frame));
}

TEST_CASE("memory files: sealed ones only, within their limit, and nobody changes them") {
  const UniqueFd sealed = sealed_file("s", std::string_view("content"));
  CHECK(Mapped::received(sealed.get(), 7).text() == "content");
  CHECK_THROWS_AS((void)Mapped::received(sealed.get(), 6), Error);
  CHECK(::ftruncate(sealed.get(), 1) != 0);
  CHECK(::write(sealed.get(), "x", 1) < 0);
  CHECK_THROWS_AS(Mapped(sealed.get(), Mapped::Access::write), Error);
  const UniqueFd open_file = memory_file("o", 7);  // may still be written
  CHECK_THROWS_AS((void)Mapped::received(open_file.get(), 100), Error);
  int pipes[2];
  REQUIRE(::pipe(pipes) == 0);
  const UniqueFd in(pipes[0]), out(pipes[1]);
  CHECK_THROWS_AS((void)Mapped::received(in.get(), 100), Error);
  CHECK(Mapped::received(sealed_file("e", std::string_view("")).get(), 0).bytes().empty());
}
