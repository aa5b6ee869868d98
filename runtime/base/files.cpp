#include "runtime/base/files.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <cerrno>

#include "runtime/base/error.h"

namespace kiln {

std::string read_file(const std::filesystem::path& path, std::size_t limit_bytes) {
  UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd) {
    if (errno == ENOENT) throw Error(ErrorCode::not_found, "cannot open '" + path.string() + "': no such file");
    throw system_error("cannot open '" + path.string() + "'", errno);
  }
  std::string content;
  char buffer[1 << 16];
  for (;;) {
    const ssize_t n = ::read(fd.get(), buffer, sizeof buffer);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) throw system_error("cannot read '" + path.string() + "'", errno);
    if (n == 0) return content;
    content.append(buffer, static_cast<std::size_t>(n));
    if (content.size() > limit_bytes)
      throw Error(ErrorCode::limit, "cannot read '" + path.string() + "': it is larger than the limit of " +
                                        std::to_string(limit_bytes) + " bytes");
  }
}

void write_all(int fd, std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const ssize_t n = ::write(fd, bytes.data(), bytes.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) throw system_error("cannot write " + std::to_string(bytes.size()) + " bytes", errno);
    bytes = bytes.subspan(static_cast<std::size_t>(n));
  }
}

void fsync_directory(const std::filesystem::path& directory) {
  UniqueFd fd(::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!fd) throw system_error("cannot open folder '" + directory.string() + "'", errno);
  if (::fsync(fd.get()) != 0) throw system_error("cannot sync folder '" + directory.string() + "'", errno);
}

void write_file_atomic(const std::filesystem::path& path, std::string_view content, unsigned mode) {
  std::string temporary = path.string() + ".XXXXXX";
  UniqueFd fd(::mkostemp(temporary.data(), O_CLOEXEC));
  if (!fd) throw system_error("cannot create a file beside '" + path.string() + "'", errno);
  try {
    write_all(fd.get(), std::as_bytes(std::span(content)));
    if (::fchmod(fd.get(), mode) != 0 || ::fsync(fd.get()) != 0)
      throw system_error("cannot write '" + path.string() + "'", errno);
    fd.reset();
    if (::rename(temporary.c_str(), path.c_str()) != 0)
      throw system_error("cannot replace '" + path.string() + "'", errno);
  } catch (...) {
    (void)::unlink(temporary.c_str());  // the error already on its way says more than a failure to tidy up
    throw;
  }
  fsync_directory(path.parent_path().empty() ? "." : path.parent_path());
}

}  // namespace kiln
