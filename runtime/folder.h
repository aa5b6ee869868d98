// A release folder that was read and checked: the manifest, the plan, and where the files are.
#pragma once

#include <filesystem>
#include <string>

#include "runtime/base/unique_fd.h"
#include "runtime/mapping.h"
#include "runtime/plan_file.h"

namespace kiln::runtime {

struct Folder {
  std::filesystem::path path;
  UniqueFd fd;
  Manifest manifest;
  std::string id;  // SHA-256 of the manifest
  Plan plan;

  // The manifest's entry of the code object or the constants that the plan names by digest. Throws
  // Failure(KILN_E_FORMAT) when the manifest lists another file there.
  [[nodiscard]] const FileEntry& object(const std::string& digest) const;
  // The constants; empty when the plan has none. Throws Failure.
  [[nodiscard]] Mapping constants() const;
};

// Throws Failure. With `verify_digests` every file is hashed.
[[nodiscard]] Folder open_folder(const std::filesystem::path& directory, bool verify_digests);

}  // namespace kiln::runtime
