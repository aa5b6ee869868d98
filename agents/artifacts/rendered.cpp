#include "agents/artifacts/rendered.h"

#include <array>

#include "agents/artifacts/fields.h"
#include "runtime/base/json.h"

namespace kiln::agents {
namespace {

constexpr std::string_view kWhat = "rendered kernel";
constexpr std::array<std::string_view, 4> kArgKinds = {"input", "output", "prepared", "temporary"};

json::object to_json(const RenderedArg& arg) {
  return {{"kind", kArgKinds.at(static_cast<std::size_t>(arg.kind))}, {"index", arg.index}};
}

RenderedArg arg_from_json(const json::value& v) {
  const json::object& o = json::as_object(v, "argument of a rendered kernel");
  const std::string kind = json::get_string(o, "kind", kWhat);
  for (std::size_t i = 0; i < kArgKinds.size(); ++i)
    if (kArgKinds[i] == kind) return {static_cast<RenderedArg::Kind>(i), fields::small_count(o, "index", kWhat)};
  throw Error(ErrorCode::invalid_input, "cannot read an argument of a rendered kernel: unknown kind '" + kind + "'");
}

json::object to_json(const RenderedLaunch& launch) {
  json::array args;
  for (const RenderedArg& arg : launch.args) args.emplace_back(to_json(arg));
  json::object out{{"symbol", launch.symbol},
                   {"args", std::move(args)},
                   {"tasks", launch.tasks},
                   {"scratch_bytes", launch.scratch_bytes},
                   {"has_state", launch.has_state}};
  if (launch.library_bytes > 0) out["library_bytes"] = launch.library_bytes;
  put_geometry(out, launch.geometry);
  return out;
}

RenderedLaunch launch_from_json(const json::value& v) {
  const json::object& o = json::as_object(v, "launch of a rendered kernel");
  RenderedLaunch launch;
  launch.symbol = json::get_string(o, "symbol", kWhat);
  launch.args = fields::list(o, "args", kWhat, arg_from_json);
  launch.tasks = fields::count(o, "tasks", kWhat);
  launch.scratch_bytes = fields::count(o, "scratch_bytes", kWhat);
  if (o.contains("library_bytes")) launch.library_bytes = fields::count(o, "library_bytes", kWhat);
  launch.has_state = json::get_bool(o, "has_state", kWhat);
  launch.geometry = geometry_of(o, kWhat);
  return launch;
}

json::array launches_json(const std::vector<RenderedLaunch>& launches) {
  json::array out;
  for (const RenderedLaunch& launch : launches) out.emplace_back(to_json(launch));
  return out;
}

}  // namespace

json::object to_json(const RenderedKernel& kernel) {
  return {{"variant", to_json(kernel.variant)},
          {"file_name", kernel.file_name},
          {"source", kernel.source},
          {"compile_flags", json::to_array(kernel.compile_flags)},
          {"libraries", json::to_array(kernel.libraries)},
          {"prepared_bytes", json::to_array(kernel.prepared_bytes)},
          {"temporary_bytes", json::to_array(kernel.temporary_bytes)},
          {"prepare", launches_json(kernel.prepare)},
          {"run", launches_json(kernel.run)},
          {"cpu_features", json::to_array(kernel.cpu_features)},
          {"architecture", kernel.architecture}};
}

RenderedKernel rendered_from_json(const json::value& v) {
  const json::object& o = json::as_object(v, kWhat);
  RenderedKernel kernel;
  kernel.variant = variant_from_json(json::at(o, "variant", kWhat));
  kernel.file_name = json::get_string(o, "file_name", kWhat);
  kernel.source = json::get_string(o, "source", kWhat);
  kernel.compile_flags = json::get_strings(o, "compile_flags", kWhat);
  kernel.libraries = json::get_strings(o, "libraries", kWhat);
  kernel.prepared_bytes = json::get_ints(o, "prepared_bytes", kWhat);
  kernel.temporary_bytes = json::get_ints(o, "temporary_bytes", kWhat);
  kernel.prepare = fields::list(o, "prepare", kWhat, launch_from_json);
  kernel.run = fields::list(o, "run", kWhat, launch_from_json);
  kernel.cpu_features = json::get_strings(o, "cpu_features", kWhat);
  kernel.architecture = json::get_string(o, "architecture", kWhat);
  return kernel;
}

}  // namespace kiln::agents
