#include <fmt/core.h>

#include "daemon/kctl/commands.h"
#include "daemon/kctl/text.h"
#include "runtime/base/json.h"

namespace kiln::kctl {
namespace {

constexpr std::string_view what = "the release";

// The daemon holds the rule; the status of its own lets a script tell this refusal from a failure.
Exit refused(const Error& error) {
  say("kctl: " + std::string(error.what()));
  say("  " + error.remedy());
  return Exit::not_faster;
}

Exit run(Session& session, const Arguments& arguments) {
  const std::string target = "/v1/releases/" + url_encode(arguments.text("release"));
  const json::object asked =
      session.daemon().get(target);  // an id that does not exist, or is not one release, ends here
  const std::string path = "/v1/releases/" + json::get_string(asked, "id", what) + "/promote";
  json::object r;
  try {
    r = session.daemon().post(path, json::object{{"force", arguments.flag("force")}});
  } catch (const Error& error) {
    if (error.code() != ErrorCode::conflict) throw;
    return refused(error);
  }
  const std::string verdict = json::get_string(r, "verdict", what);
  if (json::get_string(r, "kind", what) != "baseline" && verdict != "faster")
    say(fmt::format("warning: this release was not found faster than what ran (verdict: {})", verdict));
  if (session.json)
    print_json(r);
  else
    print_line(fmt::format("{} version {} ({}) is current: {}", json::get_string(r, "workload", what),
                           json::get_int(r, "version", what), json::get_string(r, "kind", what),
                           json::get_string(r, "directory", what)));
  return Exit::done;
}

}  // namespace

Command promote_command() {
  return {"promote",
          "Makes a release current",
          "admin",
          {positional("release", "Release, by id or a prefix of it"),
           flag("force", "Also when it was not found faster than what ran")},
          run};
}

}  // namespace kiln::kctl
