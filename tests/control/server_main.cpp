// control_test_server [NAME=VALUE...]: serves a World until standard input ends. Prints one JSON line with what a test
// needs to know. Names: request_ms, idle_ms, slow_ms, heartbeat_ms, clients, clients_per_uid, blob_bytes, viewer,
// operator, admin (group ids), own_uid. A line on standard input adds an event of that kind.
#include <sys/stat.h>
#include <unistd.h>

#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/read_until.hpp>
#include <boost/asio/streambuf.hpp>
#include <iostream>

#include "daemon/control/socket.h"
#include "runtime/base/json.h"
#include "tests/control/world.h"

namespace {

using namespace kiln;
using namespace kiln::control;

void set(ServerOptions& options, const std::string& name, std::int64_t value) {
  const std::chrono::milliseconds ms(value);
  const auto number = static_cast<int>(value);
  const auto id = static_cast<unsigned>(value);
  if (name == "request_ms") options.limits.request = ms;
  else if (name == "idle_ms") options.limits.idle = ms;
  else if (name == "slow_ms") options.limits.slow_reader = ms;
  else if (name == "heartbeat_ms") options.limits.heartbeat = ms;
  else if (name == "clients") options.limits.clients = number;
  else if (name == "clients_per_uid") options.limits.clients_per_uid = number;
  else if (name == "blob_bytes") options.limits.blob_bytes = value;
  else if (name == "viewer") options.access.viewer_groups = {id};
  else if (name == "operator") options.access.operator_groups = {id};
  else if (name == "admin") options.access.admin_groups = {id};
  else if (name == "own_uid") options.access.own_uid = id;
  else throw Error(ErrorCode::invalid_input, "cannot set '" + name + "'");
}

class Input {
 public:
  Input(boost::asio::io_context& io, store::Store& store, Server& server)
      : store_(store), server_(server), in_(io, ::dup(STDIN_FILENO)) {}
  void read() {
    boost::asio::async_read_until(in_, buffer_, '\n', [this](const boost::system::error_code& error, std::size_t) {
      if (error) return server_.stop();
      std::string line;
      std::istream stream(&buffer_);
      std::getline(stream, line);
      if (line.rfind("flood ", 0) == 0) {
        for (int i = std::stoi(line.substr(6)); i > 0; --i)
          store_.add_event("flood", "x", {{"text", std::string(60000, 'x')}});
      } else {
        store_.add_event(line, "subject", {{"line", line}});
      }
      read();
    });
  }

 private:
  store::Store& store_;
  Server& server_;
  boost::asio::posix::stream_descriptor in_;
  boost::asio::streambuf buffer_;
};

}  // namespace

int main(int argc, char** argv) {
  try {
    testing::World world;
    boost::asio::io_context io(1);
    ServerOptions options;
    options.access.own_uid = ::geteuid();
    options.notice = [](const Notice& n) { std::cerr << n.text << std::endl; };
    for (int i = 1; i < argc; ++i) {
      const std::string argument = argv[i];
      const std::size_t equals = argument.find('=');
      set(options, argument.substr(0, equals), std::stoll(argument.substr(equals + 1)));
    }
    const std::filesystem::path path = world.folder.path / "control.sock";
    ::chmod(world.folder.path.c_str(), 0755);
    Server server(io, world.services(), options);
    server.listen(bind_socket(path, 0666, std::nullopt));
    Input input(io, *world.store, server);
    input.read();
    std::cout << json::canonical(json::object{{"socket", path.string()},
                                              {"workload", world.workload},
                                              {"job", world.job},
                                              {"baseline", world.baseline},
                                              {"tuned", world.tuned},
                                              {"slower", world.slower}})
              << std::endl;
    io.run();
    return 0;
  } catch (const std::exception& error) {
    std::cerr << error.what() << '\n';
    return 1;
  }
}
