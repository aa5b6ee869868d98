// Content-addressed files below one folder: blobs/ab/<sha256>. A blob is written beside, synced, and linked into place,
// so that a name that exists is whole. Thread-safe: distinct temporaries, and a rename over an equal file changes
// nothing.
#pragma once

#include <filesystem>
#include <memory>
#include <span>
#include <string>

#include "store/store.h"

namespace kiln::store {

class Blobs {
 public:
  Blobs(std::filesystem::path root, bool read_only);
  std::string put(std::span<const std::byte> bytes) const;
  [[nodiscard]] std::string get(const std::string& digest) const;  // verified
  [[nodiscard]] std::filesystem::path path(const std::string& digest) const;
  [[nodiscard]] bool has(const std::string& digest) const;
  void remove(const std::string& digest) const;
  [[nodiscard]] std::unique_ptr<Store::Upload> upload(std::int64_t limit_bytes) const;

 private:
  [[nodiscard]] std::filesystem::path place(const std::string& digest) const;
  std::filesystem::path root_;
};

}  // namespace kiln::store
