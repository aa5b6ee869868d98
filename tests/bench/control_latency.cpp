// Latency of GET /v1/status with 100 clients at once: prints a table. The daemon's promise is a 99th percentile below
// 5 ms when the clients together ask less than the machine can answer; the second table asks as fast as it can.
#include <sys/socket.h>
#include <sys/un.h>

#include <algorithm>
#include <boost/asio/io_context.hpp>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <thread>

#include "daemon/control/socket.h"
#include "runtime/base/error.h"
#include "tests/control/world.h"

namespace {

using namespace kiln;
using Clock = std::chrono::steady_clock;
constexpr int kClients = 100;

UniqueFd connect_to(const std::filesystem::path& path) {
  UniqueFd fd(::socket(AF_UNIX, SOCK_STREAM, 0));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, path.c_str(), path.native().size());
  if (::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
    throw system_error("cannot connect", errno);
  return fd;
}

// One request and its whole answer, by Content-Length; milliseconds.
double ask(int fd) {
  static constexpr char request[] = "GET /v1/status HTTP/1.1\r\nHost: kiln\r\n\r\n";
  const Clock::time_point start = Clock::now();
  if (::send(fd, request, sizeof request - 1, MSG_NOSIGNAL) < 0) throw system_error("cannot send", errno);
  std::string answer;
  std::size_t whole = 0;
  char buffer[16384];
  while (whole == 0 || answer.size() < whole) {
    const ssize_t bytes = ::recv(fd, buffer, sizeof buffer, 0);
    if (bytes <= 0) throw system_error("cannot receive", errno);
    answer.append(buffer, static_cast<std::size_t>(bytes));
    const std::size_t end = answer.find("\r\n\r\n");
    const std::size_t length = answer.find("Content-Length: ");
    if (whole == 0 && end != std::string::npos)
      whole = end + 4 + std::strtoul(answer.c_str() + length + 16, nullptr, 10);
  }
  return std::chrono::duration<double, std::milli>(Clock::now() - start).count();
}

void run(const std::filesystem::path& path, int requests, std::chrono::milliseconds pause) {
  std::vector<std::vector<double>> times(kClients);
  std::vector<std::thread> threads;
  const Clock::time_point start = Clock::now();
  for (int c = 0; c < kClients; ++c)
    threads.emplace_back([&, c] {
      const UniqueFd fd = connect_to(path);
      std::this_thread::sleep_for(pause * c / kClients);
      for (int i = 0; i < requests; ++i) {
        times[static_cast<std::size_t>(c)].push_back(ask(fd.get()));
        std::this_thread::sleep_for(pause);
      }
    });
  for (std::thread& t : threads) t.join();
  const double seconds = std::chrono::duration<double>(Clock::now() - start).count();
  std::vector<double> all;
  for (const auto& of_client : times) all.insert(all.end(), of_client.begin(), of_client.end());
  std::sort(all.begin(), all.end());
  const auto quantile = [&](double q) {
    return all[static_cast<std::size_t>(q * static_cast<double>(all.size() - 1))];
  };
  std::printf("%8d %8lld %10.0f %9.3f %9.3f %9.3f %9.3f\n", kClients, static_cast<long long>(pause.count()),
              static_cast<double>(all.size()) / seconds, quantile(0.5), quantile(0.95), quantile(0.99), all.back());
}

}  // namespace

int main() {
  control::testing::World world;
  boost::asio::io_context io(1);
  control::ServerOptions options;
  options.access.own_uid = ::geteuid();
  control::Server server(io, world.services(), options);
  const std::filesystem::path path = world.folder.path / "control.sock";
  server.listen(control::bind_socket(path, 0600, std::nullopt));
  std::thread loop([&] { io.run(); });
  std::printf("%8s %8s %10s %9s %9s %9s %9s\n", "clients", "pause ms", "answers/s", "p50 ms", "p95 ms", "p99 ms",
              "max ms");
  run(path, 30, std::chrono::milliseconds(100));
  run(path, 100, std::chrono::milliseconds(0));
  io.stop();
  loop.join();
  return 0;
}
