// kiln-worker: one sandboxed process of kilnd. `kiln-worker --role ROLE ARGUMENTS...`, speaking frames on descriptor 3;
// roles: build run oracle import probe build-cuda run-cuda oracle-cuda probe-cuda. Not for people: without that socket
// it says so and leaves.
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <map>
#include <new>

#include "daemon/worker/inside/role.h"
#include "runtime/base/json.h"

namespace kiln::worker {
namespace {

constexpr int kSocket = 3;

Frame error_frame(const Error& error) {
  Frame frame;
  frame.body = {{"error", error.what()}, {"code", name(error.code())}, {"remedy", error.remedy()}};
  return frame;
}

Frame handle(const Role& role, Frame request) {
  try {
    return role.handle(std::move(request));
  } catch (const Error& error) {
    return error_frame(error);
  } catch (const std::bad_alloc&) {
    return error_frame(Error(ErrorCode::limit, "cannot finish the request: out of memory within the worker's limit"));
  } catch (const std::exception& error) {
    return error_frame(Error(ErrorCode::internal, std::string("cannot finish the request: ") + error.what()));
  }
}

int serve(const std::string& role_name, const std::vector<std::string>& arguments) {
  static const std::map<std::string, Role (*)(const std::vector<std::string>&)> roles = {
      {"build", build_role}, {"run", run_role}, {"oracle", oracle_role}, {"import", import_role}, {"probe", probe_role},
      {"build-cuda", build_cuda_role}, {"run-cuda", run_cuda_role},
      {"oracle-cuda", oracle_cuda_role}, {"probe-cuda", probe_cuda_role}};
  const auto found = roles.find(role_name);
  if (found == roles.end()) {
    std::fprintf(stderr, "kiln-worker: unknown role '%s'\n", role_name.c_str());
    return 2;
  }
  Frame hello;
  try {
    const Role role = found->second(arguments);
    const std::vector<std::string> active = enter_sandbox(role.rules);
    prove_sandbox(role.rules, active);
    if (role.rules.armed) arm_sandbox(role.rules);
    hello.body = {{"role", role_name}, {"sandbox", json::to_array(active)}, {"version", KILN_VERSION}};
    if (!send_frame(kSocket, hello)) return 1;
    for (Frame request; receive_frame(kSocket, -1, request) == Received::frame;) {
      const json::value ticket = json::at(request.body, "ticket", "a request");
      Frame reply = handle(role, std::move(request));
      reply.body["ticket"] = ticket;  // known to this loop only: an answer without it was written by something else
      if (!send_frame(kSocket, reply)) return 1;
    }
    return 0;
  } catch (const Error& error) {
    if (!send_frame(kSocket, error_frame(error))) std::fprintf(stderr, "kiln-worker: %s\n", error.what());
    return 1;
  }
}

}  // namespace
}  // namespace kiln::worker

int main(int argc, char** argv) {
  (void)::prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
  (void)::syscall(SYS_close_range, 4u, ~0u, 0u);
  const std::vector<std::string> words(argv + 1, argv + argc);
  int type = 0;
  socklen_t size = sizeof type;
  if (words.size() < 2 || words[0] != "--role" || ::getsockopt(3, SOL_SOCKET, SO_TYPE, &type, &size) != 0) {
    std::fprintf(stderr, "kiln-worker is started by kilnd: --role NAME, and a socket on descriptor 3\n");
    return 2;
  }
  return kiln::worker::serve(words[1], {words.begin() + 2, words.end()});
}
