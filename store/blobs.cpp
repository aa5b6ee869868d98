#include "store/blobs.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <functional>

#include "runtime/base/digest.h"
#include "runtime/base/error.h"
#include "runtime/base/files.h"

namespace kiln::store {
namespace {

Error write_error(const std::filesystem::path& root, int error_number) {
  if (error_number == ENOSPC || error_number == EDQUOT)
    return Error(ErrorCode::limit, "cannot store a blob in '" + root.string() + "': no space left",
                 "free space on its file system");
  return system_error("cannot store a blob in '" + root.string() + "'", error_number);
}

// An unnamed place on the way to a blob; gone unless it is moved.
class Pending {
 public:
  Pending(std::filesystem::path root, std::int64_t limit_bytes) : root_(std::move(root)), limit_(limit_bytes) {
    name_ = (root_ / "incoming-XXXXXX").string();
    fd_ = UniqueFd(::mkostemp(name_.data(), O_CLOEXEC));
    if (!fd_) throw write_error(root_, errno);
  }
  ~Pending() {
    if (!name_.empty()) (void)::unlink(name_.c_str());  // what is left behind is removed when the store opens
  }
  Pending(const Pending&) = delete;
  Pending& operator=(const Pending&) = delete;

  void append(std::span<const std::byte> bytes) {
    size_ += static_cast<std::int64_t>(bytes.size());
    if (size_ > limit_)
      throw Error(ErrorCode::limit, "cannot store an upload: it is larger than " + std::to_string(limit_) + " bytes");
    while (!bytes.empty()) {
      const ssize_t n = ::write(fd_.get(), bytes.data(), bytes.size());
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) throw write_error(root_, errno);
      bytes = bytes.subspan(static_cast<std::size_t>(n));
    }
  }
  [[nodiscard]] std::int64_t size() const { return size_; }
  // Once; nothing is appended after it.
  void seal() {
    if (::fchmod(fd_.get(), 0444) != 0 || ::fsync(fd_.get()) != 0) throw write_error(root_, errno);
  }
  void put_in_place(const std::string& digest) {
    const std::filesystem::path folder = root_ / digest.substr(0, 2);
    if (std::filesystem::create_directories(folder)) fsync_directory(root_);
    if (::rename(name_.c_str(), (folder / digest).c_str()) != 0) throw write_error(root_, errno);
    name_.clear();
    fsync_directory(folder);
  }

 private:
  std::filesystem::path root_;
  const std::int64_t limit_;
  std::string name_;
  UniqueFd fd_;
  std::int64_t size_ = 0;
};

// `place`: puts what is pending under its digest.
using Place = std::function<void(const std::string& digest, Pending& pending)>;

class BlobUpload final : public Store::Upload {
 public:
  BlobUpload(const std::filesystem::path& root, std::int64_t limit_bytes, Place place)
      : pending_(root, limit_bytes), place_(std::move(place)) {}
  void write(std::span<const std::byte> bytes) override {
    pending_.append(bytes);
    hash_.update(bytes);
  }
  [[nodiscard]] std::int64_t size() const override { return pending_.size(); }
  std::string commit() override {
    pending_.seal();
    const std::string digest = hash_.finish_hex();
    place_(digest, pending_);
    return digest;
  }

 private:
  Pending pending_;
  Sha256 hash_;
  Place place_;
};

bool is_digest(const std::string& text) {
  return text.size() == 64 &&
         std::all_of(text.begin(), text.end(), [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); });
}

}  // namespace

Blobs::Blobs(std::filesystem::path root, bool read_only) : root_(std::move(root)) {
  if (read_only) return;  // another process may be writing here
  std::filesystem::create_directories(root_);
  for (const auto& entry : std::filesystem::directory_iterator(root_))
    if (entry.is_regular_file()) std::filesystem::remove(entry.path());  // uploads that a crash cut off
}

std::filesystem::path Blobs::place(const std::string& digest) const {
  if (!is_digest(digest))
    throw Error(ErrorCode::invalid_input,
                "cannot look up blob '" + digest.substr(0, 80) + "': that is not a SHA-256 in hex");
  return root_ / digest.substr(0, 2) / digest;
}

bool Blobs::has(const std::string& digest) const { return std::filesystem::exists(place(digest)); }

std::filesystem::path Blobs::path(const std::string& digest) const {
  std::filesystem::path file = place(digest);
  if (!std::filesystem::exists(file)) throw Error(ErrorCode::not_found, "cannot find blob " + digest);
  return file;
}

void Blobs::drop_upload(const std::string& digest) const {
  const std::filesystem::path file = place(digest);
  const std::lock_guard lock(mutex_);
  const auto found = uploads_.find(digest);
  if (found == uploads_.end() || --found->second > 0) return;
  uploads_.erase(found);
  if (::unlink(file.c_str()) != 0 && errno != ENOENT) throw system_error("cannot remove blob " + digest, errno);
}

void Blobs::keep(const std::string& digest) const {
  const std::lock_guard lock(mutex_);
  uploads_.erase(digest);
}

// Only the size of what is there is looked at: that is cheap, and tells a blob that was cut short.
bool Blobs::keep(const std::string& digest, std::int64_t bytes) const {
  keep(digest);
  std::error_code absent;
  const std::uintmax_t size = std::filesystem::file_size(place(digest), absent);
  return !absent && size == static_cast<std::uintmax_t>(bytes);
}

std::string Blobs::put(std::span<const std::byte> bytes) const {
  const std::string digest = sha256_hex(bytes);
  const auto size = static_cast<std::int64_t>(bytes.size());
  if (keep(digest, size)) return digest;
  Pending pending(root_, size);
  pending.append(bytes);
  pending.seal();
  pending.put_in_place(digest);
  keep(digest);
  return has(digest) ? digest : put(bytes);  // an upload of it came between, and went
}

std::string Blobs::get(const std::string& digest) const {
  std::string content = read_file(path(digest), std::size_t{1} << 36);
  if (sha256_hex(content) != digest)
    throw Error(ErrorCode::corrupt, "cannot use blob " + digest + ": its content has another digest",
                "restore the state folder from a backup");
  return content;
}

std::unique_ptr<Store::Upload> Blobs::upload(std::int64_t limit_bytes) const {
  return std::make_unique<BlobUpload>(root_, limit_bytes, [this](const std::string& digest, Pending& pending) {
    const std::lock_guard lock(mutex_);
    const bool is_of_others = !uploads_.contains(digest) && has(digest);
    pending.put_in_place(digest);
    if (!is_of_others) ++uploads_[digest];
  });
}

}  // namespace kiln::store
