// Candidate directories: the same files as a release (docs/release-format.md), made of links to blobs, for one
// measurement.
#pragma once

#include <filesystem>
#include <set>
#include <string>

#include "agents/workbench.h"
#include "daemon/worker/object_source.h"

namespace kiln::worker {

class Staging {
 public:
  Staging(std::filesystem::path root, ObjectSource& objects);
  ~Staging();  // removes the folder
  Staging(const Staging&) = delete;
  Staging& operator=(const Staging&) = delete;

  [[nodiscard]] const std::filesystem::path& root() const { return root_; }
  // The directory of this plan; made once per distinct plan. Throws Error(io).
  [[nodiscard]] std::filesystem::path stage(const agents::Subject& subject);
  [[nodiscard]] std::filesystem::path fresh_folder(const std::string& name);

 private:
  std::filesystem::path root_;
  ObjectSource& objects_;
  std::set<std::string> staged_;
};

}  // namespace kiln::worker
