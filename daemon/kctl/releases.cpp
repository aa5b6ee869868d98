#include <fmt/core.h>

#include "daemon/kctl/commands.h"
#include "daemon/kctl/text.h"
#include "runtime/base/json.h"

namespace kiln::kctl {
namespace {

std::string shown_verdict(const Session& session, const json::object& release) {
  const std::string verdict = json::get_string(release, "verdict", "a release");
  if (verdict == "none") return "";
  return session.paint(verdict == "faster" ? "32" : "33", verdict);
}

Exit run(Session& session, const Arguments& arguments) {
  std::string target = "/v1/releases";
  if (const auto workload = arguments.find("workload")) target += "?workload=" + url_encode(*workload);
  const json::object answer = session.daemon().get(target);
  const json::array& releases = json::as_array(json::at(answer, "releases", "the answer"), "the releases");
  if (session.json) {
    print_json(releases);
    return Exit::done;
  }
  Table table({"WORKLOAD", ">VERSION", "KIND", "VERDICT", "CURRENT", "RELEASE", "JOB", "CREATED"});
  for (const json::value& v : releases) {
    const json::object& r = json::as_object(v, "a release");
    table.add({json::get_string(r, "workload", "a release"),
               fmt::format("{}", json::get_int(r, "version", "a release")),
               json::get_string(r, "kind", "a release"), shown_verdict(session, r),
               json::get_bool(r, "current", "a release") ? session.paint("32", "current") : "",
               short_id(json::get_string(r, "id", "a release")), json::get_string(r, "job", "a release"),
               format_time(json::get_int(r, "created_ns", "a release"))});
  }
  if (table.empty())
    say("no releases yet; a tuning job makes them");
  else
    fmt::print("{}", table.text());
  return Exit::done;
}

}  // namespace

Command releases_command() {
  return {"releases",
          "Releases of one or all workloads",
          "viewer",
          {positional("workload", "Workload, by id or name", false)},
          run};
}

}  // namespace kiln::kctl
