#include "store/object_cache.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <charconv>
#include <vector>

#include "runtime/base/digest.h"
#include "runtime/base/error.h"
#include "runtime/base/files.h"

namespace kiln::store {
namespace fs = std::filesystem;
namespace {

constexpr std::string_view kMagic = "kiln-object/1 ";
constexpr std::size_t kDigest = 64;
constexpr std::size_t kMostBytes = 272u << 20;  // of one entry: the largest code object that a build may give, and more
constexpr double kPrunedTo = 0.9;               // of the bound, so that not every object that is added makes one go

bool is_digest(std::string_view text) {
  return text.size() == kDigest &&
         std::all_of(text.begin(), text.end(), [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); });
}

// What stands before `separator`, which is removed from `text` with it; nothing where there is none.
std::optional<std::string_view> take_until(std::string_view& text, char separator) {
  const auto end = text.find(separator);
  if (end == std::string_view::npos) return std::nullopt;
  const std::string_view out = text.substr(0, end);
  text.remove_prefix(end + 1);
  return out;
}

struct File {
  fs::path path;
  std::int64_t bytes = 0;
  std::int64_t used_ns = 0;
};

std::vector<File> files_below(const fs::path& root) {
  std::vector<File> out;
  std::error_code ignored;  // a file that goes while the folder is listed is none of them
  for (fs::recursive_directory_iterator entry(root, ignored), end; entry != end; entry.increment(ignored)) {
    struct stat status {};
    if (::lstat(entry->path().c_str(), &status) != 0 || !S_ISREG(status.st_mode)) continue;
    out.push_back({entry->path(), status.st_size,
                   std::int64_t{status.st_mtim.tv_sec} * 1'000'000'000 + status.st_mtim.tv_nsec});
  }
  return out;
}

}  // namespace

std::string write_entry(std::string_view recipe, const CachedObject& entry) {
  std::string body(recipe);
  body += " " + std::to_string(entry.about.size()) + "\n";
  body += entry.about;
  body += entry.object;
  std::string out(kMagic);
  out += sha256_hex(body) + "\n";
  return out += body;
}

std::optional<CachedObject> read_entry(std::string_view recipe, std::string_view bytes) {
  if (!bytes.starts_with(kMagic)) return std::nullopt;
  bytes.remove_prefix(kMagic.size());
  const auto digest = take_until(bytes, '\n');
  if (!digest || sha256_hex(bytes) != *digest) return std::nullopt;
  const auto named = take_until(bytes, ' ');
  const auto about = take_until(bytes, '\n');
  if (!named || *named != recipe || !about) return std::nullopt;
  std::size_t about_bytes = 0;
  const auto [end, error] = std::from_chars(about->data(), about->data() + about->size(), about_bytes);
  if (error != std::errc() || end != about->data() + about->size() || about_bytes > bytes.size()) return std::nullopt;
  return CachedObject{std::string(bytes.substr(0, about_bytes)), std::string(bytes.substr(about_bytes))};
}

ObjectCache::ObjectCache(fs::path root, std::int64_t limit_bytes) : root_(std::move(root)), limit_bytes_(limit_bytes) {
  fs::create_directories(root_);
  fs::permissions(root_, fs::perms::owner_all);
  for (const File& file : files_below(root_))
    if (!is_digest(file.path.filename().native())) fs::remove(file.path);  // writes that a crash cut off
  count();
  prune();
}

fs::path ObjectCache::place(const std::string& recipe) const {
  if (!is_digest(recipe))
    throw Error(ErrorCode::invalid_input,
                "cannot look up code object '" + recipe.substr(0, 80) + "': that is not a SHA-256 in hex");
  return root_ / recipe.substr(0, 2) / recipe;
}

std::optional<CachedObject> ObjectCache::find(const std::string& recipe) {
  const fs::path file = place(recipe);
  const std::lock_guard lock(mutex_);
  std::error_code absent;
  if (!fs::exists(file, absent)) return std::nullopt;
  try {
    std::optional<CachedObject> found = read_entry(recipe, read_file(file, kMostBytes));
    if (found) {
      // Ignoring: an object whose use is not noted is only the first to go.
      (void)::utimensat(AT_FDCWD, file.c_str(), nullptr, 0);
      return found;
    }
  } catch (const Error&) {  // what cannot be read is as damaged
  }
  forget(file);
  return std::nullopt;
}

void ObjectCache::forget(const fs::path& file) {
  std::error_code ignored;  // it is counted below, whether it went or not
  fs::remove(file, ignored);
  count();
}

void ObjectCache::keep(const std::string& recipe, const CachedObject& entry) {
  const fs::path file = place(recipe);
  const std::string bytes = write_entry(recipe, entry);
  const auto size = static_cast<std::int64_t>(bytes.size());
  if (size > limit_bytes_) return;
  const std::lock_guard lock(mutex_);
  if (fs::create_directories(file.parent_path())) fsync_directory(root_);
  std::error_code absent;
  const auto before = fs::file_size(file, absent);
  const bool replaced = !absent;
  write_file_atomic(file, bytes, 0400);
  bytes_ += size - (replaced ? static_cast<std::int64_t>(before) : 0);
  objects_ += replaced ? 0 : 1;
  if (bytes_ > limit_bytes_) prune();
}

void ObjectCache::count() {
  const std::vector<File> files = files_below(root_);
  std::int64_t bytes = 0;
  for (const File& file : files) bytes += file.bytes;
  objects_ = static_cast<std::int64_t>(files.size());
  bytes_ = bytes;
}

// Those that were not used longest go.
void ObjectCache::prune() {
  if (bytes_ <= limit_bytes_) return;
  std::vector<File> files = files_below(root_);
  std::sort(files.begin(), files.end(), [](const File& a, const File& b) { return a.used_ns < b.used_ns; });
  const auto wanted = static_cast<std::int64_t>(kPrunedTo * static_cast<double>(limit_bytes_));
  for (const File& file : files) {
    if (bytes_ <= wanted) break;
    fs::remove(file.path);
    bytes_ -= file.bytes;
    --objects_;
  }
}

}  // namespace kiln::store
