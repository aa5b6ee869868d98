#include <fmt/core.h>

#include "daemon/kctl/commands.h"
#include "daemon/kctl/text.h"
#include "runtime/base/json.h"

namespace kiln::kctl {
namespace {

Exit run(Session& session, const Arguments&) {
  const json::object status = session.daemon().get("/v1/status");
  if (session.json) {
    print_json(status);
    return Exit::done;
  }
  const std::string what = "the status";
  print_line(fmt::format("{} {} {}: {}", json::get_string(status, "name", what),
                         json::get_string(status, "version", what), json::get_string(status, "state", what),
                         json::get_string(status, "line", what)));
  print_line(fmt::format("socket  {}\nstate   {}\nrole    {}\nup      {}", session.socket.native(),
                         json::get_string(status, "directory", what), json::get_string(status, "role", what),
                         format_seconds(json::get_double(status, "uptime_seconds", what))));
  const json::object& objects = json::as_object(json::at(status, "objects", what), what);
  print_line(fmt::format("objects {} built before, {} of at most {}", json::get_int(objects, "count", what),
                         format_bytes(json::get_double(objects, "bytes", what)),
                         format_bytes(json::get_double(objects, "limit_bytes", what))));
  return Exit::done;
}

}  // namespace

Command status_command() {
  return {"status", "Is the daemon there, what does it do, and what may I do", "viewer", {}, run};
}

}  // namespace kiln::kctl
