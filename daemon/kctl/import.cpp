#include <fmt/core.h>

#include "daemon/kctl/commands.h"
#include "daemon/kctl/model.h"
#include "runtime/base/json.h"

namespace kiln::kctl {
namespace {

Exit run(Session& session, const Arguments& arguments) {
  const std::filesystem::path file = arguments.text("model");
  const auto shapes = parse_shapes(arguments.list("shape"));
  const json::object workload =
      import_model(session, file, arguments.find("name").value_or(workload_name(file)), shapes);
  if (session.json) print_json(workload);
  else
    print_line(fmt::format("{} is workload {}", json::get_string(workload, "name", "the workload"),
                           json::get_string(workload, "id", "the workload")));
  return Exit::done;
}

}  // namespace

Command import_command() {
  return {"import", "Uploads an ONNX model and makes it a workload", "operator",
          {positional("model", "ONNX file"), option("name", "NAME", "Name of the workload; default: the file's"),
           repeated_option("shape", "DIM=EXTENT", "Extent of a symbolic dimension, e.g. batch=8; may be repeated")},
          run};
}

}  // namespace kiln::kctl
