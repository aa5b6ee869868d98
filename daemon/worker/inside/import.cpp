// import: request {file_name, dimensions, external: [locations]} with the model and each external file as descriptors;
// reply {rewrites} with the graph's JSON and its constants as sealed files.
#include <cstdlib>

#include "agents/graph/onnx/import.h"
#include "agents/graph/serialize.h"
#include "daemon/worker/inside/role.h"
#include "daemon/worker/memory.h"
#include "runtime/base/json.h"

namespace kiln::worker {
namespace {

Frame import_request(const Frame& request) {
  graph::onnx::Options options;
  options.file_name = json::get_string(request.body, "file_name", "an import request");
  for (const auto& item : json::as_object(json::at(request.body, "dimensions", "an import request"), "dimensions"))
    options.dimensions[std::string(item.key())] = item.value().to_number<std::int64_t>();
  const std::vector<std::string> locations = json::get_strings(request.body, "external", "an import request");
  if (request.fds.size() != locations.size() + 1)
    throw Error(ErrorCode::corrupt, "cannot import: a file is missing from the request");

  const auto model = std::make_shared<Mapped>(request.fds[0].get(), Mapped::Access::read);
  options.part_read = [model](std::span<const std::byte> part) { model->drop(part); };
  std::map<std::string, std::shared_ptr<Mapped>> files;
  for (std::size_t i = 0; i < locations.size(); ++i)
    files[locations[i]] = std::make_shared<Mapped>(request.fds[i + 1].get(), Mapped::Access::read);
  const graph::onnx::ExternalDataSource external = [&](const std::string& location) -> graph::onnx::ExternalData {
    const auto found = files.find(location);
    if (found == files.end()) return {};
    return {found->second, found->second->bytes()};
  };
  const graph::onnx::Result result = graph::onnx::import_model(model, model->bytes(), options, external);

  Frame reply;
  reply.body = {{"rewrites", json::to_array(result.rewrites)}};
  reply.fds.push_back(sealed_file("graph", json::canonical(graph::to_json(result.graph))));
  const graph::ConstantLayout layout = graph::layout_constants(result.graph);
  if (layout.total_bytes > 0) reply.fds.push_back(sealed_file("constants", graph::constant_blob(result.graph, layout)));
  return reply;
}

}  // namespace

Role import_role(const std::vector<std::string>& arguments) {
  Role role;
  role.rules.memory_bytes = std::atoll(arguments.at(0).c_str());
  role.rules.cpu_seconds = 300;
  role.rules.file_bytes = std::int64_t{1} << 36;  // a memory file counts as a file
  role.handle = [](Frame request) { return import_request(request); };
  return role;
}

}  // namespace kiln::worker
