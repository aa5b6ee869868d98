// Code objects and constants by digest, as a bench takes them from the store.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>

#include "runtime/base/unique_fd.h"

namespace kiln::worker {

class ObjectSource {
 public:
  virtual ~ObjectSource() = default;
  virtual std::string put(std::string_view bytes) = 0;  // its SHA-256, in hex
  [[nodiscard]] virtual std::filesystem::path path(const std::string& digest) const = 0;  // a read-only file
};

// Throws Error(io | not_found).
[[nodiscard]] UniqueFd open_object(const ObjectSource& objects, const std::string& digest);

}  // namespace kiln::worker
