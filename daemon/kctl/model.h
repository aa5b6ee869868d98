// A model file and its external data, and other files, uploaded by content; shared by import, tune and objects.
#pragma once

#include <map>

#include "daemon/kctl/command.h"
#include "runtime/base/json_fwd.h"
#include "runtime/base/unique_fd.h"

namespace kiln::kctl {

// "batch=8" -> {"batch", 8}; throws UsageError.
[[nodiscard]] std::map<std::string, std::int64_t> parse_shapes(const std::vector<std::string>& texts);
// "My Model.onnx" -> "my-model": what the daemon accepts as a workload's name.
[[nodiscard]] std::string workload_name(const std::filesystem::path& file);
// Opens `location` beneath `directory`: never above it, never through a symbolic link, only a regular file of one name.
[[nodiscard]] UniqueFd open_beneath(const std::filesystem::path& directory, const std::string& location);
// The file names between quotes of a refusal: 'weights.bin', 'w/2.bin'.
[[nodiscard]] std::vector<std::string> quoted_names(std::string_view text);
// Uploads an open file that people call `name`; its blob.
[[nodiscard]] std::string upload_file(Session& session, int fd, const std::string& name);
// Uploads and imports; the workload as the daemon answers it.
[[nodiscard]] json::object import_model(Session& session, const std::filesystem::path& file, const std::string& name,
                                        const std::map<std::string, std::int64_t>& shapes);

}  // namespace kiln::kctl
