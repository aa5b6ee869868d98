#include <fmt/core.h>

#include "daemon/kctl/commands.h"
#include "runtime/base/json.h"

namespace kiln::kctl {
namespace {

Exit run(Session& session, const Arguments& arguments) {
  const std::string& job = arguments.text("job");
  try {
    const json::object answer = session.daemon().post("/v1/jobs/" + url_encode(job) + "/replay");
    if (session.json) print_json(answer);
    else
      print_line(fmt::format("{}: {} decisions over {} entries, identical to the record", job,
                             json::get_int(answer, "decisions", "the replay"),
                             json::get_int(answer, "entries", "the replay")));
    return Exit::done;
  } catch (const Error& e) {
    if (e.code() != ErrorCode::diverged) throw;
    say(fmt::format("kctl: {}", e.what()));
    return Exit::unverified;
  }
}

}  // namespace

Command replay_command() {
  return {"replay",
          "Runs the agents again over a job's record; they must decide the same",
          "operator",
          {positional("job", "Job, e.g. j-1")},
          run};
}

}  // namespace kiln::kctl
