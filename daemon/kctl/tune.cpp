#include <fmt/core.h>

#include "daemon/kctl/commands.h"
#include "daemon/kctl/follow.h"
#include "daemon/kctl/model.h"
#include "daemon/kctl/text.h"
#include "policies/policy.h"
#include "runtime/base/files.h"
#include "runtime/base/json.h"

namespace kiln::kctl {
namespace {

constexpr std::size_t kMostDescription = 1 << 20;
constexpr std::string_view kBundle = "bundle.objects";  // among the artifacts of a job that only builds

// What the request says of building ahead; nothing for a job that also measures.
std::optional<json::object> build_only(const Arguments& arguments) {
  if (!arguments.flag("build-only")) {
    for (const char* only : {"node", "candidates", "output"})
      if (arguments.find(only)) throw UsageError(fmt::format("cannot use --{} without --build-only", only));
    return std::nullopt;
  }
  const auto target = arguments.find("target");
  if (!target || !target->starts_with("sm_"))
    throw UsageError("cannot build ahead: --target names the GPU's architecture, e.g. sm_90a");
  if (arguments.flag("detach") && arguments.find("output"))
    throw UsageError("cannot write --output with --detach: there is nothing to write yet; kctl watch, kctl export");
  json::object out{{"architecture", *target}};
  if (const auto candidates = arguments.find("candidates"))
    out["candidates"] = parse_integer(*candidates, "the number of candidates");
  if (const auto node = arguments.find("node"))
    out["node"] = json::parse(read_file(*node, kMostDescription), fmt::format("the node's description '{}'", *node));
  return out;
}

// The signed bundle of a job that is done, into a file.
void save_bundle(Session& session, const std::string& id, const std::string& file) {
  const std::string bytes =
      session.daemon().bytes(fmt::format("/v1/jobs/{}/artifacts/{}", url_encode(id), url_encode(kBundle)));
  write_file_atomic(file, bytes);
  say(fmt::format("\nwrote {}, {}\nnext:\n  kctl objects import {} --key NODE_KEY   # on the GPU's node, with the key "
                  "that 'kctl export {} DIR' wrote here",
                  file, format_bytes(static_cast<double>(bytes.size())), file, id));
}

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
  const std::optional<json::object> ahead = build_only(arguments);
  if (ahead) request["build_only"] = *ahead;
  else if (const auto target = arguments.find("target")) request["target"] = *target;
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
  const Exit exit = follow(session, id);
  if (ahead && exit == Exit::done) {
    const std::string name = fmt::format("{}.{}.objects", workload_name(what), arguments.text("target"));
    save_bundle(session, id, arguments.find("output").value_or(name));
  }
  return exit;
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
           flag("build-only", "Build for the GPU of another node, of architecture --target (sm_90a); measure nothing"),
           option("node", "FILE", "With --build-only: what kctl node --json says there; default: as Kiln knows it"),
           option("candidates", "N", "With --build-only: of each region; default: as many as a job there begins with"),
           option("output", "FILE", "With --build-only: where the bundle goes; default: WORKLOAD.ARCHITECTURE.objects"),
           option("name", "NAME", "Name of the workload when a file is imported"),
           repeated_option("shape", "DIM=EXTENT", "Extent of a symbolic dimension when a file is imported"),
           flag("detach", "Print the job's id and do not watch")},
          run};
}

}  // namespace kiln::kctl
