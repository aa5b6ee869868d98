#include <fmt/core.h>

#include "daemon/kctl/commands.h"
#include "daemon/kctl/text.h"

namespace kiln::kctl {
namespace {

Exit run(Session& session, const Arguments& arguments) {
  const json::object r = session.daemon().post("/v1/releases/" + url_encode(arguments.text("release")) + "/promote");
  if (session.json) print_json(r);
  else
    print_line(fmt::format("{} version {} ({}) is current: {}", json::get_string(r, "workload", "the release"),
                           json::get_int(r, "version", "the release"), json::get_string(r, "kind", "the release"),
                           json::get_string(r, "directory", "the release")));
  return Exit::done;
}

}  // namespace

Command promote_command() {
  return {"promote", "Makes a release current", "admin", {positional("release", "Release, by id or a prefix of it")}, run};
}

}  // namespace kiln::kctl
