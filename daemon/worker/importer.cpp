#include "daemon/worker/importer.h"

#include <fcntl.h>

#include <cerrno>

#include "daemon/worker/memory.h"
#include "daemon/worker/process.h"
#include "runtime/base/json.h"

namespace kiln::worker {
namespace {

constexpr std::int64_t kTimeoutNs = 300'000'000'000;
constexpr std::size_t kGraphLimit = 256u << 20;
constexpr std::size_t kConstantsLimit = std::size_t{1} << 36;

UniqueFd open_file(const std::filesystem::path& path) {
  UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd) throw system_error("cannot open '" + path.string() + "'", errno);
  return fd;
}

}  // namespace

Imported import_in_worker(const ImportJob& job) {
  Frame request;
  json::object dimensions;
  for (const auto& [name, extent] : job.dimensions) dimensions[name] = extent;
  json::array locations;
  std::uintmax_t bytes = std::filesystem::file_size(job.model);
  request.fds.push_back(open_file(job.model));
  for (const auto& [location, path] : job.external) {
    locations.emplace_back(location);
    bytes += std::filesystem::file_size(path);
    request.fds.push_back(open_file(path));
  }
  request.body = {{"file_name", job.file_name}, {"dimensions", dimensions}, {"external", locations}};
  // Parsed once, folded once, written once into the blob of constants; and room for the process itself.
  WorkerProcess worker({job.worker, "import", {std::to_string(4 * bytes + (std::uintmax_t{2} << 30))}});
  const Answer answer = worker.call(request, kTimeoutNs);
  if (answer.kind != Answer::Kind::answered)
    throw Error(ErrorCode::limit, "cannot import '" + job.file_name + "': its import worker was " + answer.evidence,
                "the file is damaged or needs more memory or time than an import may take");
  Imported out;
  out.rewrites = json::get_strings(answer.frame.body, "rewrites", "an import reply");
  if (answer.frame.fds.empty())
    throw Error(ErrorCode::corrupt, "cannot import '" + job.file_name + "': the worker's answer has no graph");
  out.graph = Mapped::received(answer.frame.fds[0].get(), kGraphLimit).text();
  if (answer.frame.fds.size() > 1) out.constants = Mapped::received(answer.frame.fds[1].get(), kConstantsLimit).text();
  return out;
}

}  // namespace kiln::worker
