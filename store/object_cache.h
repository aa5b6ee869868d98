// Code objects that outlive the job that built them: one file per recipe, below one folder of the state folder, with a
// bound on what all of them take. A recipe is the digest of all that decides what a compiler makes (the caller's).
//
// Thread rule: any thread. Invariants: (1) what find() gives is what keep() was given: a file is checked against its
// digest before anything in it is used; one that was cut, changed or belongs to another recipe is removed and is as if
// it had never been. (2) A name that exists is whole (written beside, synced, renamed), so kill -9 leaves at most a
// temporary, which goes when the cache is opened. (3) After keep() the files take at most the bound: those that were
// not asked for longest went.
// Failure: find() has none; keep() throws Error(io | limit), and the cache stays usable.
#pragma once

#include <atomic>
#include <cstdint>
#include <filesystem>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>

namespace kiln::store {

// What is kept of a build. `about` is the builder's (canonical JSON); the cache only carries it.
struct CachedObject {
  std::string about;
  std::string object;
};

// The bytes of one entry, in the cache and in a bundle (store/object_bundle.h): "kiln-object/1 DIGEST\n", then what
// DIGEST (SHA-256, hex) is of: "RECIPE ABOUT_BYTES\n", about, object.
[[nodiscard]] std::string write_entry(std::string_view recipe, const CachedObject& entry);
// Nothing where a byte is missing, added or changed, or the entry is another recipe's.
[[nodiscard]] std::optional<CachedObject> read_entry(std::string_view recipe, std::string_view bytes);

class ObjectCache {
 public:
  // Makes the folder, closed to others. A bound of 0 keeps nothing.
  ObjectCache(std::filesystem::path root, std::int64_t limit_bytes);
  ObjectCache(const ObjectCache&) = delete;
  ObjectCache& operator=(const ObjectCache&) = delete;

  [[nodiscard]] std::optional<CachedObject> find(const std::string& recipe);
  // What is larger than the bound is not kept.
  void keep(const std::string& recipe, const CachedObject& entry);

  struct Size {
    std::int64_t objects = 0, bytes = 0, limit_bytes = 0;
  };
  [[nodiscard]] Size size() const { return {objects_, bytes_, limit_bytes_}; }  // waits for nobody

 private:
  [[nodiscard]] std::filesystem::path place(const std::string& recipe) const;
  void forget(const std::filesystem::path& file);
  void count();
  void prune();

  const std::filesystem::path root_;
  const std::int64_t limit_bytes_;
  std::mutex mutex_;                                   // held while the folder is read or changed
  std::atomic<std::int64_t> objects_{0}, bytes_{0};  // changed under mutex_
};

}  // namespace kiln::store
