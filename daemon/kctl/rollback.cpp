#include <fmt/core.h>

#include "daemon/kctl/commands.h"
#include "runtime/base/json.h"

namespace kiln::kctl {
namespace {

Exit run(Session& session, const Arguments& arguments) {
  const json::object r = session.daemon().post("/v1/workloads/" + url_encode(arguments.text("workload")) + "/rollback");
  if (session.json) print_json(r);
  else
    print_line(fmt::format("{} is back at version {} ({})", json::get_string(r, "workload", "the release"),
                           json::get_int(r, "version", "the release"), json::get_string(r, "kind", "the release")));
  return Exit::done;
}

}  // namespace

Command rollback_command() {
  return {"rollback",
          "Makes the release current that was before",
          "admin",
          {positional("workload", "Workload, by id or name")},
          run};
}

}  // namespace kiln::kctl
