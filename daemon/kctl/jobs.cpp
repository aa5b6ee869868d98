#include <fmt/core.h>

#include <algorithm>

#include "daemon/kctl/commands.h"
#include "daemon/kctl/text.h"
#include "runtime/base/json.h"

namespace kiln::kctl {
namespace {

std::string gain(const json::object& job) {
  const json::object& result = json::as_object(json::at(job, "result", "a job"), "the result");
  if (!result.contains("speed_up")) return "";
  const json::object& s = json::as_object(result.at("speed_up"), "the speed-up");
  return fmt::format("{:.2f}x {}", json::get_double(s, "ratio", "the speed-up"),
                     json::get_string(s, "comparison", "the speed-up"));
}

Exit list(Session& session, const Arguments&) {
  json::array jobs = json::as_array(json::at(session.daemon().get("/v1/jobs"), "jobs", "the answer"), "the jobs");
  std::reverse(jobs.begin(), jobs.end());  // the newest is what one looks for
  if (session.json) {
    print_json(jobs);
    return Exit::done;
  }
  Table table({"JOB", "WORKLOAD", "STATE", "CREATED", "RESULT"});
  for (const json::value& v : jobs) {
    const json::object& job = json::as_object(v, "a job");
    const std::string error = json::get_string(job, "error", "a job");
    table.add({json::get_string(job, "id", "a job"), json::get_string(job, "workload", "a job"),
               json::get_string(job, "state", "a job"), format_time(json::get_int(job, "created_ns", "a job")),
               error.empty() ? gain(job) : error});
  }
  if (table.empty()) say("no jobs yet; 'kctl tune MODEL.onnx' makes one");
  else fmt::print("{}", table.text());
  return Exit::done;
}

Exit act(Session& session, const Arguments& arguments, std::string_view verb) {
  const json::object job =
      session.daemon().post(fmt::format("/v1/jobs/{}/{}", url_encode(arguments.text("job")), verb));
  if (session.json) print_json(job);
  else
    print_line(fmt::format("{} {}", json::get_string(job, "id", "the job"), json::get_string(job, "state", "the job")));
  return Exit::done;
}

}  // namespace

Command jobs_command() { return {"jobs", "All jobs, newest first", "viewer", {}, list}; }
Command cancel_command() {
  return {"cancel", "Stops a job at its next step", "operator", {positional("job", "Job, e.g. j-1")},
          [](Session& s, const Arguments& a) { return act(s, a, "cancel"); }};
}
Command resume_command() {
  return {"resume",
          "Goes on with a paused or failed job at its last recorded step",
          "operator",
          {positional("job", "Job, e.g. j-1")},
          [](Session& s, const Arguments& a) { return act(s, a, "resume"); }};
}

}  // namespace kiln::kctl
