#include <fmt/core.h>

#include "daemon/kctl/commands.h"
#include "daemon/kctl/follow.h"
#include "daemon/kctl/text.h"
#include "runtime/base/json.h"

namespace kiln::kctl {
namespace {

Exit run(Session& session, const Arguments& arguments) {
  const json::object job = session.daemon().get("/v1/jobs/" + url_encode(arguments.text("job")));
  if (session.json) {
    print_json(job);
    return Exit::done;
  }
  const std::string what = "the job";
  print_line(fmt::format("job       {}\nworkload  {}\nstate     {}\ncreated   {}\nstarted   {}\nfinished  {}",
                         json::get_string(job, "id", what), json::get_string(job, "workload", what),
                         json::get_string(job, "state", what), format_time(json::get_int(job, "created_ns", what)),
                         format_time(json::get_int(job, "started_ns", what)),
                         format_time(json::get_int(job, "finished_ns", what))));
  const std::string error = json::get_string(job, "error", what);
  if (!error.empty()) print_line("error     " + error);
  const std::string progress = describe_progress(json::as_object(json::at(job, "progress", what), "the progress"));
  if (!progress.empty()) print_line("progress  " + progress);
  print_result(session, job);
  return Exit::done;
}

}  // namespace

Command show_command() {
  return {"show", "One job: state, result, next commands", "viewer", {positional("job", "Job, e.g. j-1")}, run};
}

}  // namespace kiln::kctl
