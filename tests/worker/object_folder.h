// Code objects and constants in a temporary folder, for tests and benches that drive real workers.
#pragma once

#include <filesystem>
#include <map>
#include <optional>
#include <string>

#include "daemon/worker/workbench.h"
#include "runtime/base/digest.h"
#include "runtime/base/files.h"
#include "tests/temporary_folder.h"

namespace kiln::testing {

class ObjectFolder : public worker::ObjectSource {
 public:
  ObjectFolder() { std::filesystem::create_directory(root() / "blobs"); }

  [[nodiscard]] const std::filesystem::path& root() const { return folder_.path; }

  std::string put(std::string_view bytes) override {
    const std::string digest = sha256_hex(bytes);
    if (!std::filesystem::exists(path(digest))) write_file_atomic(path(digest), bytes);
    return digest;
  }
  [[nodiscard]] std::filesystem::path path(const std::string& digest) const override {
    return root() / "blobs" / digest;
  }
  [[nodiscard]] bool caches() const override { return remembers; }
  [[nodiscard]] std::optional<worker::KnownObject> find(const std::string& recipe) override {
    const auto found = known.find(recipe);
    return found == known.end() ? std::nullopt : std::optional(found->second);
  }
  void keep(const std::string& recipe, const worker::KnownObject& built) override {
    known[recipe] = built;
    ++kept;
  }

  bool remembers = false;
  std::map<std::string, worker::KnownObject> known;
  int kept = 0;  // builds that were

 private:
  test::TemporaryFolder folder_;
};

// The workers of this build over that folder.
[[nodiscard]] inline worker::BenchOptions bench_options(const ObjectFolder& objects) {
  worker::BenchOptions options;
  options.worker = std::filesystem::path(KILN_BINARY_DIR) / "bin/kiln-worker";
  options.include_dir = KILN_SOURCE_DIR;
  options.staging = objects.root() / "staging";
  return options;
}

}  // namespace kiln::testing
