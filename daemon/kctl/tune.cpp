#include <fmt/core.h>

#include "daemon/kctl/commands.h"
#include "daemon/kctl/follow.h"
#include "daemon/kctl/model.h"
#include "daemon/kctl/text.h"
#include "policies/policy.h"
#include "runtime/base/json.h"

namespace kiln::kctl {
namespace {

Exit run(Session& session, const Arguments& arguments) {
  const std::string& what = arguments.text("workload");
  const auto shapes = parse_shapes(arguments.list("shape"));
  json::object request;
  // The policy is checked here first, so that a typing error costs no upload.
  if (const auto file = arguments.find("policy")) request["policy_text"] = policies::load_policy(*file).text;
  if (const auto budget = arguments.find("budget")) request["budget_seconds"] = parse_seconds(*budget, "the budget");
  if (const auto seed = arguments.find("seed")) {
    request["seed"] = parse_integer(*seed, "the seed");
    if (request["seed"].as_int64() < 0) throw UsageError(fmt::format("cannot use seed '{}': it is negative", *seed));
  }
  if (const auto target = arguments.find("target")) request["target"] = *target;
  const bool is_file = what.ends_with(".onnx") || what.find('/') != std::string::npos;
  if (!is_file && !shapes.empty())
    throw UsageError("cannot use --shape on a workload: its shapes were fixed by import");
  request["workload"] =
      is_file
          ? json::get_string(import_model(session, what, arguments.find("name").value_or(workload_name(what)), shapes),
                             "id", "the workload")
          : what;
  const json::object job = session.daemon().post("/v1/jobs", request);
  const std::string id = json::get_string(job, "id", "the job");
  if (arguments.flag("detach")) {
    if (session.json) print_json(job);
    else print_line(id);
    return Exit::done;
  }
  if (!session.json) say(fmt::format("job {}; Ctrl-C leaves it running", id));
  return follow(session, id);
}

}  // namespace

Command tune_command() {
  return {"tune",
          "Tunes a workload, or a model that it imports first, and watches",
          "operator",
          {positional("workload", "Workload by id or name, or an ONNX file"),
           option("policy", "FILE", "Policy; default: the node's"),
           option("budget", "TIME", "Search time, e.g. 90s, 10m, 2h; default: the policy's"),
           option("seed", "N", "Seed of the search; default: 1"),
           option("target", "TARGET", "What the plan is to run on: cpu or cuda; default: cpu"),
           option("name", "NAME", "Name of the workload when a file is imported"),
           repeated_option("shape", "DIM=EXTENT", "Extent of a symbolic dimension when a file is imported"),
           flag("detach", "Print the job's id and do not watch")},
          run};
}

}  // namespace kiln::kctl
