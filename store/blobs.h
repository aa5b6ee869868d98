// Content-addressed files below one folder: blobs/ab/<sha256>. A blob is written beside, synced, and linked into place,
// so that a name that exists is whole. Thread-safe: distinct temporaries, and a rename over an equal file changes
// nothing. What came by uploads alone may go again: the number of its uploads is known as long as the process lives.
#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <mutex>
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
  // As Store's.
  void drop_upload(const std::string& digest) const;
  void keep(const std::string& digest) const;
  [[nodiscard]] bool keep(const std::string& digest, std::int64_t bytes) const;
  [[nodiscard]] std::unique_ptr<Store::Upload> upload(std::int64_t limit_bytes) const;

 private:
  [[nodiscard]] std::filesystem::path place(const std::string& digest) const;
  std::filesystem::path root_;
  mutable std::mutex mutex_;                             // of what puts an upload in place and what removes it
  mutable std::map<std::string, std::size_t> uploads_;  // guarded by mutex_; of blobs that nothing else put or keeps
};

}  // namespace kiln::store
