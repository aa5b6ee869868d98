// Code objects and constants in a temporary folder, for tests and benches that drive real workers.
#pragma once

#include <stdlib.h>

#include <filesystem>
#include <string>

#include "daemon/worker/workbench.h"
#include "runtime/base/digest.h"
#include "runtime/base/error.h"
#include "runtime/base/files.h"

namespace kiln::testing {

struct ObjectFolder : worker::ObjectSource {
  std::filesystem::path root;
  ObjectFolder() {
    std::string name = (std::filesystem::temp_directory_path() / "kiln-objects-XXXXXX").string();
    if (!::mkdtemp(name.data())) throw Error(ErrorCode::io, "cannot make a temporary folder for objects");
    root = name;
    std::filesystem::create_directory(root / "blobs");
  }
  ~ObjectFolder() override {
    std::error_code ignored;  // a folder that stays behind in the temporary folder harms nothing
    std::filesystem::remove_all(root, ignored);
  }
  ObjectFolder(const ObjectFolder&) = delete;
  ObjectFolder& operator=(const ObjectFolder&) = delete;
  std::string put(std::string_view bytes) override {
    const std::string digest = sha256_hex(bytes);
    if (!std::filesystem::exists(path(digest))) write_file_atomic(path(digest), bytes);
    return digest;
  }
  [[nodiscard]] std::filesystem::path path(const std::string& digest) const override { return root / "blobs" / digest; }
};

}  // namespace kiln::testing
