// A worker that the daemon is done with is reaped before anything else happens: none of its threads, descriptors or
// device contexts is left beside the next one.
#include "daemon/worker/process.h"

#include <doctest/doctest.h>
#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>

#include "runtime/base/unique_fd.h"

using namespace kiln;
using namespace kiln::worker;

namespace {

Launch oracle() { return {std::filesystem::path(KILN_BINARY_DIR) / "bin/kiln-worker", "oracle", {"1"}}; }

bool has_no_child() { return ::waitpid(-1, nullptr, WNOHANG) == -1 && errno == ECHILD; }

// The worker is sent the pipe's end for writing: what is left to read says whether anybody holds it.
struct Pipe {
  UniqueFd read, write;
  Pipe() {
    int ends[2];
    REQUIRE(::pipe(ends) == 0);
    read = UniqueFd(ends[0]);
    write = UniqueFd(ends[1]);
  }
  [[nodiscard]] bool is_closed() const {
    pollfd end{read.get(), POLLIN, 0};
    return ::poll(&end, 1, 0) == 1 && (end.revents & POLLHUP) != 0;
  }
};

}  // namespace

TEST_CASE("a worker that is past its deadline is reaped, and its descriptors are closed, before the call returns") {
  for (const std::int64_t deadline_ns : {0, 1'000, 1'000'000}) {
    WorkerProcess worker(oracle());
    CHECK_FALSE(has_no_child());
    Pipe pipe;
    Frame request;
    request.body = {{"op", "graph"}, {"graph", "of which there is no text: the pipe stays open and empty"}};
    request.fds.push_back(std::move(pipe.write));
    worker.send(request);
    request.fds.clear();
    REQUIRE_FALSE(pipe.is_closed());
    try {
      CHECK(worker.receive(deadline_ns).kind == Answer::Kind::hung);
    } catch (const Error&) {
      FAIL("the worker answered");
    }
    CHECK(has_no_child());
    CHECK(pipe.is_closed());
    CHECK_FALSE(worker.alive());
  }
}

TEST_CASE("a worker that is ended is reaped, and ends once") {
  WorkerProcess worker(oracle());
  CHECK_FALSE(has_no_child());
  worker.end();
  CHECK(has_no_child());
  CHECK_FALSE(worker.alive());
  worker.end();
}
