// Code objects and constants by digest, as a bench takes them from the store.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>

#include "runtime/base/unique_fd.h"

namespace kiln::worker {

// A code object that was built before, and what its build said of it (build_recipe.h).
struct KnownObject {
  std::string about;
  std::string object;
};

class ObjectSource {
 public:
  virtual ~ObjectSource() = default;
  virtual std::string put(std::string_view bytes) = 0;  // its SHA-256, in hex
  [[nodiscard]] virtual std::filesystem::path path(const std::string& digest) const = 0;  // a read-only file

  // A cache of what was built, by the digest of what it was built from. One that has none builds everything.
  [[nodiscard]] virtual bool caches() const { return false; }
  [[nodiscard]] virtual std::optional<KnownObject> find(const std::string& /*recipe*/) { return std::nullopt; }
  virtual void keep(const std::string& /*recipe*/, const KnownObject& /*built*/) {}
};

// Throws Error(io | not_found).
[[nodiscard]] UniqueFd open_object(const ObjectSource& objects, const std::string& digest);

}  // namespace kiln::worker
